"""The sign-in form that docs/clients.md has to copy, compiled as it stands there, in a real browser."""

import secrets
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pyotp
import pytest

from tests.conftest import Server
from tests.slow.browser.conftest import Serve
from tests.slow.npm import install, npm
from tests.slow.snippets import ROOT, snippets_of

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

TOOLS = Path(__file__).parent
PASSWORD = "four-otters-row-upstream"
TSC = "tsc --strict --noEmit --target es2022 --module esnext --moduleResolution bundler --jsx react-jsx src/main.tsx"
ESBUILD = "esbuild src/main.tsx --bundle --jsx=automatic --outfile=app.js"
HTML = '<!doctype html><meta charset="utf-8"><title>App</title><div id="root"></div><script src="/app.js"></script>'
POLICY = "default-src 'self'; img-src data:"
UNREACHABLE = "The server can't be reached. Check your connection, and try again."
EXPIRED = "This attempt has expired, or was already used. Start again."


def copy_snippets(folder: Path) -> None:
    """Write the files of the page's Apollo chapter and its session module into a project."""
    install(TOOLS)
    (folder / "node_modules").symlink_to(TOOLS / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "schema.graphql").write_text((ROOT / "schema.graphql").read_text())
    (folder / "src").mkdir()
    for name, text in snippets_of("A browser app, with fetch", "React, with Apollo Client").items():
        if name != "vite.config.ts":
            (folder / ("" if name == "codegen.ts" else "src") / name).write_text(text)


def compile_snippets(folder: Path, *more: str, fails: bool = False) -> str:
    npm(folder, "exec", "--", "graphql-codegen")
    return npm(folder, "exec", "--", *TSC.split(), *more, fails=fails)


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app of the page, in one file."""
    folder = tmp_path_factory.mktemp("clients-page")
    copy_snippets(folder)
    compile_snippets(folder)
    npm(folder, "exec", "--", *ESBUILD.split())
    return folder / "app.js"


class App:
    """The page's app in a browser tab, on the API's origin and under a strict policy."""

    def __init__(self, page: "Page", script: Path, server: Server) -> None:
        self.page, self.server = page, server
        self.username = f"user-{secrets.token_hex(4)}"
        self.errors: list[str] = []  # unhandled rejections too
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        headers = {"Content-Type": "text/html", "Content-Security-Policy": POLICY}
        page.route("**/app", lambda route: route.fulfill(body=HTML, headers=headers))
        page.route("**/app.js", lambda route: route.fulfill(path=script, content_type="text/javascript"))
        page.goto(f"{server.url}/app")

    def see(self, text: str) -> None:
        from playwright.sync_api import expect

        expect(self.page.get_by_text(text)).to_be_visible()

    def button(self, name: str) -> "Locator":
        return self.page.get_by_role("button", name=name)

    def type_name_and_password(self, button: str, password: str = PASSWORD) -> None:
        self.page.get_by_label("Username").fill(self.username)
        self.page.get_by_label("Password").fill(password)
        self.button(button).click()

    def register(self) -> pyotp.TOTP:
        """Create an account, up to its QR code; returns the authenticator app."""
        self.button("I am new here").click()
        self.type_name_and_password("Create account")
        return self.scan()

    def scan(self) -> pyotp.TOTP:
        image = self.page.get_by_role("img", name="QR code")
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        link = self.page.get_by_role("link", name="open one on this device").get_attribute("href")
        device = pyotp.parse_uri(link or "")
        assert isinstance(device, pyotp.TOTP)
        self.see(device.secret)
        return device

    def verify(self, code: str, label: str = "Code from your authenticator app") -> None:
        self.page.get_by_label(label).fill(code)
        self.button("Verify").click()

    def save_recovery_codes(self) -> list[str]:
        """Read the recovery codes, and go on."""
        self.see("I saved the recovery codes")
        codes = self.page.get_by_role("listitem").all_inner_texts()
        assert len(set(codes)) == 10
        self.button("Continue").click()
        assert self.page.get_by_role("listitem").count() == 10, "not before they are saved"
        self.page.get_by_label("I saved the recovery codes").check()
        self.button("Continue").click()
        self.see(f"Signed in as {self.username}.")
        return codes

    def sign_out(self) -> None:
        self.button("Sign out").click()
        self.see("Username")

    def enroll(self) -> tuple[pyotp.TOTP, list[str]]:
        """A whole registration, signed out afterwards; returns the authenticator app and the recovery codes."""
        device = self.register()
        self.verify(device.now())
        codes = self.save_recovery_codes()
        self.sign_out()
        return device, codes


def next_code(device: pyotp.TOTP) -> str:
    """A code after the last one used: the server accepts the next one a little early."""
    return device.at(time.time(), counter_offset=1)


def wrong_code(device: pyotp.TOTP) -> str:
    near = {device.at(time.time(), counter_offset=offset) for offset in range(-20, 20)}
    return next(code for code in ("000000", "111111") if code not in near)


def test_a_newcomer_registers_and_saves_recovery_codes_and_is_still_signed_in_after_a_reload(
    page: "Page", script: Path, serve: Serve
) -> None:
    app = App(page, script, serve())
    device = app.register()
    app.verify(wrong_code(device))
    app.see("This code is wrong.")
    app.verify(device.now())
    app.save_recovery_codes()

    forms: list[str] = []
    page.expose_function("formSeen", lambda: forms.append("seen"))
    page.add_init_script(
        "new MutationObserver(() => document.querySelector('[name=password]') && formSeen())"
        ".observe(document, { childList: true, subtree: true })"
    )
    page.reload()
    app.see(f"Signed in as {app.username}.")
    assert forms == []
    app.sign_out()
    assert forms != []
    page.reload()
    app.see("Username")
    assert app.errors == []


@pytest.mark.parametrize("lost", [False, True], ids=["scanned before", "lost"])
def test_a_pending_registration_can_be_finished_later(page: "Page", script: Path, serve: Serve, lost: bool) -> None:
    app = App(page, script, serve())
    device = app.register()
    page.reload()
    app.type_name_and_password("Sign in")
    if lost:
        app.button("Show a new QR code").click()
        page.get_by_role("img", name="QR code").wait_for()
        device = app.scan()
    app.verify(device.now())
    app.save_recovery_codes()
    assert app.errors == []


def test_an_app_code_signs_in_and_a_recovery_code_replaces_a_refused_one(
    page: "Page", script: Path, serve: Serve
) -> None:
    from playwright.sync_api import expect

    page.clock.install()
    app = App(page, script, serve())
    device, recovery_codes = app.enroll()
    app.type_name_and_password("Sign in")
    code = next_code(device)
    app.verify(code)
    app.see(f"Signed in as {app.username}.")
    app.sign_out()

    app.type_name_and_password("Sign in")
    app.verify(code)
    app.see("This code was used before. Wait for the next one.")
    expect(app.button("Verify")).to_be_disabled()
    page.clock.fast_forward("01:30")
    expect(app.button("Verify")).to_be_enabled()
    app.button("Use a recovery code").click()
    app.verify("0000-0000-0000-0000-0000-0000", "Recovery code")
    app.see("This recovery code is wrong, or was used before.")
    app.verify(recovery_codes[0], "Recovery code")
    app.see(f"Signed in as {app.username}.")
    assert app.errors == []


def test_a_rate_limit_blocks_the_button_for_its_wait(page: "Page", script: Path, serve: Serve) -> None:
    from playwright.sync_api import expect

    page.clock.install()
    app = App(page, script, serve(GRAPHQL_MFA_LOGIN_ADDRESS_ATTEMPTS="1/200s"))
    app.type_name_and_password("Sign in", "wrong")
    app.see("Username or password is wrong.")
    app.type_name_and_password("Sign in", "wrong")
    app.see("Too many attempts. Try again in")
    page.clock.fast_forward("03:00")
    expect(app.button("Sign in")).to_be_disabled()
    page.clock.fast_forward("00:25")
    expect(app.button("Sign in")).to_be_enabled()
    assert app.errors == []


def test_an_expired_challenge_leads_back_to_the_password(page: "Page", script: Path, serve: Serve) -> None:
    server = serve()
    app = App(page, script, server)
    device, recovery_codes = app.enroll()

    app.type_name_and_password("Sign in")
    app.verify(wrong_code(device))
    app.see("This code is wrong. Enter the code")
    with closing(sqlite3.connect(server.folder / "graphql_mfa.db")) as database, database:
        assert database.execute("UPDATE mfa_challenges SET attempts = 4 WHERE attempts = 1").rowcount == 1
    app.verify(wrong_code(device))
    app.see("That was the last try: log in again.")

    for label, code in (
        ("Code from your authenticator app", device.now()),
        ("Recovery code", recovery_codes[0]),
    ):
        app.type_name_and_password("Sign in")
        app.button("Use a recovery code").wait_for()
        if label == "Recovery code":
            app.button("Use a recovery code").click()
        with closing(sqlite3.connect(server.folder / "graphql_mfa.db")) as database, database:
            assert database.execute("DELETE FROM mfa_challenges").rowcount > 0  # as the purge does when they expire
        app.verify(code, label)
        app.see(EXPIRED)

    app.type_name_and_password("Sign in")
    app.button("Use a recovery code").click()
    app.verify(recovery_codes[0], "Recovery code")
    app.see(f"Signed in as {app.username}.")
    assert app.errors == []


def test_the_form_asks_for_a_recovery_code_when_codes_are_disabled(page: "Page", script: Path, serve: Serve) -> None:
    app = App(page, script, serve(GRAPHQL_MFA_OTP_FAILURES_BEFORE_DISABLING="2"))
    device, recovery_codes = app.enroll()
    app.type_name_and_password("Sign in")
    for _ in range(3):
        app.verify(wrong_code(device))
    app.see("One-time codes are switched off after too many wrong ones.")
    page.reload()
    app.type_name_and_password("Sign in")
    app.verify(recovery_codes[0], "Recovery code")
    app.see(f"Signed in as {app.username}.")
    assert app.errors == []


def test_an_account_that_an_operator_reset_enrolls_with_its_enrollment_code(
    page: "Page", script: Path, serve: Serve
) -> None:
    server = serve()
    app = App(page, script, server)
    app.enroll()
    command = [sys.executable, "-m", "graphql_mfa", "users", "reset-mfa", app.username, "--yes"]
    reset = subprocess.run(command, cwd=server.folder, capture_output=True, text=True, check=True)
    app.type_name_and_password("Sign in")
    app.button("Show a new QR code").click()
    app.see("Enter the enrollment code that your administrator gave you.")
    page.get_by_label("Enrollment code").fill(reset.stdout.strip())
    app.button("Show a new QR code").click()
    page.get_by_role("img", name="QR code").wait_for()
    app.verify(app.scan().now())
    app.save_recovery_codes()
    assert app.errors == []


def test_every_step_reports_a_lost_network_and_continues_afterwards(page: "Page", script: Path, serve: Serve) -> None:
    def away() -> None:
        page.route("**/graphql", lambda route: route.abort("internetdisconnected"))

    def back() -> None:
        page.unroute("**/graphql")
        assert page.get_by_text(UNREACHABLE).count() == 1

    app = App(page, script, serve())
    device, _ = app.enroll()
    away()
    app.type_name_and_password("Sign in")
    app.see(UNREACHABLE)
    back()
    app.button("Sign in").click()
    away()
    app.verify(next_code(device))
    app.see(UNREACHABLE)
    back()
    app.button("Verify").click()
    app.see(f"Signed in as {app.username}.")
    away()
    app.button("Sign out").click()
    app.see(UNREACHABLE)
    page.reload()
    app.see(UNREACHABLE)
    assert page.get_by_label("Username").count() == 0, "the session may be good"
    back()
    app.button("Try again").click()
    app.see(f"Signed in as {app.username}.")
    assert app.errors == []


def test_a_rate_limited_refresh_shows_its_message_and_keeps_the_session(
    page: "Page", script: Path, serve: Serve
) -> None:
    app = App(page, script, serve())
    device = app.register()
    app.verify(device.now())
    app.save_recovery_codes()
    limited = {"__typename": "RateLimited", "message": "Too many attempts. Try again soon.", "retryAfter": 1}
    page.route("**/graphql", lambda route: route.fulfill(json={"data": {"refreshSession": limited}}))
    page.reload()
    app.see("Too many attempts. Try again soon.")
    assert page.get_by_label("Username").count() == 0, "the session is good"
    page.unroute("**/graphql")
    app.button("Try again").click()
    app.see(f"Signed in as {app.username}.")
    assert app.errors == []


def test_an_outcome_that_is_newer_than_the_form_shows_its_message(page: "Page", script: Path, serve: Serve) -> None:
    app = App(page, script, serve())
    app.see("Username")
    answer = {"data": {"login": {"__typename": "TermsChanged", "message": "Accept the new terms first."}}}
    page.route("**/graphql", lambda route: route.fulfill(json=answer))
    app.type_name_and_password("Sign in")
    app.see("Accept the new terms first.")
    assert app.errors == []


def test_the_compiler_names_the_outcomes_that_the_form_does_not_handle(tmp_path: Path) -> None:
    copy_snippets(tmp_path)
    schema = tmp_path / "schema.graphql"
    unions = [
        "RegisterUserResult",
        "LoginResult",
        "VerifyOtpResult",
        "VerifyRecoveryCodeResult",
        "RestartEnrollmentResult",
    ]
    text = schema.read_text()
    for union in unions:
        text = text.replace(f"union {union} =", f"union {union} = LastFactor |")
    schema.write_text(text)
    complaints = compile_snippets(tmp_path, fails=True)
    lines = [line for line in complaints.splitlines() if "LastFactor" in line and "'never'" in line]
    # One for each `switch`: the codes of apps and the recovery codes share theirs.
    assert len(lines) == len(unions) - 1, complaints
