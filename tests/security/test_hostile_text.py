"""Attack: text that one layer reads differently from the next: cut, normalised, folded, or not encodable at all."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from fastapi import FastAPI
from passlib.hash import bcrypt

from graphql_mfa.services import Services
from tests.api.scenarios import change_password
from tests.api_client import LOGIN, PASSWORD, REGISTER_USER, VERIFY_OTP, Api, Result
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect
from tests.security.attacks import FULLWIDTH_ALICE, attempts_counted, execute, kinds, sessions_of

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
FULLWIDTH_DIGITS = {ord("0") + digit: 0xFF10 + digit for digit in range(10)}

# --------------------------------------------------------------------------------------------------- long passwords

LONG = "correct horse battery staple, and then on and on until bcrypt stops to read: "  # 77 bytes
EMOJI = "🐴🔋📎🦦🚣🌊🧂🪑🎻🥁🎲🧭🗿🪁🧵🪡🧶🪢🛶🏔"  # 80 bytes


@pytest.mark.parametrize("start", [LONG, EMOJI], ids=["ASCII", "emoji"])
async def test_password_that_differs_past_72_bytes(api: Api, start: str) -> None:
    """bcrypt reads no more; here the whole password counts."""
    assert len(start.encode()) > 72
    registered = await api.register(password=f"{start}otters")
    assert registered["__typename"] == "RegisterUserSuccess", registered

    answers = [(await api.login(password=start + end))["__typename"] for end in ("badgers", "otter", "otters ", "")]

    assert answers == ["InvalidCredentials"] * 4
    assert (await api.login(password=f"{start}otters"))["__typename"] == "OtpRequired"


async def test_password_with_anything_after_its_longest_length(api: Api) -> None:
    longest = (LONG * 2)[:127] + "."
    registered = await api.register(password=longest)
    assert registered["__typename"] == "RegisterUserSuccess", registered

    assert (await api.login(password=f"{longest}x"))["__typename"] == "InvalidCredentials"
    assert (await api.login(password=longest + "x" * 50_000))["__typename"] == "InvalidCredentials"
    assert (await api.login(password=longest))["__typename"] == "OtpRequired"
    too_long = await api.register("mallory", f"{longest}x")
    assert [field["code"] for field in too_long["fields"]] == ["TOO_LONG"]


@pytest.mark.parametrize("text", ["\ufdfa", "\ufdfb", "\u3300", "ﬃ", "\u0958", "\U0001d400"])
async def test_password_that_grows_when_it_is_normalised(api: Api, text: str) -> None:
    """NFKC expands one character to eighteen; the result must still be handled."""
    for length in (1, 64, 127, 128):
        assert (await api.login(password=text * length))["__typename"] == "InvalidCredentials"
    registered = await api.register("mallory", "four-otters-row-upstream" + text * 104)
    assert registered["__typename"] == "RegisterUserSuccess", registered
    accepted = await api.login("mallory", "four-otters-row-upstream" + text * 104)
    assert accepted["__typename"] == "OtpRequired"
    assert (await api.login("mallory", "four-otters-row-upstream" + text * 103))["__typename"] == "InvalidCredentials"


# -------------------------------------------------------------------------------------------------------------- NUL


async def test_password_cut_at_a_nul(api: Api) -> None:
    password = "correct horse\0battery staple"
    registered = await api.register(password=password)
    assert registered["__typename"] == "RegisterUserSuccess", registered

    for guess in ("correct horse", "correct horse\0", "correct horse\0battery", "correct horse\0battery stable"):
        assert (await api.login(password=guess))["__typename"] == "InvalidCredentials"
    assert (await api.login(password=password))["__typename"] == "OtpRequired"


async def import_bcrypt_user(api: Api, services: Services, password: bytes, rounds: int = 4) -> None:
    """Alice, with the plain bcrypt hash that an older system made."""
    await api.member()
    old_hash = bcrypt.using(rounds=rounds).hash(password)
    await execute(services, "UPDATE mfa_users SET password_hash = :hash", hash=old_hash)


async def test_password_of_an_imported_account_cut_at_a_nul(api: Api, services: Services) -> None:
    """bcrypt stops or raises at a NUL; it must neither cut the password nor fail, nor stand for another character."""
    await import_bcrypt_user(api, services, b"correct horse?battery staple")

    for guess in ("correct horse\0battery staple", "correct horse", "correct horse?battery staple\0", "\0"):
        assert (await api.login(password=guess))["__typename"] == "InvalidCredentials"
    assert (await api.login(password="correct horse?battery staple"))["__typename"] == "OtpRequired"


async def test_password_of_an_imported_account_past_72_bytes(api: Api, services: Services) -> None:
    """Its origin read no more, so any end is right; none of them becomes the password before its owner sets one."""
    member = await api.member()
    old_hash = bcrypt.using(rounds=4).hash(LONG.encode()[:72])
    await execute(services, "UPDATE mfa_users SET password_hash = :hash", hash=old_hash)
    for end in ("badgers", "", "otters" * 20):
        assert (await api.login(password=f"{LONG}{end}"))["__typename"] == "OtpRequired"

    new = f"{LONG}otters"
    changed = await change_password(api, member.access_token, f"{LONG}badgers", new)
    assert changed["__typename"] == "PasswordChanged"

    assert (await api.login(password=f"{LONG}badgers"))["__typename"] == "InvalidCredentials"
    assert (await api.login(password=new))["__typename"] == "OtpRequired"


async def test_password_of_an_imported_account_cut_inside_a_character(api: Api, services: Services) -> None:
    """The 72nd byte is the middle of an emoji."""
    password = "abc horse battery staple " + "🐴" * 12
    assert len(password.encode()[:72].decode(errors="ignore").encode()) < 72
    await import_bcrypt_user(api, services, password.encode()[:72])

    assert (await api.login(password=password[:-1]))["__typename"] == "InvalidCredentials"
    assert (await api.login(password=password))["__typename"] == "OtpRequired"


# ----------------------------------------------------------------------------------------------------------- digits


@pytest.fixture
def patient(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """An application in which wrong codes make no wait."""
    monkeypatch.setattr("graphql_mfa.flows.limits.OTP_FAILURES_BEFORE_BACKOFF", 100)
    return app


async def test_code_in_characters_that_only_normalise_to_digits(
    patient: FastAPI, connect: Connect, clock: Clock, subtests: pytest.Subtests
) -> None:
    """NFKC, as pyotp applies it, would make digits of them."""
    api, services = connect(patient), patient.state.services
    member = await api.member()
    code = code_at(member.secret, clock())
    for counted, digits in enumerate(["⁰¹²³⁴⁵⁶⁷⁸⁹", "₀₁₂₃₄₅₆₇₈₉", "⓪①②③④⑤⑥⑦⑧⑨"], start=1):
        with subtests.test(digits):
            answer = await api.verify_otp(await api.challenge(), code.translate(str.maketrans("0123456789", digits)))

            assert answer["__typename"] == "InvalidOtp"
            assert await attempts_counted(services) == counted
            assert await sessions_of(services) == 1


async def test_spellings_of_one_code_are_as_many_guesses_and_one_use(api: Api, clock: Clock) -> None:
    """Digits of other scripts and separators are folded before the comparison: they neither add guesses nor uses."""
    member = await api.member()
    code, wrong = code_at(member.secret, clock()), wrong_code(member.secret, clock())
    challenge = await api.challenge()
    spellings = [f"{wrong[:3]}-{wrong[3:]}", f"\u200e{wrong}", wrong.translate(FULLWIDTH_DIGITS)]

    answers = [await api.verify_otp(challenge, spelling) for spelling in spellings]
    assert [answer["attemptsLeft"] for answer in answers] == [4, 3, 2]

    assert (await api.verify_otp(challenge, code.translate(FULLWIDTH_DIGITS)))["__typename"] == "SignedIn"
    for spelling in (code, f"{code[:3]} {code[3:]}", f"{code}\ufeff"):
        assert (await api.verify_otp(await api.challenge(), spelling))["__typename"] == "OtpAlreadyUsed"


async def test_code_with_more_than_digits(
    patient: FastAPI, connect: Connect, clock: Clock, subtests: pytest.Subtests
) -> None:
    api = connect(patient)
    member = await api.member()
    for form in ["{}0", "0{}", "{}.0", "+{}", "{}e0", "0x{}", "{0}{0}", "{}\0", "{},", ""]:
        with subtests.test(form=form):
            answer = await api.verify_otp(await api.challenge(), form.format(code_at(member.secret, clock())))

            assert answer["__typename"] == "InvalidOtp"
            assert answer["attemptsLeft"] == 4
            assert await sessions_of(patient.state.services) == 1


# ------------------------------------------------------------------------------------------------------------ names


async def test_name_that_is_taken_in_another_spelling(api: Api, subtests: pytest.Subtests) -> None:
    """Two accounts whose names look alike, and one of them is the attacker's."""
    await api.register("alice")

    for twin in ["ALICE", "Alice", FULLWIDTH_ALICE, "ᴬlice", "ⓐlice", "\U0001d4b6lice", "ALICe"]:
        with subtests.test(twin=twin):
            assert (await api.register(twin))["__typename"] == "UsernameTaken"
            assert (await api.login(twin))["__typename"] == "OtpRequired"


async def test_name_that_shows_as_another(api: Api, subtests: pytest.Subtests) -> None:
    for name in [
        "ali\u200bce",
        "ali\u00adce",
        "\u202ealice",
        "alice\u0000",
        "alice\ufeff",
        "al\u3164ice",
        "alice\U000e0100",
        "alice ",
        " alice",
        "alice\n",
        "\u2003alice",
        "issuer:alice",
        "issuer\uff1aalice",
        "ali\ue000ce",
        "alice\u2028",
        "\ud800lice",
    ]:
        with subtests.test(name=name):
            body = json.dumps(
                {"query": REGISTER_USER, "variables": {"input": {"username": name, "password": PASSWORD}}}
            )
            response = await api.http.post("/graphql", content=body, headers={"Content-Type": "application/json"})

            answer = response.json()["data"]["registerUser"]
            assert answer["__typename"] == "InvalidInput"
            assert [(field["field"], field["code"]) for field in answer["fields"]] == [
                ("username", "INVALID_CHARACTERS")
            ]


# ----------------------------------------------------------------------------------- every string of every mutation

HOSTILE = {
    "lone high surrogate": "\ud800",
    "lone low surrogate": "\udfff",
    "surrogate inside": "mfac_\udc00" + "A" * 42,
    "surrogates in the wrong order": "\udc00\ud800",
    "NUL": "\0",
    "NUL inside": "abc\0def",
    "noncharacter": "\uffff",
    "right to left": "\u202e",
    "grows": "\ufdfa" * 200,
    "long": "x" * 50_000,
    "combining": "a" + "\u0301" * 5_000,
    "empty": "",
    "blank": " ",
    "SQL": "'; DROP TABLE mfa_users; --",
    "format": "%s%n{0}{}",
    "HTML": "<script>alert(1)</script>",
}

_STRINGS = """{
  __schema {
    mutationType { fields { name args { name type { ...T } } } }
    types { name kind inputFields { name defaultValue type { ...T } } }
  }
}
fragment T on __Type { name kind ofType { name kind ofType { name kind ofType { name kind } } } }"""


_TEXTS = {"String", "ID", "WebAuthnJSON"}


def _named(type_: Result) -> tuple[str, bool]:
    """The type's name, and whether it is required."""
    required = type_["kind"] == "NON_NULL"
    while type_["name"] is None:
        type_ = type_["ofType"]
    return type_["name"], required


def _calls(schema: Result) -> list[tuple[str, str, dict[str, Any], list[str | int]]]:
    """One call per string that a mutation takes: name, document, variables, and the path of the string in these."""
    inputs = {type_["name"]: type_["inputFields"] for type_ in schema["types"] if type_["kind"] == "INPUT_OBJECT"}
    calls: list[tuple[str, str, dict[str, Any], list[str | int]]] = []
    for field in schema["mutationType"]["fields"]:
        variables: dict[str, Any] = {}
        paths: list[list[str | int]] = []
        declared = []
        for argument in field["args"]:
            name, required = _named(argument["type"])
            declared.append((argument["name"], name + "!" * required))
            if name in inputs:
                variables[argument["name"]] = {
                    inner["name"]: "x"
                    for inner in inputs[name]
                    if _named(inner["type"])[1] and inner["defaultValue"] is None
                }
                paths += [
                    [argument["name"], inner["name"]] for inner in inputs[name] if _named(inner["type"])[0] in _TEXTS
                ]
            elif name in _TEXTS:
                paths.append([argument["name"]])
        parameters = ", ".join(f"${name}: {type_}" for name, type_ in declared)
        arguments = ", ".join(f"{name}: ${name}" for name, _ in declared)
        head = f"({parameters})" if declared else ""
        document = f"mutation {head} {{ {field['name']}{f'({arguments})' if declared else ''} {{ __typename }} }}"
        document = document.replace("$everywhere: Boolean!", "$everywhere: Boolean! = false")
        calls += [(field["name"], document, variables, path) for path in paths]
    return calls


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_text_in_every_string_of_every_mutation(app: FastAPI, api: Api, text: str) -> None:
    """The answer has a type, or is the client's fault; it is never ours."""
    schema = (await api.send(_STRINGS)).json()["data"]["__schema"]
    calls = _calls(schema)
    assert len(calls) >= 12
    for name, document, variables, path in calls:
        filled = json.loads(json.dumps(variables))
        target = filled
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = text
        body = json.dumps({"query": document, "variables": filled})

        response = await api.http.post("/graphql", content=body, headers={"Content-Type": "application/json"})

        assert response.status_code < 500, (name, path, response.text)
        if response.status_code == 200:
            answer = response.json()
            assert "errors" not in answer, (name, path, answer)
            assert answer["data"][name]["__typename"], (name, path)


async def test_lone_surrogate_in_a_literal(api: Api, subtests: pytest.Subtests) -> None:
    for text in ["\\ud800", "\\uDC00", "\\u{D800}", "\\u{DFFF}", "\\ud800\\u0041", "\\u{110000}"]:
        with subtests.test(text=text):
            document = f'mutation {{ login(input: {{username: "{text}", password: "{text}"}}) {{ __typename }} }}'

            response = await api.send(document)

            assert response.status_code < 500
            assert set(response.json()) == {"errors"}
            assert response.json()["errors"][0]["message"].startswith("Syntax Error")


async def test_lone_surrogate_in_a_real_challenge(api: Api, clock: Clock, services: Services) -> None:
    """Beside a token that is right."""
    member = await api.member()
    challenge = await api.challenge()
    variables = {"input": {"challengeToken": challenge["token"], "otp": "\ud800" + code_at(member.secret, clock())}}
    body = json.dumps({"query": VERIFY_OTP, "variables": variables})

    response = await api.http.post("/graphql", content=body, headers={"Content-Type": "application/json"})

    assert kinds(response.json()["data"].values()) == {"InvalidOtp": 1}
    assert await sessions_of(services) == 1


async def test_lone_surrogate_in_an_undeclared_variable(api: Api) -> None:
    variables = {
        "input": {"username": "alice", "password": "\ud800"},
        "\ud800": {"\udc00": ["\ud800", {"\ud800": None}]},
    }
    body = json.dumps({"query": LOGIN, "variables": variables, "extensions": {"\ud800": "\ud800"}})

    response = await api.http.post("/graphql", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 200
    assert kinds(response.json()["data"].values()) == {"InvalidCredentials": 1}
