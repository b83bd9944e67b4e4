"""`graphql-mfa demo`."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from typer.testing import CliRunner, Result

from graphql_mfa.cli import app
from graphql_mfa.demo import origin_of, own_server
from tests.ports import reserved_port

OUTCOMES = [
    ("Register", ["registerUser -> RegisterUserSuccess"]),
    ("Confirm the app", ["verifyOtp -> EnrollmentConfirmed"]),
    ("Log out", ["logout -> LogoutSuccess", "logout -> NotAuthenticated"]),
    ("Log in", ["login -> OtpRequired", "verifyOtp -> OtpAlreadyUsed", "verifyOtp -> SignedIn"]),
    ("Replace the recovery codes", ["reauthenticate -> Reauthenticated", "regenerateRecoveryCodes -> RecoveryCodes"]),
    ("Look at the account", ["me -> User"]),
]
OUTCOMES_BY_PASSKEY = [
    ("Ask for the domain of passkeys", ["policy -> AuthPolicy"]),
    ("Register", ["registerUser -> RegisterUserSuccess"]),
    (
        "Add a passkey",
        [
            "beginPasskeyRegistration -> PasskeyCeremony",
            "finishPasskeyRegistration -> EnrollmentConfirmed",
            "logout -> LogoutSuccess",
        ],
    ),
    (
        "Log in with the password and the passkey",
        [
            "login -> OtpRequired",
            "beginPasskeyLogin -> PasskeyCeremony",
            "finishPasskeyLogin -> SignedIn",
            "finishPasskeyLogin -> ChallengeExpired",
        ],
    ),
    (
        "Sign in with the passkey alone",
        ["beginPasskeyLogin -> PasskeyCeremony", "finishPasskeyLogin -> SignedIn"],
    ),
    (
        "Replace the recovery codes",
        [
            "beginPasskeyReauthentication -> PasskeyCeremony",
            "reauthenticate -> Reauthenticated",
            "regenerateRecoveryCodes -> RecoveryCodes",
        ],
    ),
    ("Look at the account", ["me -> User"]),
]


def outcomes(ran: Result) -> list[tuple[str, list[str]]]:
    """The printed steps, and the outcomes of each."""
    steps = re.split(r"^\d+\. (.+)\n-+\n", ran.stdout, flags=re.MULTILINE)[1:]
    found = [re.findall(r"^  (\w+ -> \w+)$", text, re.MULTILINE) for text in steps[1::2]]
    return list(zip(steps[::2], found, strict=True))


def test_the_demo_shows_a_sign_in_on_its_own_server() -> None:
    ran = CliRunner().invoke(app, ["demo"])
    assert ran.exit_code == 0, ran.output
    assert "█" in ran.stdout, "the QR code"
    assert outcomes(ran) == OUTCOMES
    assert len(ran.stdout.splitlines()) < 120
    assert ran.stdout.endswith("with a password and a one-time code.\n")


def test_the_demo_shows_a_passkey_as_first_factor_second_factor_alone_and_stepping_up() -> None:
    ran = CliRunner().invoke(app, ["demo", "--passkey"])
    assert ran.exit_code == 0, ran.output
    assert outcomes(ran) == OUTCOMES_BY_PASSKEY
    assert len(ran.stdout.splitlines()) < 140
    assert ran.stdout.endswith("with a passkey, after a password and without one.\n")


def test_the_demo_with_a_passkey_works_with_a_running_server() -> None:
    with own_server() as url:
        ran = CliRunner().invoke(app, ["demo", "--passkey", "--url", url])
    assert ran.exit_code == 0, ran.output


def test_the_demo_with_a_passkey_reports_a_server_without_passkeys(live_server: str) -> None:
    ran = CliRunner().invoke(app, ["demo", "--passkey", "--url", f"{live_server}/graphql"])
    assert ran.exit_code == 1
    assert "The demo failed: passkeys are off on this server" in ran.stdout


@pytest.mark.parametrize(
    ("url", "domain", "origin"),
    [
        ("http://127.0.0.1:8000/graphql", "localhost", "http://localhost:8000"),
        ("http://[::1]:8000/graphql", "localhost", "http://localhost:8000"),
        ("https://example.com/graphql", "example.com", "https://example.com"),
        ("https://api.example.com:8443/graphql", "example.com", "https://api.example.com:8443"),
        ("https://notexample.com/graphql", "example.com", "https://example.com"),
    ],
)
def test_the_demo_opens_a_page_of_the_domain(url: str, domain: str, origin: str) -> None:
    assert origin_of(url, domain) == origin


def test_the_demo_works_with_a_running_server(live_server: str) -> None:
    ran = CliRunner().invoke(app, ["demo", "--url", f"{live_server}/graphql"])
    assert ran.exit_code == 0, ran.output


@pytest.mark.parametrize("path", ["", "/"])
def test_the_demo_says_that_the_path_of_the_url_is_missing(live_server: str, path: str) -> None:
    ran = CliRunner().invoke(app, ["demo", "--url", f"{live_server}{path}"])
    _failed_with_a_word(ran)
    assert ran.stdout.endswith("; the URL usually ends in /graphql.\n")


def test_the_demo_works_with_a_server_in_cookie_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHQL_MFA_SESSION_TRANSPORT", "cookie")
    with own_server() as url:
        for options in ([], ["--passkey"]):
            ran = CliRunner().invoke(app, ["demo", "--url", url, *options])
            assert ran.exit_code == 0, ran.output


def test_the_demo_bypasses_proxies_for_a_local_server(live_server: str) -> None:
    proxy = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")
    ran = CliRunner().invoke(
        app, ["demo", "--url", f"{live_server}/graphql"], env={**proxy, "NO_PROXY": "", "no_proxy": ""}
    )
    assert ran.exit_code == 0, ran.output


def test_the_demo_uses_the_authenticator_parameters_that_the_server_gives_it() -> None:
    ran = CliRunner().invoke(app, ["demo"], env={"GRAPHQL_MFA_OTP_DIGITS": "8", "GRAPHQL_MFA_OTP_PERIOD_SECONDS": "60"})
    assert ran.exit_code == 0, ran.output


@contextmanager
def something_else(status: int, body: str) -> Iterator[str]:
    """A web server that is none of ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode("latin-1"))

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/graphql"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (404, "Not Found"),
        (200, "<html>"),
        (200, ""),
        (200, "[]"),
        (200, "null"),
        (200, json.dumps({"errors": [{"message": "No."}]})),
        (200, json.dumps({"data": None})),
        (200, json.dumps({"data": ["registerUser"]})),
        (200, json.dumps({"data": {"registerUser": "RegisterUserSuccess"}})),
        (200, json.dumps({"data": {"registerUser": {"__typename": "RegistrationClosed", "message": "Closed."}}})),
        (200, "\xff"),
    ],
)
def test_the_demo_reports_another_service(status: int, answer: str) -> None:
    with something_else(status, answer) as url:
        ran = CliRunner().invoke(app, ["demo", "--url", url])
    _failed_with_a_word(ran)


def test_the_demo_reports_unexpected_values_in_an_outcome() -> None:
    enrollment = {"otpauthUri": "otpauth://totp/demo?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"}
    data = {
        "registerUser": {"__typename": "RegisterUserSuccess", "enrollment": enrollment, "challenge": {"token": "t"}},
        "verifyOtp": {"__typename": "EnrollmentConfirmed", "user": {"mfaEnabled": False}},
    }
    with something_else(200, json.dumps({"data": data})) as url:
        ran = CliRunner().invoke(app, ["demo", "--url", url])
    assert ran.exit_code == 1
    assert ran.stdout.endswith("The demo failed: it is not true that mfaEnabled is true.\n")


def test_the_demo_reports_an_unreachable_server() -> None:
    with reserved_port() as port:
        ran = CliRunner().invoke(app, ["demo", "--url", f"http://127.0.0.1:{port}/graphql"])
    _failed_with_a_word(ran)


def test_the_demo_reports_a_server_that_does_not_speak_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        ran = CliRunner().invoke(app, ["demo", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"])
        thread.join()
    _failed_with_a_word(ran)


@pytest.mark.parametrize("url", ["nonsense", "localhost:8000/graphql", "http://[::1"])
def test_the_demo_reports_a_malformed_url(url: str) -> None:
    _failed_with_a_word(CliRunner().invoke(app, ["demo", "--url", url]))


def _failed_with_a_word(ran: Result) -> None:
    assert isinstance(ran.exception, SystemExit), repr(ran.exception)
    assert ran.exit_code == 1
    assert "The demo failed: registerUser" in ran.stdout
