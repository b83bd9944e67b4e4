"""`graphql-mfa demo`: a complete sign-in over HTTP, step by step."""

import json
import secrets
import socket
import tempfile
import textwrap
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, cast
from urllib.parse import urlsplit

import pyotp
import segno

from graphql_mfa.core.addresses import is_loopback

_TIMEOUT_SECONDS = 30
_POLL_SECONDS = 0.02
_COLUMNS = 100

_REGISTER = """mutation Register($input: RegisterUserInput!) {
  registerUser(input: $input) {
    __typename
    ... on RegisterUserSuccess { user { username mfaEnabled } enrollment { otpauthUri } challenge { token } }
    ... on UserError { message }
  }
}"""
_VERIFY = """mutation Verify($input: VerifyOtpInput!) {
  verifyOtp(input: $input) {
    __typename
    ... on SignInSuccess { user { mfaEnabled } tokens { accessToken accessTokenExpiresIn } }
    ... on EnrollmentConfirmed { recoveryCodes }
    ... on UserError { message }
  }
}"""
_LOG_OUT = """mutation LogOut {
  logout { __typename ... on LogoutSuccess { sessionsEnded } ... on UserError { message } }
}"""
_LOG_IN = """mutation LogIn($input: LoginInput!) {
  login(input: $input) {
    __typename
    ... on OtpRequired { challenge { token factors } }
    ... on UserError { message }
  }
}"""
_REAUTHENTICATE = """mutation Reauthenticate($input: ReauthenticateInput!) {
  reauthenticate(input: $input) {
    __typename
    ... on Reauthenticated { accessToken user { recoveryCodesLeft } }
    ... on UserError { message }
  }
}"""
_REGENERATE = """mutation NewRecoveryCodes {
  regenerateRecoveryCodes { __typename ... on RecoveryCodes { recoveryCodes } ... on UserError { message } }
}"""
_ME = """query Me {
  me {
    __typename username recoveryCodesLeft
    totpDevices { name }
    sessions { userAgent }
    securityEvents { kind }
  }
}"""
_POLICY = "query Policy { policy { __typename passkeyRpId } }"
_BEGIN_PASSKEY_REGISTRATION = """mutation BeginRegistration($input: BeginPasskeyRegistrationInput!) {
  beginPasskeyRegistration(input: $input) {
    __typename
    ... on PasskeyCeremony { ceremonyToken publicKey }
    ... on UserError { message }
  }
}"""
_FINISH_PASSKEY_REGISTRATION = """mutation FinishRegistration($input: FinishPasskeyRegistrationInput!) {
  finishPasskeyRegistration(input: $input) {
    __typename
    ... on EnrollmentConfirmed { user { mfaEnabled } tokens { accessToken accessTokenExpiresIn } recoveryCodes }
    ... on UserError { message }
  }
}"""
_BEGIN_PASSKEY_LOGIN = """mutation BeginLogin($input: BeginPasskeyLoginInput) {
  beginPasskeyLogin(input: $input) {
    __typename
    ... on PasskeyCeremony { ceremonyToken publicKey }
    ... on UserError { message }
  }
}"""
_FINISH_PASSKEY_LOGIN = """mutation FinishLogin($input: FinishPasskeyLoginInput!) {
  finishPasskeyLogin(input: $input) {
    __typename
    ... on SignInSuccess { user { username } tokens { accessToken accessTokenExpiresIn } }
    ... on UserError { message }
  }
}"""
_BEGIN_PASSKEY_REAUTHENTICATION = """mutation BeginReauthentication {
  beginPasskeyReauthentication {
    __typename
    ... on PasskeyCeremony { ceremonyToken publicKey }
    ... on UserError { message }
  }
}"""
_MY_PASSKEYS = """query Me {
  me {
    __typename username
    passkeys { name }
    sessions { userAgent }
    securityEvents { kind }
  }
}"""


class UnexpectedAnswerError(Exception):
    """The server's answer was not the expected one."""


class _Story:
    """Prints numbered steps, and the operations of each with their outcomes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._steps = 0

    def step(self, title: str, text: str) -> None:
        """Start the next step."""
        self._steps += 1
        heading = f"{self._steps}. {title}"
        print(f"\n{heading}\n{'-' * len(heading)}\n{textwrap.fill(text, _COLUMNS)}\n")

    def ask(
        self, field: str, document: str, expected: str, values: dict[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        """Send an operation, print its outcome, and return it. Raises UnexpectedAnswerError for another type."""
        answer = _post(self._url, field, document, {"input": values} if values else {}, token)
        data = answer.get("data") if isinstance(answer, dict) else None
        result = data.get(field) if isinstance(data, dict) else None
        if not isinstance(result, dict) or result.get("__typename") != expected:
            print(json.dumps(answer, indent=2))
            raise UnexpectedAnswerError(f"{field} did not answer {expected}")
        print(f"  {field} -> {expected}")
        for line in _facts(result):
            print(f"    {line}")
        return result


def converse(url: str, *, passkey: bool = False) -> bool:
    """Run the demo against a server, with a passkey or an authenticator app. False after an unexpected answer."""
    story = _Story(url)
    try:
        if passkey:
            username, means = _sign_in_by_passkey(story, url), "a passkey, after a password and without one"
        else:
            username, means = _sign_in_by_totp(story), "a password and a one-time code"
    except UnexpectedAnswerError as error:
        print(f"\nThe demo failed: {error}.")
        return False
    print(f"\nSigned in as {username} with {means}.")
    return True


def origin_of(url: str, domain: str) -> str:
    """The origin of a page at the URL; the domain replaces a host outside it, such as 127.0.0.1."""
    parts = urlsplit(url)
    inside = parts.hostname and parts.hostname.endswith(f".{domain}")
    return f"{parts.scheme}://{parts.hostname if inside else domain}" + (f":{parts.port}" if parts.port else "")


def _sign_in_by_totp(story: _Story) -> str:
    """Register, sign in, step up and look at the account. Returns the username."""
    account = _new_account()

    story.step(
        "Register", "A username and a password create an account, and a challenge to set up an authenticator app."
    )
    registered = story.ask("registerUser", _REGISTER, "RegisterUserSuccess", account)
    print("\n  The otpauthUri as a QR code, for an authenticator app (the demo itself is one):\n")
    segno.make(registered["enrollment"]["otpauthUri"], micro=False).terminal(compact=True)
    app = cast("pyotp.TOTP", pyotp.parse_uri(registered["enrollment"]["otpauthUri"]))

    story.step(
        "Confirm the app", "Its first code enables the second factor and signs in. Recovery codes are shown once."
    )
    first_code = app.now()
    confirmed = story.ask("verifyOtp", _VERIFY, "EnrollmentConfirmed", _answer(registered, first_code))
    _check("mfaEnabled is true", confirmed["user"]["mfaEnabled"])
    recovery_codes = confirmed["recoveryCodes"]

    story.step("Log out", "The session ends at once, though its access token has not expired.")
    token = confirmed["tokens"]["accessToken"]
    story.ask("logout", _LOG_OUT, "LogoutSuccess", token=token)
    story.ask("logout", _LOG_OUT, "NotAuthenticated", token=token)

    story.step(
        "Log in", "The right password only opens a challenge. The code of step 2 is used, and refused a second time."
    )
    required = story.ask("login", _LOG_IN, "OtpRequired", account)
    story.ask("verifyOtp", _VERIFY, "OtpAlreadyUsed", _answer(required, first_code))
    # The next code is accepted a little early, so don't wait for it.
    next_code = app.at(datetime.now(UTC), counter_offset=1)
    token = story.ask("verifyOtp", _VERIFY, "SignedIn", _answer(required, next_code))["tokens"]["accessToken"]

    story.step(
        "Replace the recovery codes",
        "A sensitive operation: it requires a second factor verified within the last five minutes, here by a recovery"
        " code, which is used up.",
    )
    code = {"recoveryCode": recovery_codes[0]}
    stepped_up = story.ask("reauthenticate", _REAUTHENTICATE, "Reauthenticated", code, token)
    _check("one recovery code is used up", stepped_up["user"]["recoveryCodesLeft"] == len(recovery_codes) - 1)
    token = stepped_up["accessToken"]
    renewed = story.ask("regenerateRecoveryCodes", _REGENERATE, "RecoveryCodes", token=token)
    _check("the recovery codes are new", not set(recovery_codes) & set(renewed["recoveryCodes"]))

    story.step("Look at the account", "The data of an account page, with the events of the steps above.")
    me = story.ask("me", _ME, "User", token=token)
    _check("`me` is the account of step 1", me["username"] == account["username"])
    _check("all new recovery codes are left", me["recoveryCodesLeft"] == len(renewed["recoveryCodes"]))
    return account["username"]


def _sign_in_by_passkey(story: _Story, url: str) -> str:
    """Enroll with a passkey, sign in with it, step up and look at the account. Returns the username."""
    from graphql_mfa.testing import SoftwarePasskey

    account = _new_account()

    story.step("Ask for the domain of passkeys", "A browser uses a passkey on the pages of its domain only.")
    domain = story.ask("policy", _POLICY, "AuthPolicy")["passkeyRpId"]
    if domain is None:
        raise UnexpectedAnswerError(
            "passkeys are off on this server; GRAPHQL_MFA_PASSKEY_RP_ID and GRAPHQL_MFA_PASSKEY_ORIGINS turn them on"
        )
    origin = origin_of(url, domain)
    authenticator = SoftwarePasskey(origin)
    print(f"  The demo is a browser with a page of {origin}, and an authenticator.")

    story.step("Register", "A username and a password create an account, and a challenge to set up a second factor.")
    challenge = story.ask("registerUser", _REGISTER, "RegisterUserSuccess", account)["challenge"]

    story.step(
        "Add a passkey",
        "In place of an authenticator app. The new passkey enables the second factor and signs in. Recovery codes are"
        " shown once.",
    )
    values = {"challengeToken": challenge["token"]}
    begun = story.ask("beginPasskeyRegistration", _BEGIN_PASSKEY_REGISTRATION, "PasskeyCeremony", values)
    created = {"ceremonyToken": begun["ceremonyToken"], "credential": authenticator.create(begun["publicKey"])}
    confirmed = story.ask("finishPasskeyRegistration", _FINISH_PASSKEY_REGISTRATION, "EnrollmentConfirmed", created)
    _check("mfaEnabled is true", confirmed["user"]["mfaEnabled"])
    story.ask("logout", _LOG_OUT, "LogoutSuccess", token=confirmed["tokens"]["accessToken"])

    def answer(begun: dict[str, Any]) -> dict[str, Any]:
        return {"ceremonyToken": begun["ceremonyToken"], "credential": authenticator.get(begun["publicKey"])}

    story.step(
        "Log in with the password and the passkey",
        "The passkey signs the challenge of a ceremony. Its answer is used up, and refused a second time.",
    )
    values = {"challengeToken": story.ask("login", _LOG_IN, "OtpRequired", account)["challenge"]["token"]}
    signed = answer(story.ask("beginPasskeyLogin", _BEGIN_PASSKEY_LOGIN, "PasskeyCeremony", values))
    story.ask("finishPasskeyLogin", _FINISH_PASSKEY_LOGIN, "SignedIn", signed)
    story.ask("finishPasskeyLogin", _FINISH_PASSKEY_LOGIN, "ChallengeExpired", signed)

    story.step(
        "Sign in with the passkey alone",
        "It names the account. It verifies its user, by a PIN or a fingerprint, which makes it two factors.",
    )
    begun = story.ask("beginPasskeyLogin", _BEGIN_PASSKEY_LOGIN, "PasskeyCeremony")
    signed_in = story.ask("finishPasskeyLogin", _FINISH_PASSKEY_LOGIN, "SignedIn", answer(begun))
    _check("the passkey names the account", signed_in["user"]["username"] == account["username"])
    token = signed_in["tokens"]["accessToken"]

    story.step(
        "Replace the recovery codes",
        "A sensitive operation: it requires a second factor verified within the last five minutes, here the passkey"
        " again.",
    )
    begun = story.ask("beginPasskeyReauthentication", _BEGIN_PASSKEY_REAUTHENTICATION, "PasskeyCeremony", token=token)
    stepped_up = story.ask("reauthenticate", _REAUTHENTICATE, "Reauthenticated", {"passkey": answer(begun)}, token)
    token = stepped_up["accessToken"]
    renewed = story.ask("regenerateRecoveryCodes", _REGENERATE, "RecoveryCodes", token=token)
    _check("the recovery codes are new", not set(confirmed["recoveryCodes"]) & set(renewed["recoveryCodes"]))

    story.step("Look at the account", "The data of an account page, with the events of the steps above.")
    me = story.ask("me", _MY_PASSKEYS, "User", token=token)
    _check("`me` is the account of step 2", me["username"] == account["username"])
    _check("the account has one passkey", len(me["passkeys"]) == 1)
    return account["username"]


def _new_account() -> dict[str, str]:
    return {"username": f"demo-{secrets.token_hex(4)}", "password": secrets.token_urlsafe(18)}


def _answer(asked: dict[str, Any], otp: str) -> dict[str, Any]:
    return {"challengeToken": asked["challenge"]["token"], "otp": otp}


def _check(statement: str, holds: bool) -> None:
    if not holds:
        raise UnexpectedAnswerError(f"it is not true that {statement}")


def _facts(value: dict[str, Any], path: str = "") -> Iterator[str]:
    """The lines for an answer's values, as in `challenge.token: mfac_…`. Lists are wrapped, other values truncated."""
    for name, member in value.items():
        if isinstance(member, dict):
            yield from _facts(member, f"{path}{name}.")
        elif isinstance(member, list):
            items = (" ".join(map(_text, item.values())) if isinstance(item, dict) else _text(item) for item in member)
            yield from textwrap.wrap(
                f"{path}{name}: {', '.join(items)}", _COLUMNS, subsequent_indent="  ", break_on_hyphens=False
            )
        elif name != "__typename":
            line = f"{path}{name}: {_text(member)}"
            yield line if len(line) <= _COLUMNS else f"{line[:_COLUMNS]}…"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _post(url: str, field: str, document: str, variables: dict[str, Any], token: str | None) -> Any:
    headers = {"Content-Type": "application/json", "GraphQL-Require-Preflight": "1"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps({"query": document, "variables": variables}).encode()
    try:
        request = urllib.request.Request(url, body, headers)  # noqa: S310 - the caller's own URL
        # A proxy of the environment is not asked for a server on this machine.
        own = is_loopback(urlsplit(url).hostname or "")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({} if own else None))
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
            return json.load(response)
    except (OSError, ValueError, HTTPException) as error:
        raise UnexpectedAnswerError(f"{field} got no GraphQL answer from {url} ({error})") from error


@contextmanager
def own_server(*, passkeys: bool = False) -> Iterator[str]:
    """Run a server on a free port with a temporary database. Yields its URL."""
    import uvicorn

    from graphql_mfa.app import create_app
    from graphql_mfa.settings import Settings

    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        given: dict[str, Any] = {"database_url": f"sqlite+aiosqlite:///{folder}/demo.db"}
        if passkeys:
            given |= {"passkey_rp_id": "localhost", "passkey_origins": f"http://localhost:{port}"}
        settings = Settings(**given)
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(_POLL_SECONDS)
            yield f"http://127.0.0.1:{port}/graphql"
        finally:
            server.should_exit = True
            thread.join()
