"""A whole sign-in, as a client over HTTP: what `graphql-mfa demo` runs."""

import json
import secrets
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, cast

import pyotp
import segno

_TIMEOUT_SECONDS = 30
_POLL_SECONDS = 0.02

_REGISTER = """mutation Register($input: RegisterUserInput!) {
  registerUser(input: $input) {
    __typename
    ... on RegisterUserSuccess { user { id username } enrollment { secret otpauthUri } challenge { token expiresIn } }
    ... on InvalidInput { fields { field code message } }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}"""
_VERIFY = """mutation Verify($input: VerifyOtpInput!) {
  verifyOtp(input: $input) {
    __typename
    ... on SignInSuccess { tokens { accessToken accessTokenExpiresIn refreshToken } user { username mfaEnabled } }
    ... on EnrollmentConfirmed { recoveryCodes }
    ... on InvalidOtp { attemptsLeft clockBehindSeconds }
    ... on OtpAlreadyUsed { retryAfter }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}"""
_LOGOUT = """mutation LogOut {
  logout { __typename ... on LogoutSuccess { sessionsEnded } ... on UserError { message } }
}"""
_LOGIN = """mutation LogIn($input: LoginInput!) {
  login(input: $input) {
    __typename
    ... on OtpRequired { challenge { token expiresIn factors } enrollmentPending }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}"""
_REAUTHENTICATE = """mutation Reauthenticate($input: ReauthenticateInput!) {
  reauthenticate(input: $input) {
    __typename
    ... on Reauthenticated { accessToken accessTokenExpiresIn }
    ... on InvalidRecoveryCode { attemptsLeft }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}"""
_REGENERATE = """mutation NewRecoveryCodes {
  regenerateRecoveryCodes {
    __typename
    ... on RecoveryCodes { recoveryCodes }
    ... on ReauthenticationRequired { factors }
    ... on RateLimited { retryAfter }
    ... on UserError { message }
  }
}"""
_ME = """query Me {
  me {
    id username mfaEnabled recoveryCodesLeft
    totpDevices { name lastUsedAt }
    sessions { current userAgent factors }
    securityEvents { kind at }
  }
}"""


class UnexpectedAnswerError(Exception):
    """The server answered something else than a working one would."""


def converse(url: str) -> bool:
    """Register, sign in, step up and look at the account; false at the first unexpected answer."""
    credentials = {"username": f"demo-{secrets.token_hex(4)}", "password": secrets.token_urlsafe(18)}
    try:
        registered = _ask(url, "registerUser", _REGISTER, "RegisterUserSuccess", {"input": credentials})
        print("Scan this with an authenticator app:\n")
        segno.make(registered["enrollment"]["otpauthUri"], micro=False).terminal(compact=True)
        device = cast("pyotp.TOTP", pyotp.parse_uri(registered["enrollment"]["otpauthUri"]))
        confirmed = _ask(url, "verifyOtp", _VERIFY, "EnrollmentConfirmed", _answer(registered, device, 0))
        _ask(url, "logout", _LOGOUT, "LogoutSuccess", token=confirmed["tokens"]["accessToken"])
        required = _ask(url, "login", _LOGIN, "OtpRequired", {"input": credentials})
        # Each code is accepted once. The next one is accepted a little early, so the demo need not wait for it.
        signed_in = _ask(url, "verifyOtp", _VERIFY, "SignedIn", _answer(required, device, 1))
        code = {"input": {"recoveryCode": confirmed["recoveryCodes"][0]}}
        token = signed_in["tokens"]["accessToken"]
        token = _ask(url, "reauthenticate", _REAUTHENTICATE, "Reauthenticated", code, token=token)["accessToken"]
        _ask(url, "regenerateRecoveryCodes", _REGENERATE, "RecoveryCodes", token=token)
        me = _ask(url, "me", _ME, None, token=token)
        if me["username"] != credentials["username"]:
            raise UnexpectedAnswerError("`me` is somebody else")
    except UnexpectedAnswerError as error:
        print(f"\nThe demo failed: {error}.")
        return False
    print(f"\nSigned in as {me['username']} with a password and a one-time code.")
    return True


def _answer(asked: dict[str, Any], device: pyotp.TOTP, steps_ahead: int) -> dict[str, Any]:
    code = device.at(datetime.now(UTC), counter_offset=steps_ahead)
    return {"input": {"challengeToken": asked["challenge"]["token"], "otp": code}}


def _ask(
    url: str,
    field: str,
    query: str,
    expected: str | None,
    variables: dict[str, Any] | None = None,
    *,
    token: str | None = None,
) -> dict[str, Any]:
    """Send one operation, print it with its answer, and return the field when it is of the expected type."""
    print(f"\n{query}\n\nvariables {json.dumps(variables or {})}")
    headers = {"Content-Type": "application/json", "GraphQL-Require-Preflight": "1"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps({"query": query, "variables": variables}).encode()
    try:
        request = urllib.request.Request(url, body, headers)  # noqa: S310 - the caller's own URL
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            answer = json.load(response)
    except (OSError, ValueError, HTTPException) as error:
        raise UnexpectedAnswerError(f"{field} got no GraphQL answer from {url} ({error})") from error
    print(f"\n{json.dumps(answer, indent=2)}\n")
    data = answer.get("data") if isinstance(answer, dict) else None
    result = data.get(field) if isinstance(data, dict) else None
    if not isinstance(result, dict) or result.get("__typename") != expected:
        raise UnexpectedAnswerError(f"{field} did not answer {expected or 'an account'}")
    return result


@contextmanager
def own_server() -> Iterator[str]:
    """A server on a free port with a database that goes away with it; yields its URL."""
    import uvicorn

    from graphql_mfa.app import create_app
    from graphql_mfa.settings import Settings

    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        settings = Settings(database_url=f"sqlite+aiosqlite:///{folder}/demo.db")
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(_POLL_SECONDS)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
        finally:
            server.should_exit = True
            thread.join()
