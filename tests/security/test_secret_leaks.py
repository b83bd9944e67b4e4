"""Attack: read the log, or an answer, and find a password, a code, a secret or a token in it."""

import itertools
import json
import logging
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

import graphql_mfa.api.root
import graphql_mfa.api.sign_in
import graphql_mfa.http.router
import graphql_mfa.http.schema
from graphql_mfa.services import Call, Services
from graphql_mfa.types.sign_in import EnrollmentConfirmed
from tests.api_client import LOGIN, REGISTER_USER, Api, Result
from tests.authenticator import code_at, wrong_code
from tests.conftest import Server
from tests.security.attacks import WRONG_PASSWORD, execute, real_api

PASSWORD = "zebra-Quartz 7 !harmonica"
OUR_LOG = "graphql_mfa"


def messages(caplog: pytest.LogCaptureFixture) -> str:
    """Everything that was logged, by whomever."""
    formatter = logging.Formatter("%(levelname)s %(name)s %(message)s")
    return "\n".join(formatter.format(record) for record in caplog.records)


def own_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Our log records, without the line of each request."""
    ours = [record for record in caplog.records if record.name.startswith(OUR_LOG)]
    return [record for record in ours if record.name != "graphql_mfa.requests"]


def texts_of(answer: object) -> set[str]:
    """Every string in an answer."""
    if isinstance(answer, dict):
        return set().union(*(texts_of(value) for value in answer.values()))
    if isinstance(answer, list):
        return set().union(*(texts_of(value) for value in answer))
    return {answer} if isinstance(answer, str) else set()


def secrets_of(answers: list[Result]) -> set[str]:
    """The secrets that the server handed out."""
    names = {"secret", "otpauthUri", "token", "accessToken", "refreshToken", "recoveryCodes"}

    def walk(value: object, within: str = "") -> set[str]:
        if isinstance(value, dict):
            return set().union(*(walk(inner, name) for name, inner in value.items()))
        if isinstance(value, list):
            return set().union(*(walk(inner, within) for inner in value))
        return {value} if within in names and isinstance(value, str) else set()

    return set().union(*(walk(answer) for answer in answers))


async def whole_story(api: Api) -> tuple[list[Result], set[str], set[str]]:
    """Every operation, right and wrong. Returns the answers, the long secrets, and the one-time codes."""
    answers = [await api.register(password=PASSWORD)]
    secret = answers[0]["enrollment"]["secret"]
    codes = [wrong_code(secret, api.clock()), code_at(secret, api.clock())]
    answers.append(await api.verify_otp(answers[0]["challenge"], codes[0]))
    answers.append(await api.restart_enrollment(answers[0]["challenge"]))
    secret = answers[-1]["enrollment"]["secret"]
    codes.append(code_at(secret, api.clock()))
    answers.append(await api.verify_otp(answers[-1]["challenge"], codes[-1]))
    confirmed = answers[-1]
    assert confirmed["__typename"] == "EnrollmentConfirmed"
    answers.append(await api.login(password=WRONG_PASSWORD))
    answers.append(await api.login("nobody", PASSWORD))
    answers.append(await api.login(password=PASSWORD))
    challenge = answers[-1]["challenge"]
    answers.append(await api.verify_otp(challenge, codes[-1]))  # used before
    answers.append(await api.verify_recovery_code(challenge, "0000-0000-0000-0000-0000-0000"))
    answers.append(await api.verify_recovery_code(challenge, confirmed["recoveryCodes"][3]))
    answers.append(await api.verify_recovery_code(challenge, confirmed["recoveryCodes"][3]))
    answers.append(await api.refresh(confirmed["tokens"]["refreshToken"], RETRY_KEY))
    answers.append(await api.refresh("mfar_" + "A" * 43))
    refreshed = answers[-2]["tokens"]
    me = await api.me(refreshed["accessToken"])
    assert me is not None
    answers.append(me)
    answers.append(await api.logout(refreshed["accessToken"]))
    answers.append(await api.logout(refreshed["accessToken"], refresh_token=refreshed["refreshToken"]))
    assert await api.me(refreshed["accessToken"]) is None
    long = secrets_of(answers) | {PASSWORD, WRONG_PASSWORD, RETRY_KEY, secret}
    assert len(long) > 20
    return answers, long, set(codes)


# ------------------------------------------------------------------------------------------------------ whole flows


async def test_secrets_in_the_log_of_whole_flows(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """At the lowest level, the statements of the store included."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "sqlalchemy.engine")
    _, secrets, codes = await whole_story(api)
    log = messages(caplog)

    assert "INSERT INTO mfa_users" in log  # it does see something
    assert [secret for secret in secrets if secret in log] == []
    assert [code for code in codes if re.search(rf"\b{code}\b", log)] == []
    assert own_records(caplog) == []


async def test_secrets_in_the_log_of_a_real_server(tmp_path: Path) -> None:
    """Also where a client puts its variables into the query string, or a load balancer probes."""
    server = Server(tmp_path).start()
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
        api = real_api(http)
        _, secrets, codes = await whole_story(api)
        variables = json.dumps({"input": {"username": "alice", "password": PASSWORD}})
        answer = await http.get("/graphql", params={"query": LOGIN, "variables": variables})
        assert answer.status_code == 405
        answer = await http.get("/graphql", params={"query": f'{{ me(password: "{PASSWORD}") {{ id }} }}'})
        assert "errors" in answer.json()
        await http.post("/graphql", content=f'{{"query": "{PASSWORD}', headers={"Content-Type": "application/json"})
        await http.post(f"/{PASSWORD}", content=PASSWORD)
    log = server.stop()

    assert "Application shutdown complete" in log
    assert [secret for secret in secrets if secret in log] == []
    assert [code for code in codes if re.search(rf"\b{code}\b", log)] == []


async def test_secrets_in_answers(api: Api) -> None:
    """A secret is shown once, when it is created, and a client's input is never echoed."""
    answers, _, codes = await whole_story(api)
    texts = [texts_of(answer) for answer in answers]

    for secret in secrets_of(answers):
        assert sum(secret in shown for shown in texts) == 1, secret
    everything = json.dumps(answers)
    assert [sent for sent in (PASSWORD, WRONG_PASSWORD) if sent in everything] == []
    assert [code for code in codes if re.search(rf"(?<![\d.])\b{code}\b(?![\d.])", everything)] == []


# --------------------------------------------------------------------------------------------------- forced failures


@dataclass
class Case:
    """A mutation whose flow breaks: the name of the flow, the call, and the secrets that go in."""

    flow: str
    call: Callable[[Api], Awaitable[httpx.Response]]
    secrets: list[str]


CHALLENGE = "mfac_" + "Bf-7_x" * 7 + "y"
REFRESH = "mfar_" + "Qw-3_z" * 7 + "k"
RETRY_KEY = "5f0c1d1e-6f43-4c0a-9a5f-3f4f0f7d2b11"
RECOVERY_CODE = "7K3M-9QXT-2BNV-4HJR-6WYP-8CDF"
ENROLLMENT_CODE = "operators-code-5512"


def _mutation(field: str, *, retry_key: str | None = None, **values: str) -> Callable[[Api], Awaitable[httpx.Response]]:
    name = field[0].upper() + field[1:]
    declared, beside = (", $retryKey: String", ", retryKey: $retryKey") if retry_key else ("", "")
    document = (
        f"mutation Run{name}($input: {name}Input!{declared}) {{ {field}(input: $input{beside}) {{ __typename }} }}"
    )
    return lambda api: api.send(document, {"input": values, "retryKey": retry_key})


def _literal(field: str, *, retry_key: str | None = None, **values: str) -> Callable[[Api], Awaitable[httpx.Response]]:
    name = field[0].upper() + field[1:]
    arguments = ", ".join(f"{key}: {json.dumps(value)}" for key, value in values.items())
    beside = f', retryKey: "{retry_key}"' if retry_key else ""
    return lambda api: api.send(f"mutation Run{name} {{ {field}(input: {{{arguments}}}{beside}) {{ __typename }} }}")


def _cases(send: Callable[..., Callable[[Api], Awaitable[httpx.Response]]]) -> list[Case]:
    return [
        Case("register_user", send("registerUser", username="alice", password=PASSWORD), [PASSWORD]),
        Case("login", send("login", username="alice", password=PASSWORD), [PASSWORD]),
        Case("verify_otp", send("verifyOtp", challengeToken=CHALLENGE, otp="495 183"), [CHALLENGE, "495 183"]),
        Case(
            "verify_recovery_code",
            send("verifyRecoveryCode", challengeToken=CHALLENGE, recoveryCode=RECOVERY_CODE),
            [CHALLENGE, RECOVERY_CODE],
        ),
        Case(
            "restart_enrollment",
            send("restartEnrollment", challengeToken=CHALLENGE, enrollmentCode=ENROLLMENT_CODE),
            [CHALLENGE, ENROLLMENT_CODE],
        ),
        Case(
            "refresh_session",
            send("refreshSession", retry_key=RETRY_KEY, refreshToken=REFRESH),
            [REFRESH, RETRY_KEY],
        ),
    ]


def break_flow(monkeypatch: pytest.MonkeyPatch, flow: str, message: Callable[..., str]) -> None:
    """Let the flow fail with whatever it was given in the message, as a database driver's or a library's would."""

    async def broken(*args: Any, **kwargs: Any) -> NoReturn:
        text = message(*args, **kwargs)
        raise RuntimeError(text)

    for name, module in list(sys.modules.items()):
        if name.startswith("graphql_mfa.api.") and hasattr(module, flow):
            monkeypatch.setattr(module, flow, broken)


def assert_masked(response: httpx.Response, path: str) -> None:
    """All that a client may learn."""
    answer = response.json()
    assert response.status_code == 200
    assert answer["data"] is None
    (error,) = answer["errors"]
    assert error["message"] == "Internal server error."
    assert set(error) == {"message", "locations", "path", "extensions"}
    assert error["path"] == [path]


def assert_traceback_without(caplog: pytest.LogCaptureFixture, operation: str, secrets: list[str]) -> None:
    """One record of ours with the place and type of the error, and none of the secrets."""
    (record,) = own_records(caplog)
    text = record.getMessage()
    assert record.levelno == logging.ERROR
    assert text.count("in broken\n") == 1
    assert len(re.findall(r"^[\w.]*RuntimeError\b", text, re.MULTILINE)) == 1
    assert re.search(rf"\b{operation}\b", text)
    log = messages(caplog)
    assert [secret for secret in secrets if secret in log] == []


@pytest.mark.parametrize("send", [_mutation, _literal], ids=["variables", "literals"])
async def test_secrets_in_the_log_of_a_failure(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    send: Any,
    subtests: pytest.Subtests,
) -> None:
    for case in _cases(send):
        with subtests.test(case.flow):
            caplog.clear()
            break_flow(
                monkeypatch,
                case.flow,
                lambda call, *args, **kwargs: f"cannot store {call.access_token} {args!r} {kwargs!r}",
            )

            response = await case.call(api)

            field = re.sub("_(.)", lambda match: match[1].upper(), case.flow)
            assert_masked(response, field)
            assert_traceback_without(caplog, f"Run{field[0].upper()}{field[1:]}", case.secrets)


PASSWORDS = {
    "quotes and backslash": 'quo\'te "and" back\\slash',
    "newline and tab": "new\nline and \ttab",
    "letters of other scripts": "Ünïcode-straße-пароль",
    "emoji": "emoji 🐴🔋📎",
    "NUL": "nul \0 inside",
    "format": "a{brace}s %s %(message)s",
    "lone surrogate": "lone \ud800 surrogate",
}
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "repr": repr,
    "ascii": ascii,
    "JSON": json.dumps,
    "JSON in Unicode": lambda password: json.dumps(password, ensure_ascii=False),
    "bytes": lambda password: repr(password.encode("utf-8", "replace")),
}


@pytest.mark.parametrize("as_literal", [False, True], ids=["variable", "literal"])
async def test_secrets_in_the_log_in_another_spelling(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    as_literal: bool,
    subtests: pytest.Subtests,
) -> None:
    """Exceptions show values quoted, escaped or encoded, which a reader of the log can decode."""
    for (kind, password), (spelling, spell) in itertools.product(PASSWORDS.items(), SPELLINGS.items()):
        with subtests.test(kind=kind, spelling=spelling):
            caplog.clear()
            if as_literal:
                password = password.replace("\ud800", "\u2603")  # the parser refuses a lone surrogate
                literal = json.dumps(password)
                body: dict[str, Any] = {
                    "query": f'mutation {{ login(input: {{username: "alice", password: {literal}}}) {{ __typename }} }}'
                }
            else:
                body = {"query": LOGIN, "variables": {"input": {"username": "alice", "password": password}}}
            shown = spell(password)
            break_flow(monkeypatch, "login", lambda *_, shown=shown: f"bad value {shown}")

            response = await api.http.post(
                "/graphql", content=json.dumps(body), headers={"Content-Type": "application/json"}
            )

            assert_masked(response, "login")
            assert "RuntimeError" in messages(caplog)
            assert shown.strip("b'\"") not in messages(caplog)


async def test_secrets_in_the_log_of_a_chain_of_failures(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The cause of the cause, notes, and groups."""

    async def broken(call: Call, username: str, password: str) -> NoReturn:
        try:
            try:
                raise KeyError(password)
            except KeyError as error:
                raise ExceptionGroup(f"several with {password}", [ValueError(password)]) from error
        except ExceptionGroup as error:
            last = RuntimeError(f"gave up on {password}")
            last.add_note(f"The password was {password}.")
            raise last from error

    monkeypatch.setattr(graphql_mfa.api.sign_in, "login", broken)

    response = await api.send(LOGIN, {"input": {"username": "alice", "password": PASSWORD}})

    assert_masked(response, "login")
    (record,) = own_records(caplog)
    assert "RuntimeError" in record.getMessage()
    assert PASSWORD not in messages(caplog)


@pytest.mark.parametrize("operation", ["me", "logout"])
async def test_access_token_in_the_log_of_a_failure(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, operation: str
) -> None:
    """It comes in a header, not in the variables."""
    token = (await api.member()).access_token

    async def broken(*args: object, **kwargs: object) -> NoReturn:
        text = f"cannot decode {token}"
        raise RuntimeError(text)

    monkeypatch.setattr(graphql_mfa.api.root, "authenticate", broken)
    monkeypatch.setattr(graphql_mfa.api.sessions, "logout", broken)
    document = {"me": "query Run { me { id } }", "logout": "mutation Run { logout { __typename } }"}[operation]

    response = await api.send(document, token=token)

    (error,) = response.json()["errors"]
    assert error["message"] == "Internal server error."
    assert token not in response.text
    assert_traceback_without(caplog, "Run", [token, token.split(".")[2]])


async def test_new_secrets_in_the_log_of_a_failure(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """New secrets must not be logged when the response with them fails."""
    registered = await api.register()
    code = code_at(registered["enrollment"]["secret"], api.clock())
    made: list[str] = []

    def broken(outcome: EnrollmentConfirmed) -> NoReturn:
        made.extend([outcome.tokens.access_token, str(outcome.tokens.refresh_token), *outcome.recovery_codes])
        raise RuntimeError(f"cannot present {outcome}")

    monkeypatch.setattr(graphql_mfa.http.schema, "get_object_definition", broken)
    variables = {"input": {"challengeToken": registered["challenge"]["token"], "otp": code}}
    response = await api.send(
        "mutation Run($input: VerifyOtpInput!) { verifyOtp(input: $input) { __typename } }", variables
    )

    assert_masked(response, "verifyOtp")
    assert len(made) == 12
    assert_traceback_without(caplog, "Run", made)


@pytest.mark.usefixtures("schema_that_breaks")
@pytest.mark.parametrize("table", ["mfa_throttles", "mfa_users", "mfa_known_addresses"])
async def test_secrets_in_the_log_of_a_broken_database(
    api: Api, services: Services, caplog: pytest.LogCaptureFixture, table: str
) -> None:
    """A real failure: a table is missing."""
    await execute(services, f"ALTER TABLE {table} RENAME TO gone")

    response = await api.send(
        "mutation Run($input: LoginInput!) { login(input: $input) { __typename } }",
        {"input": {"username": "alice", "password": PASSWORD}},
    )

    assert_masked(response, "login")
    (record,) = own_records(caplog)
    assert re.search("OperationalError|ProgrammingError", record.getMessage())
    assert re.search(r"\bRun\b", record.getMessage())
    assert PASSWORD not in messages(caplog)


@pytest.mark.usefixtures("schema_that_breaks")
async def test_secrets_in_the_log_of_a_database_that_refuses_a_value(
    api: Api, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    """A constraint fails on the new password's hash, the sealed secret, the digest: none of it is logged."""
    await execute(services, "CREATE UNIQUE INDEX refuse ON mfa_totp_devices (created_at)")
    assert (await api.register("bob"))["__typename"] == "RegisterUserSuccess"

    response = await api.send(REGISTER_USER, {"input": {"username": "alice", "password": PASSWORD}})

    assert_masked(response, "registerUser")
    log = messages(caplog)
    assert "IntegrityError" in log
    assert PASSWORD not in log
    assert "$bcrypt-sha256$" not in log
    assert "[parameters: (" not in log


async def test_secrets_in_the_log_of_a_failure_outside_of_an_operation(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> NoReturn:
        raise RuntimeError(f"cannot read {PASSWORD}")

    monkeypatch.setattr(graphql_mfa.http.router, "read_operation", broken)

    response = await api.send(LOGIN, {"input": {"username": "alice", "password": PASSWORD}})

    assert response.status_code == 500
    masked = {"message": "Internal server error.", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}
    assert response.json() == {"errors": [masked]}
    (record,) = own_records(caplog)
    assert "RuntimeError" in record.getMessage()
    assert "in broken" in record.getMessage()
    assert PASSWORD not in messages(caplog)


async def test_forged_lines_in_the_log_of_a_failure(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An operation's name may be logged, but must not forge a log line."""

    def broken(*_: object) -> NoReturn:
        raise RuntimeError

    monkeypatch.setattr(graphql_mfa.http.schema, "get_operation_ast", broken)
    name = "Run\n2026-01-01 CRITICAL root: everything is lost\r\x1b[2J"

    response = await api.http.post("/graphql", json={"query": "query Run { me { id } }", "operationName": name})

    assert response.json()["errors"][0]["message"] == "Internal server error."
    (record,) = own_records(caplog)
    text = record.getMessage()
    assert "RuntimeError" in text
    assert re.findall(r"^2026.*", text, re.MULTILINE) == []
    assert "\r" not in text
    assert "\x1b" not in text


# ------------------------------------------------------------------------------------------------- clients' mistakes

_BAD_LITERAL = '"zebra\\u002dQuartz 7 !harmonica"'
MISTAKES: dict[str, tuple[str, dict[str, Any] | None]] = {
    "wrong type": (LOGIN, {"input": {"username": "alice", "password": [PASSWORD]}}),
    "unknown input field": (LOGIN, {"input": {"username": "alice", "password": PASSWORD, "pasword": PASSWORD}}),
    "missing input field": (LOGIN, {"input": {"password": PASSWORD}}),
    "not an object": (LOGIN, {"input": PASSWORD}),
    "literal of the wrong type": (f'mutation {{ login(input: "{PASSWORD}") {{ __typename }} }}', None),
    "literal with an unknown field": (
        f'mutation {{ login(input: {{username: "a", pass: "{PASSWORD}"}}) {{ __typename }} }}',
        None,
    ),
    "syntax": (f'mutation {{ login(input: {{username: "a", password: "{PASSWORD}" ', None),
    "string without an end": (f'mutation {{ login(input: {{username: "a", password: "{PASSWORD}', None),
    "unknown argument": (f'{{ me(password: "{PASSWORD}") {{ id }} }}', None),
    "unknown field": (f'{{ you(password: "{PASSWORD}") {{ id }} }}', None),
    "two passwords for one field": (
        f'mutation {{ logout(refreshToken: "{PASSWORD}") {{ __typename }} logout(refreshToken: "x") {{ message }} }}',
        None,
    ),
    "null for a variable with a default": (
        f'mutation ($all: Boolean = true) {{ logout(refreshToken: "{PASSWORD}", everywhere: $all) {{ __typename }} }}',
        {"all": None},
    ),
    "null beside a literal that is escaped": (
        f"mutation ($all: Boolean = true) {{ logout(refreshToken: {_BAD_LITERAL}, everywhere: $all) "
        "{ __typename } }",
        {"all": None},
    ),
    "null beside a literal that the log breaks into lines": (
        f'mutation ($all: Boolean = true) {{ logout(refreshToken: "{PASSWORD}", '
        "everywhere: $all) { __typename ... on LogoutSuccess { sessionsEnded } ... on UserError { message } } }",
        {"all": None},
    ),
    "null within an input object": (
        f'mutation ($name: String = "x") {{ login(input: {{password: "{PASSWORD}", username: $name}}) '
        "{ __typename } }",
        {"name": None},
    ),
}


async def test_secrets_in_the_log_of_a_clients_mistake(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    """The error names the mistake without the value. It is not logged, so that clients can't fill the log."""
    for mistake, (document, variables) in MISTAKES.items():
        with subtests.test(mistake):
            response = await api.send(document, variables)

            assert response.json()["errors"]
            assert PASSWORD not in response.text
            assert "Internal server error." not in response.text
            assert [record.getMessage() for record in own_records(caplog)] == []


async def test_secrets_in_the_log_in_an_excerpt_of_the_document(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    """GraphQL errors print the document around them, raw, and cut every 80 columns: nothing finds a value in there."""
    for escaped, padding in itertools.product([False, True], range(0, 80, 16)):
        with subtests.test(escaped=escaped, padding=padding):
            literal = REFRESH.replace("-", "\\u002d") if escaped else REFRESH
            document = (
                f"mutation {'L' * (padding + 1)}($all: Boolean = true) {{ "
                f'logout(refreshToken: "{literal}", everywhere: $all) '
                "{ __typename ... on UserError { message } } }"
            )

            await api.send(document, {"all": None})

            log = re.sub(r"\n\s*\d*\s*\|\s?", "", messages(caplog)).replace("\\u002d", "-")
            assert REFRESH not in log
