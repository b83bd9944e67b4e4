"""The targets: this API, the framework's ceiling, the tutorial, and the peers."""

import atexit
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from benchmarks.peers import PEERS
from benchmarks.server import ONE_CORE, pinned
from benchmarks.target import Answer, Launch, OperationName, Request, Step, Target, UnexpectedAnswerError, User
from graphql_mfa.core.keys import new_key
from tests.postgresql import PostgresqlServer, program, running_server

_ROOT = Path(__file__).parent.parent
# As a deployment has it, unlike the server of the tests.
DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on", "autovacuum=on")
_KEY = new_key()
# Raised, so that throttling does not limit the load; every other setting has its default.
_LIMITS = (
    "REGISTRATION_ATTEMPTS",
    "LOGIN_ATTEMPTS",
    "LOGIN_ADDRESS_ATTEMPTS",
    "LOGIN_ADDRESS_TOTAL",
    "REFRESH_ATTEMPTS",
)

_REGISTER = """mutation Register($input: RegisterUserInput!) {
  registerUser(input: $input) {
    __typename
    ... on RegisterUserSuccess { user { username } enrollment { secret otpauthUri } challenge { token expiresIn } }
    ... on InvalidInput { fields { field code message } }
    ... on UserError { message }
  }
}"""
_LOGIN = """mutation LogIn($input: LoginInput!) {
  login(input: $input) {
    __typename
    ... on OtpRequired { challenge { token expiresIn factors } enrollmentPending }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}"""
_SESSION = "tokens { accessToken accessTokenExpiresIn refreshToken } user { username mfaEnabled }"
_VERIFY = f"""mutation Verify($input: VerifyOtpInput!) {{
  verifyOtp(input: $input) {{
    __typename
    ... on SignInSuccess {{ {_SESSION} }}
    ... on EnrollmentConfirmed {{ recoveryCodes }}
    ... on InvalidOtp {{ attemptsLeft }}
    ... on RateLimited {{ retryAfter }}
    ... on UserError {{ message }}
  }}
}}"""
_REFRESH = f"""mutation Refresh($input: RefreshSessionInput!) {{
  refreshSession(input: $input) {{ __typename ... on SignedIn {{ {_SESSION} }} ... on UserError {{ message }} }}
}}"""
_ME = "query Me { me { id username mfaEnabled recoveryCodesLeft } }"
_CEREMONY = "{ __typename ... on PasskeyCeremony { ceremonyToken publicKey } ... on UserError { message } }"
_BEGIN_REGISTRATION = f"mutation BeginRegistration {{ beginPasskeyRegistration {_CEREMONY} }}"
_FINISH_REGISTRATION = """mutation FinishRegistration($input: FinishPasskeyRegistrationInput!) {
  finishPasskeyRegistration(input: $input) {
    __typename
    ... on PasskeyAdded { passkey { id } }
    ... on UserError { message }
  }
}"""
_BEGIN_PASSKEY_LOGIN = f"mutation BeginLogin {{ beginPasskeyLogin {_CEREMONY} }}"
_FINISH_PASSKEY_LOGIN = f"""mutation FinishLogin($input: FinishPasskeyLoginInput!) {{
  finishPasskeyLogin(input: $input) {{
    __typename
    ... on SignInSuccess {{ {_SESSION} }}
    ... on UserError {{ message }}
  }}
}}"""


def _ask(document: str, user: User, **input: Any) -> Request:
    headers = {"Content-Type": "application/json"}
    if token := user.state.get("access token"):
        headers["Authorization"] = f"Bearer {token}"
    body = {"query": document} | ({"variables": {"input": input}} if input else {})
    return Request("/graphql", json.dumps(body).encode(), headers=headers)


def _result(answer: Answer, field: str, *expected: str) -> dict[str, Any]:
    data = answer.json().get("data")
    result = data and data.get(field)
    if not isinstance(result, dict) or (expected and result["__typename"] not in expected):
        raise UnexpectedAnswerError(f"{field}: {answer.body[:500]!r}")
    return result


def _registered(user: User, answer: Answer) -> None:
    result = _result(answer, "registerUser", "RegisterUserSuccess")
    user.secret = result["enrollment"]["secret"]
    user.state["challenge"] = result["challenge"]["token"]


def _challenged(user: User, answer: Answer) -> None:
    user.state["challenge"] = _result(answer, "login", "OtpRequired")["challenge"]["token"]


def _opened(field: str, *expected: str) -> Callable[[User, Answer], None]:
    def read(user: User, answer: Answer) -> None:
        tokens = _result(answer, field, *expected)["tokens"]
        user.state |= {"access token": tokens["accessToken"], "refresh token": tokens["refreshToken"]}

    return read


def _verify(read: Callable[[User, Answer], None]) -> Step:
    return Step(lambda user: _ask(_VERIFY, user, challengeToken=user.state["challenge"], otp=user.code), read)


def _answered(field: str) -> Callable[[User, Answer], None]:
    def read(user: User, answer: Answer) -> None:
        ceremony = _result(answer, field, "PasskeyCeremony")
        options = ceremony["publicKey"]
        credential = user.passkey.create(options) if "rp" in options else user.passkey.get(options)
        user.state |= {"ceremony": ceremony["ceremonyToken"], "credential": json.dumps(credential)}

    return read


def _finish(document: str, read: Callable[[User, Answer], None]) -> Step:
    def request(user: User) -> Request:
        credential = json.loads(user.state["credential"])
        return _ask(document, user, ceremonyToken=user.state["ceremony"], credential=credential)

    return Step(request, read)


def _require_passkey(_: User, answer: Answer) -> None:
    _result(answer, "finishPasskeyRegistration", "PasskeyAdded")


_ADD_PASSKEY = (
    Step(lambda user: _ask(_BEGIN_REGISTRATION, user), _answered("beginPasskeyRegistration")),
    _finish(_FINISH_REGISTRATION, _require_passkey),
)


def _graphql_operations(me: Callable[[User, Answer], None]) -> Mapping[OperationName, Sequence[Step]]:
    return {
        "registerUser": [
            Step(lambda user: _ask(_REGISTER, user, username=user.name, password=user.password), _registered)
        ],
        "confirm": [_verify(_opened("verifyOtp", "EnrollmentConfirmed", "SignedIn"))],
        "login": [Step(lambda user: _ask(_LOGIN, user, username=user.name, password=user.password), _challenged)],
        "verifyOtp": [_verify(_opened("verifyOtp", "SignedIn"))],
        "me": [Step(lambda user: _ask(_ME, user), me)],
        "refreshSession": [
            Step(
                lambda user: _ask(_REFRESH, user, refreshToken=user.state["refresh token"]),
                _opened("refreshSession", "SignedIn"),
            )
        ],
        "beginPasskeyLogin": [Step(lambda user: _ask(_BEGIN_PASSKEY_LOGIN, user), _answered("beginPasskeyLogin"))],
        "finishPasskeyLogin": [_finish(_FINISH_PASSKEY_LOGIN, _opened("finishPasskeyLogin", "SignedIn"))],
    }


def _require_same_user(user: User, answer: Answer) -> None:
    if _result(answer, "me")["username"] != user.name:
        raise UnexpectedAnswerError("`me` is somebody else")


def _require_user(_: User, answer: Answer) -> None:
    _result(answer, "me")


def _uvicorn(port: int, *application: str) -> Launch:
    options = ["--app-dir", str(_ROOT), "--host", "127.0.0.1", "--port", str(port)]
    # The fastest that it has, and no line of the log for each request.
    options += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    # A connection that waits for its turn on a busy machine is not idle.
    options += ["--timeout-keep-alive", "600"]
    return Launch([sys.executable, "-m", "uvicorn", *options, *application])


@dataclass(frozen=True)
class _Own:
    """Targets that run in this environment."""

    name: str
    description: str
    hashes: bool
    codes_once: bool
    operations: Mapping[OperationName, Sequence[Step]]
    ready: Request
    start: Callable[[int, int], Launch]

    def install(self) -> None:
        """It is here."""

    def launch(self, port: int, rounds: int) -> Launch:
        """As the interface says."""
        return self.start(port, rounds)

    def prepare(self, folder: Path) -> None:
        """It prepares itself."""


def _serve(port: int, rounds: int, environment: Mapping[str, str]) -> Launch:
    return Launch(
        [sys.executable, "-m", "graphql_mfa", "serve", "--port", str(port)],
        {
            "GRAPHQL_MFA_BCRYPT_ROUNDS": str(rounds),
            "GRAPHQL_MFA_PASSKEY_RP_ID": "localhost",
            "GRAPHQL_MFA_PASSKEY_ORIGINS": "http://localhost:8000",
            **{f"GRAPHQL_MFA_{name}": "1000000" for name in _LIMITS},
            **environment,
        },
    )


_READY = Request("/graphql", b'{"query": "{ __typename }"}', headers={"Content-Type": "application/json"})


def ours(environment: Mapping[str, str] = MappingProxyType({})) -> Target:
    """This API, with custom settings."""
    return _Own(
        name="ours",
        description=f"graphql-mfa {version('graphql-mfa')}",
        hashes=True,
        codes_once=True,
        operations={**_graphql_operations(_require_same_user), "addPasskey": _ADD_PASSKEY},
        ready=_READY,
        start=lambda port, rounds: _serve(port, rounds, environment),
    )


OURS = ours()


class _OnPostgresql(_Own):
    """A deployment with its own durable PostgreSQL server on the same core."""

    def install(self) -> None:
        """Start the server, which ends with this process."""
        with pinned(ONE_CORE):
            _postgresql()

    def prepare(self, folder: Path) -> None:
        """Make a database, and note it where `launch` finds it: in the working directory."""
        (folder / "database.url").write_text(_postgresql().migrated_database())

    def launch(self, port: int, rounds: int) -> Launch:
        """As the interface says."""
        launch = super().launch(port, rounds)
        script = 'GRAPHQL_MFA_DATABASE_URL=$(cat database.url) exec "$0" "$@"'
        return replace(launch, command=["/bin/sh", "-c", script, *launch.command])


@cache
def _postgresql() -> PostgresqlServer:
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(running_server(*DURABLE))


ON_POSTGRESQL: Target = _OnPostgresql(
    name="ours-postgresql",
    description=f"graphql-mfa {version('graphql-mfa')}, its database beside it on the same core",
    hashes=True,
    codes_once=True,
    operations=OURS.operations,
    ready=_READY,
    start=lambda port, rounds: _serve(port, rounds, {"GRAPHQL_MFA_SECRET_KEYS": _KEY}),
)
BARE: Target = _Own(
    name="bare",
    description=f"Strawberry {version('strawberry-graphql')} with constant answers",
    hashes=False,
    codes_once=False,
    operations=_graphql_operations(_require_user),
    ready=_READY,
    start=lambda port, _: _uvicorn(port, "--factory", "benchmarks.apps.bare:create_app"),
)


def _call(path: str, *names: str) -> Callable[[User], Request]:
    """The tutorial has everything in the query."""

    def request(user: User) -> Request:
        known = {"username": user.name, "password": user.password, "otp": user.code}
        return Request(f"{path}?{urlencode({name: known[name] for name in names})}")

    return request


def _secret_given(user: User, answer: Answer) -> None:
    user.secret = answer.json()["otp_secret"]


def _require_success(_: User, answer: Answer) -> None:
    answer.assert_success()


TUTORIAL: Target = _Own(
    name="tutorial",
    description=f"FastAPI {version('fastapi')}, synchronous SQLAlchemy {version('sqlalchemy')}, pyotp",
    hashes=False,
    codes_once=False,
    operations={
        "registerUser": [Step(_call("/register", "username", "password"), _secret_given)],
        "login": [Step(_call("/login", "username", "password"), _require_success)],
        "verifyOtp": [Step(_call("/verify-otp", "username", "otp"), _require_success)],
    },
    ready=Request("/openapi.json", method="GET"),
    start=lambda port, _: _uvicorn(port, "benchmarks.apps.tutorial:app"),
)

_DATABASES = (ON_POSTGRESQL,) if program("initdb") else ()
TARGETS: Mapping[str, Target] = {target.name: target for target in (OURS, *_DATABASES, *PEERS, TUTORIAL, BARE)}
