"""The passkey code that docs/clients.md has to copy, as it stands there, with virtual authenticators of Chromium."""

import re
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyotp
import pytest

from tests.conftest import Server
from tests.ports import reserved_port
from tests.slow.browser.conftest import Serve
from tests.slow.npm import install, npm

if TYPE_CHECKING:
    from playwright.sync_api import Page

TOOLS = Path(__file__).parent
ROOT = TOOLS.parents[2]
PASSWORD = "four-otters-row-upstream"
MODULES = ["session", "sign-in", "step-up", "passkeys", "account-passkeys"]
TSC = "tsc --strict --noEmit --target es2022 --module esnext --moduleResolution bundler main.ts"
HTML = """<!doctype html><meta charset="utf-8"><title>App</title>
<input autocomplete="username webauthn"><script type="module" src="/app.js"></script>"""
PLATFORM = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
SECURITY_KEY = PLATFORM | {"transport": "usb", "hasResidentKey": False, "hasUserVerification": False}


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The functions of the page's modules, as globals."""
    install(TOOLS)
    folder = tmp_path_factory.mktemp("passkeys")
    (folder / "node_modules").symlink_to(TOOLS / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    page = (ROOT / "docs" / "clients.md").read_text()
    for name, text in re.findall(r"```ts\n// ([\w-]+)\.ts\n(.*?)```", page, re.DOTALL):
        if name in MODULES:
            (folder / f"{name}.ts").write_text(text)
    main = "".join(f'Object.assign(window, await import("./{name}"));\n' for name in MODULES)
    (folder / "main.ts").write_text(f"{main}export {{}};\n")
    npm(folder, "exec", "--", *TSC.split())
    npm(folder, "exec", "--", "esbuild", "main.ts", "--bundle", "--format=esm", "--outfile=app.js")
    return folder / "app.js"


class App:
    """The page's functions in a browser tab at http://localhost, and the authenticators of that tab."""

    def __init__(self, page: "Page", script: Path, serve: Serve, **environment: str) -> None:
        self.page = page
        with reserved_port() as port:
            self.server: Server = serve("--port", str(port), **environment)
        self.username = f"user-{secrets.token_hex(4)}"
        self.devtools = page.context.new_cdp_session(page)
        self.devtools.send("WebAuthn.enable")
        page.route("**/app", lambda route: route.fulfill(body=HTML, content_type="text/html"))
        page.route("**/app.js", lambda route: route.fulfill(path=script, content_type="text/javascript"))
        self.open()

    def open(self) -> None:
        self.page.goto(f"{self.server.url}/app")
        self.page.wait_for_function("'removePasskey' in window")

    def authenticator(self, options: dict[str, object]) -> str:
        added = self.devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        authenticator: str = added["authenticatorId"]
        return authenticator

    def passkeys_in(self, authenticator: str) -> list[dict[str, Any]]:
        found = self.devtools.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})
        credentials: list[dict[str, Any]] = found["credentials"]
        return credentials

    def run(self, code: str, **values: object) -> Any:
        """The result of an expression; the name of a DOMException that it throws."""
        names = ", ".join(values)
        function = f"""({{ {names} }}) => Promise.resolve({code}).catch((error) => {{
            if (error instanceof DOMException) return {{ thrown: error.name }};
            throw error;
        }})"""
        return self.page.evaluate(function, values)

    def register(self) -> Any:
        return self.run("register(username, password)", username=self.username, password=PASSWORD)

    def log_in(self) -> Any:
        return self.run("logIn(username, password)", username=self.username, password=PASSWORD)

    def enroll_with_app(self) -> pyotp.TOTP:
        registered = self.register()
        device = pyotp.TOTP(registered["enrollment"]["secret"])
        answer = {"token": registered["challenge"]["token"], "otp": device.now()}
        assert self.run("verifyOtp(token, otp)", **answer)["__typename"] == "EnrollmentConfirmed"
        return device

    def enroll_with_passkey(self) -> Any:
        token = self.register()["challenge"]["token"]
        return self.run("addPasskey(answerWithPasskey, token)", token=token)

    def sign_out(self) -> None:
        assert self.ask("mutation { logout { __typename } }")["logout"]["__typename"] == "LogoutSuccess"
        self.run("keep(null)")

    def ask(self, query: str) -> Any:
        return self.run("ask(query)", query=query)

    def signed_in_as(self) -> str | None:
        me = self.ask("{ me { username } }")["me"]
        username: str | None = me and me["username"]
        return username

    def passkeys(self) -> Any:
        return self.ask("{ me { passkeys { id name discoverable userVerified } } }")["me"]["passkeys"]

    def let_the_last_factor_grow_old(self) -> None:
        with closing(sqlite3.connect(self.server.folder / "graphql_mfa.db")) as database, database:
            changed = database.execute("UPDATE mfa_sessions SET authenticated_at = '2026-01-01 00:00:00.000000'")
            assert changed.rowcount > 0


def test_a_new_account_enrolls_with_a_passkey_and_signs_in_with_it(page: "Page", script: Path, serve: Serve) -> None:
    app = App(page, script, serve)
    key = app.authenticator(PLATFORM)
    confirmed = app.enroll_with_passkey()
    assert confirmed["__typename"] == "EnrollmentConfirmed"
    assert len(set(confirmed["recoveryCodes"])) == 10
    assert app.signed_in_as() == app.username
    (passkey,) = app.passkeys()
    assert (passkey["discoverable"], passkey["userVerified"]) == (True, True)
    assert len(app.passkeys_in(key)) == 1
    app.sign_out()
    assert app.signed_in_as() is None

    assert app.run("signInWithPasskey()")["__typename"] == "SignedIn"
    assert app.signed_in_as() == app.username
    app.sign_out()

    challenge = app.log_in()
    assert challenge["factors"] == ["PASSKEY", "RECOVERY_CODE"]
    assert app.signed_in_as() is None
    assert app.run("signInWithPasskey(token)", token=challenge["token"])["__typename"] == "SignedIn"
    assert app.signed_in_as() == app.username
    app.open()
    app.run("refresh()")
    assert app.signed_in_as() == app.username


def test_an_app_user_adds_a_passkey_and_steps_up_with_it(page: "Page", script: Path, serve: Serve) -> None:
    app = App(page, script, serve)
    app.authenticator(PLATFORM)
    app.enroll_with_app()
    added = app.run("addPasskey(answerWithPasskey)")
    assert added["__typename"] == "PasskeyAdded"
    assert app.run("addPasskey(answerWithPasskey)") == {"thrown": "InvalidStateError"}

    app.let_the_last_factor_grow_old()
    query = """mutation { regenerateRecoveryCodes { __typename ... on RecoveryCodes { recoveryCodes }
        ... on ReauthenticationRequired { factors } ... on UserError { message } } }"""
    step_up = "withStepUp(query, {}, (...asked) => { window.asked = asked; return answerWithPasskey(); })"
    refused = app.ask(query)["regenerateRecoveryCodes"]
    assert refused["factors"] == ["TOTP", "PASSKEY", "RECOVERY_CODE"]
    assert app.run(step_up, query=query)["__typename"] == "RecoveryCodes"
    assert app.run("window.asked") == [refused["message"], refused["factors"]]


def test_a_removed_passkey_is_removed_from_the_authenticator_too(page: "Page", script: Path, serve: Serve) -> None:
    app = App(page, script, serve)
    key = app.authenticator(PLATFORM)
    app.enroll_with_app()
    passkey = app.run("addPasskey(answerWithPasskey)")["passkey"]
    (before,) = app.passkeys_in(key)
    assert before["userName"] == app.username
    app.let_the_last_factor_grow_old()
    removed = app.run("removePasskey(id, answerWithPasskey)", id=passkey["id"])
    assert removed["__typename"] == "FactorRemoved"
    assert app.passkeys() == []
    assert app.passkeys_in(key) == []
    app.sign_out()
    assert app.run("signInWithPasskey()") == {"thrown": "NotAllowedError"}


def test_the_last_passkey_stays(page: "Page", script: Path, serve: Serve) -> None:
    app = App(page, script, serve)
    key = app.authenticator(PLATFORM)
    app.enroll_with_passkey()
    (passkey,) = app.passkeys()
    assert app.run("removePasskey(id, answerWithPasskey)", id=passkey["id"])["__typename"] == "LastFactor"
    assert len(app.passkeys_in(key)) == 1


@pytest.mark.parametrize("exclusive", [True, False], ids=["of this deployment alone", "shared"])
def test_the_browser_forgets_an_unknown_passkey_where_no_other_deployment_has_it(
    page: "Page", script: Path, serve: Serve, exclusive: bool
) -> None:
    app = App(page, script, serve, GRAPHQL_MFA_PASSKEY_RP_ID_EXCLUSIVE=str(exclusive))
    key = app.authenticator(PLATFORM)
    app.enroll_with_passkey()
    app.sign_out()
    with closing(sqlite3.connect(app.server.folder / "graphql_mfa.db")) as database, database:
        assert database.execute("DELETE FROM mfa_passkeys").rowcount == 1
    unknown = app.run("signInWithPasskey()")
    assert unknown["__typename"] == "PasskeyUnknown"
    assert unknown["message"] == "This passkey is not known here. It may have been removed."
    assert len(app.passkeys_in(key)) == (0 if exclusive else 1)


def test_a_security_key_that_verifies_no_user_is_a_second_factor_only(page: "Page", script: Path, serve: Serve) -> None:
    app = App(page, script, serve)
    app.authenticator(SECURITY_KEY)
    assert app.enroll_with_passkey()["__typename"] == "EnrollmentConfirmed"
    (passkey,) = app.passkeys()
    assert (passkey["discoverable"], passkey["userVerified"]) == (False, False)
    app.sign_out()
    assert app.run("signInWithPasskey()") == {"thrown": "NotAllowedError"}
    token = app.log_in()["token"]
    assert app.run("signInWithPasskey(token)", token=token)["__typename"] == "SignedIn"
    app.let_the_last_factor_grow_old()
    assert app.run("addPasskey(answerWithPasskey)") == {"thrown": "InvalidStateError"}


def test_a_passkey_that_did_not_verify_its_user_needs_the_password(page: "Page", script: Path, serve: Serve) -> None:
    app = App(page, script, serve)
    key = app.authenticator(PLATFORM)
    app.enroll_with_passkey()
    app.sign_out()
    app.devtools.send("WebAuthn.setUserVerified", {"authenticatorId": key, "isUserVerified": False})
    assert app.run("signInWithPasskey()") == {"thrown": "NotAllowedError"}

    # Imitate a browser that returns an answer without the verification that the options require.
    page.evaluate("""() => {
        const parse = PublicKeyCredential.parseRequestOptionsFromJSON.bind(PublicKeyCredential);
        PublicKeyCredential.parseRequestOptionsFromJSON = (json) => parse({ ...json, userVerification: "discouraged" });
    }""")
    assert app.run("signInWithPasskey()")["__typename"] == "UserVerificationRequired"
    assert app.signed_in_as() is None
    token = app.log_in()["token"]
    assert app.run("signInWithPasskey(token)", token=token)["__typename"] == "SignedIn"
    assert app.signed_in_as() == app.username


def test_a_passkey_of_another_account_is_no_second_factor(page: "Page", script: Path, serve: Serve) -> None:
    app = App(page, script, serve)
    app.authenticator(PLATFORM)
    app.enroll_with_passkey()
    app.sign_out()
    app.username = f"other-{secrets.token_hex(4)}"
    app.enroll_with_app()
    app.sign_out()
    challenge = app.log_in()
    assert challenge["factors"] == ["TOTP", "RECOVERY_CODE"]
    assert app.run("signInWithPasskey(token)", token=challenge["token"])["__typename"] == "PasskeyUnavailable"


def test_an_expired_ceremony_is_refused_and_the_next_one_signs_in(page: "Page", script: Path, serve: Serve) -> None:
    app = App(page, script, serve)
    app.authenticator(PLATFORM)
    app.enroll_with_passkey()
    app.sign_out()
    app.run("nextCeremony()")
    token = app.log_in()["token"]
    with closing(sqlite3.connect(app.server.folder / "graphql_mfa.db")) as database, database:
        assert database.execute("DELETE FROM mfa_challenges").rowcount > 0  # as the purge does when they expire
    assert app.run("signInWithPasskey(token)", token=token)["__typename"] == "ChallengeExpired"
    assert app.run("signInWithPasskey()")["__typename"] == "SignedIn"


def test_a_passkey_is_picked_in_the_autofill(page: "Page", script: Path, serve: Serve) -> None:
    app = App(page, script, serve)
    app.authenticator(PLATFORM)
    app.enroll_with_passkey()
    app.sign_out()
    shown = app.run("new Promise((resolve) => offerInAutofill(resolve))")
    assert shown["__typename"] == "SignedIn"
    assert app.signed_in_as() == app.username


def offer_in_autofill(app: App, key: str) -> None:
    """Let the autofill wait for its user, who reacts to the next ceremony at once."""
    presence = {"authenticatorId": key, "enabled": False}
    app.devtools.send("WebAuthn.setAutomaticPresenceSimulation", presence)
    app.page.evaluate("""() => {
        const get = navigator.credentials.get.bind(navigator.credentials);
        window.ceremonies = [];
        navigator.credentials.get = (options) => {
            ceremonies.push(options.mediation ?? "by a button");
            return get(options);
        };
        window.shown = [];
        window.autofill = offerInAutofill((result) => shown.push(result.__typename)).then(() => "ended");
    }""")
    app.page.wait_for_function("ceremonies.length > 0")
    app.devtools.send("WebAuthn.setAutomaticPresenceSimulation", presence | {"enabled": True})


def test_a_button_ends_the_autofill_before_its_own_ceremony(page: "Page", script: Path, serve: Serve) -> None:
    app = App(page, script, serve)
    key = app.authenticator(PLATFORM)
    app.enroll_with_passkey()
    app.sign_out()
    offer_in_autofill(app, key)
    assert app.run("signInWithPasskey()")["__typename"] == "SignedIn"
    assert app.run("autofill") == "ended"
    assert app.run("ceremonies") == ["conditional", "by a button"]
    assert app.run("shown") == []


def test_the_autofill_fetches_new_options_before_they_expire(page: "Page", script: Path, serve: Serve) -> None:
    page.clock.install()
    app = App(page, script, serve)
    key = app.authenticator(PLATFORM)
    app.enroll_with_passkey()
    app.sign_out()
    offer_in_autofill(app, key)
    page.clock.fast_forward("04:01")
    page.wait_for_function("shown.length > 0")
    assert app.run("shown") == ["SignedIn"]
    assert app.run("ceremonies") == ["conditional", "conditional"]
    assert app.signed_in_as() == app.username


def test_a_new_account_that_breaks_the_rules_is_told_which(page: "Page", script: Path, serve: Serve) -> None:
    app = App(page, script, serve)
    problem = app.run("register(username, 'short').catch((error) => error.message)", username=app.username)
    answer = app.ask(f'''mutation {{ registerUser(input: {{ username: "{app.username}", password: "short" }}) {{
        ... on InvalidInput {{ fields {{ message }} }} }} }}''')
    assert problem == " ".join(field["message"] for field in answer["registerUser"]["fields"])
