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

_CEREMONY = "... on PasskeyCeremony { ceremonyToken publicKey }"
_SIGNED_IN = "... on SignInSuccess { user { username mfaEnabled } tokens { accessToken accessTokenExpiresIn } }"
_QUERIES = {
    "me": "username recoveryCodesLeft totpDevices { name } passkeys { name } sessions { userAgent } "
    "securityEvents { kind }",
    "policy": "passkeyRpId",
}
_MUTATIONS = {
    "beginPasskeyLogin": _CEREMONY,
    "beginPasskeyReauthentication": _CEREMONY,
    "beginPasskeyRegistration": _CEREMONY,
    "finishPasskeyLogin": _SIGNED_IN,
    "finishPasskeyRegistration": f"{_SIGNED_IN} ... on EnrollmentConfirmed {{ recoveryCodes }}",
    "login": "... on OtpRequired { challenge { token factors } }",
    "logout": "... on LogoutSuccess { sessionsEnded }",
    "reauthenticate": "... on Reauthenticated { accessToken user { recoveryCodesLeft } }",
    "regenerateRecoveryCodes": "... on RecoveryCodes { recoveryCodes }",
    "registerUser": "... on RegisterUserSuccess { user { username mfaEnabled } enrollment { otpauthUri } "
    "challenge { token } }",
    "verifyOtp": f"{_SIGNED_IN} ... on EnrollmentConfirmed {{ recoveryCodes }}",
}


class UnexpectedAnswerError(Exception):
    """The server's answer was not the expected one."""


class _Story:
    """Prints numbered steps, and the operations of each with their outcomes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._steps = 0

    def step(self, title: str, text: str) -> None:
        self._steps += 1
        heading = f"{self._steps}. {title}"
        print(f"\n{heading}\n{'-' * len(heading)}\n{textwrap.fill(text, _COLUMNS)}\n")

    def ask(
        self, field: str, expected: str, values: dict[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        """Run a query or mutation, print its outcome, and return it. Raises UnexpectedAnswerError for another type."""
        answer = _post(self.url, field, values, token)
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
    account = {"username": f"demo-{secrets.token_hex(4)}", "password": secrets.token_urlsafe(18)}
    try:
        if passkey:
            _sign_in_by_passkey(_Story(url), account)
        else:
            _sign_in_by_totp(_Story(url), account)
    except UnexpectedAnswerError as error:
        print(f"\nThe demo failed: {error}.")
        return False
    means = "a passkey, after a password and without one" if passkey else "a password and a one-time code"
    print(f"\nSigned in as {account['username']} with {means}.")
    return True


def origin_of(url: str, domain: str) -> str:
    """The origin of a page at the URL; the domain replaces a host outside it, such as 127.0.0.1."""
    parts = urlsplit(url)
    inside = parts.hostname and parts.hostname.endswith(f".{domain}")
    return f"{parts.scheme}://{parts.hostname if inside else domain}" + (f":{parts.port}" if parts.port else "")


def _sign_in_by_totp(story: _Story, account: dict[str, str]) -> None:
    story.step(
        "Register", "A username and a password create an account, and a challenge to set up an authenticator app."
    )
    registered = story.ask("registerUser", "RegisterUserSuccess", account)
    print("\n  The otpauthUri as a QR code, for an authenticator app (the demo itself is one):\n")
    segno.make(registered["enrollment"]["otpauthUri"], micro=False).terminal(compact=True)
    app = cast("pyotp.TOTP", pyotp.parse_uri(registered["enrollment"]["otpauthUri"]))

    story.step(
        "Confirm the app", "Its first code enables the second factor and signs in. Recovery codes are shown once."
    )
    first_code = app.now()
    values = {"challengeToken": registered["challenge"]["token"], "otp": first_code}
    confirmed = story.ask("verifyOtp", "EnrollmentConfirmed", values)
    _check("mfaEnabled is true", confirmed["user"]["mfaEnabled"])
    recovery_codes = confirmed["recoveryCodes"]

    story.step("Log out", "The session ends at once, though its access token has not expired.")
    token = confirmed["tokens"]["accessToken"]
    story.ask("logout", "LogoutSuccess", token=token)
    story.ask("logout", "NotAuthenticated", token=token)

    story.step(
        "Log in",
        "The right password only opens a challenge. The code of step 2 is used, and refused a second time."
        " The next one is accepted a little early.",
    )
    challenge_token = story.ask("login", "OtpRequired", account)["challenge"]["token"]
    story.ask("verifyOtp", "OtpAlreadyUsed", {"challengeToken": challenge_token, "otp": first_code})
    next_code = app.at(datetime.now(UTC), counter_offset=1)
    signed_in = story.ask("verifyOtp", "SignedIn", {"challengeToken": challenge_token, "otp": next_code})

    story.step(
        "Replace the recovery codes",
        "A sensitive operation: it requires a second factor verified within the last five minutes, here by a recovery"
        " code, which is used up.",
    )
    values = {"recoveryCode": recovery_codes[0]}
    stepped_up = story.ask("reauthenticate", "Reauthenticated", values, signed_in["tokens"]["accessToken"])
    _check("one recovery code is used up", stepped_up["user"]["recoveryCodesLeft"] == len(recovery_codes) - 1)
    _replace_recovery_codes(story, account, stepped_up["accessToken"], recovery_codes)


def _sign_in_by_passkey(story: _Story, account: dict[str, str]) -> None:
    from graphql_mfa.testing import SoftwarePasskey

    story.step("Ask for the domain of passkeys", "A browser uses a passkey on the pages of its domain only.")
    domain = story.ask("policy", "AuthPolicy")["passkeyRpId"]
    if domain is None:
        raise UnexpectedAnswerError(
            "passkeys are off on this server; GRAPHQL_MFA_PASSKEY_RP_ID and GRAPHQL_MFA_PASSKEY_ORIGINS turn them on"
        )
    authenticator = SoftwarePasskey(origin_of(story.url, domain))
    print(f"  The demo is a browser with a page of {authenticator.origin}, and an authenticator.")

    def answer(begun: dict[str, Any]) -> dict[str, Any]:
        return {"ceremonyToken": begun["ceremonyToken"], "credential": authenticator.get(begun["publicKey"])}

    story.step("Register", "A username and a password create an account, and a challenge to set up a second factor.")
    challenge = story.ask("registerUser", "RegisterUserSuccess", account)["challenge"]

    story.step(
        "Add a passkey",
        "In place of an authenticator app. The new passkey enables the second factor and signs in. Recovery codes are"
        " shown once.",
    )
    begun = story.ask("beginPasskeyRegistration", "PasskeyCeremony", {"challengeToken": challenge["token"]})
    created = {"ceremonyToken": begun["ceremonyToken"], "credential": authenticator.create(begun["publicKey"])}
    confirmed = story.ask("finishPasskeyRegistration", "EnrollmentConfirmed", created)
    _check("mfaEnabled is true", confirmed["user"]["mfaEnabled"])
    story.ask("logout", "LogoutSuccess", token=confirmed["tokens"]["accessToken"])

    story.step(
        "Log in with the password and the passkey",
        "The passkey signs the challenge of a ceremony. Its answer is used up, and refused a second time.",
    )
    challenge = story.ask("login", "OtpRequired", account)["challenge"]
    signed = answer(story.ask("beginPasskeyLogin", "PasskeyCeremony", {"challengeToken": challenge["token"]}))
    story.ask("finishPasskeyLogin", "SignedIn", signed)
    story.ask("finishPasskeyLogin", "ChallengeExpired", signed)

    story.step(
        "Sign in with the passkey alone",
        "It names the account. It verifies its user, by a PIN or a fingerprint, which makes it two factors.",
    )
    begun = story.ask("beginPasskeyLogin", "PasskeyCeremony")
    signed_in = story.ask("finishPasskeyLogin", "SignedIn", answer(begun))
    _check("the passkey names the account", signed_in["user"]["username"] == account["username"])
    token = signed_in["tokens"]["accessToken"]

    story.step(
        "Replace the recovery codes",
        "A sensitive operation: it requires a second factor verified within the last five minutes, here the passkey"
        " again.",
    )
    begun = story.ask("beginPasskeyReauthentication", "PasskeyCeremony", token=token)
    stepped_up = story.ask("reauthenticate", "Reauthenticated", {"passkey": answer(begun)}, token)
    me = _replace_recovery_codes(story, account, stepped_up["accessToken"], confirmed["recoveryCodes"])
    _check("the account has one passkey", len(me["passkeys"]) == 1)


def _replace_recovery_codes(
    story: _Story, account: dict[str, str], token: str, recovery_codes: list[str]
) -> dict[str, Any]:
    """The last two steps, once a second factor was verified again. Returns the account."""
    renewed = story.ask("regenerateRecoveryCodes", "RecoveryCodes", token=token)["recoveryCodes"]
    _check("the recovery codes are new", not set(recovery_codes) & set(renewed))

    story.step("Look at the account", "The data of an account page, with the events of the steps above.")
    me = story.ask("me", "User", token=token)
    _check("`me` is the registered account", me["username"] == account["username"])
    _check("all new recovery codes are left", me["recoveryCodesLeft"] == len(renewed))
    return me


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


def _post(url: str, field: str, values: dict[str, Any] | None, token: str | None) -> Any:
    """Send the operation of a field, with its input if it takes one. Raises UnexpectedAnswerError without an answer."""
    headers = {"Content-Type": "application/json", "GraphQL-Require-Preflight": "1"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps({"query": _document(field, takes_input=bool(values)), "variables": {"input": values}}).encode()
    try:
        request = urllib.request.Request(url, body, headers)  # noqa: S310 - the caller's own URL
        # A proxy of the environment is not asked for a server on this machine.
        own = is_loopback(urlsplit(url).hostname or "")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({} if own else None))
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
            return json.load(response)
    except (OSError, ValueError, HTTPException) as error:
        hint = "" if url.endswith("/graphql") else "; the URL usually ends in /graphql"
        raise UnexpectedAnswerError(f"{field} got no GraphQL answer from {url} ({error}){hint}") from error


def _document(field: str, *, takes_input: bool) -> str:
    name = field[0].upper() + field[1:]
    if field in _QUERIES:
        return f"query {name} {{ {field} {{ __typename {_QUERIES[field]} }} }}"
    variables, arguments = (f"($input: {name}Input!)", "(input: $input)") if takes_input else ("", "")
    selected = f"{{ __typename {_MUTATIONS[field]} ... on UserError {{ message }} }}"
    return f"mutation {name}{variables} {{ {field}{arguments} {selected} }}"


@contextmanager
def own_server() -> Iterator[str]:
    """Run a server on a free port with a temporary database. Yields its URL."""
    import uvicorn

    from graphql_mfa.app import create_app
    from graphql_mfa.settings import Settings

    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings = Settings(
            database_url=f"sqlite+aiosqlite:///{folder}/demo.db",
            passkey_rp_id="localhost",
            passkey_origins=(f"http://localhost:{port}",),
        )
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
