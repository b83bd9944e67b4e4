"""The explorer as a newcomer meets it: the page as it is served, in a real browser, with a real server behind it."""

import re
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyotp
import pytest
from graphql import build_schema, parse, validate

from graphql_mfa import explorer
from graphql_mfa.explorer import vendored, verify
from tests.slow.browser.graphiql import open_tab, run, type_over, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

TABS = [
    "Step1_Register",
    "Step2_FirstCode",
    "Step3_LogIn",
    "Step4_NextCode",
    "Step5_WhoAmI",
    "Step6_Account",
    "Step7_Reauthenticate",
    "Step8_AddApp",
    "Step9_ConfirmApp",
    "Step10_ChangePassword",
    "Step11_Refresh",
    "Step12_LogOut",
]


def test_a_newcomer_registers_signs_in_and_logs_out(page: "Page", live_server: str) -> None:
    from playwright.sync_api import expect

    complaints: list[str] = []
    requested: list[str] = []
    sent: list[str] = []
    # Chromium reports a violated content security policy as an error on the console.
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    page.on("request", lambda request: sent.append(f"{request.headers} {request.post_data}"))
    page.on("websocket", lambda socket: requested.append(socket.url))
    username = f"newcomer-{secrets.token_hex(4)}"

    page.goto(f"{live_server}/graphql")
    expect(page.locator(".graphiql-tab-button")).to_have_text(TABS)
    wait_until(page, "sessionStorage.getItem('graphiql:tabState') !== null")
    page.reload()
    expect(page.locator(".graphiql-tab-button")).to_have_text(TABS)

    open_tab(page, "Step4_NextCode")
    run(page, "Nothing was sent: {{challengeToken}} is not known.")
    open_tab(page, "Step1_Register")
    type_over(page, "alice", username)
    registered = run(page, "RegisterUserSuccess")
    qr_code = page.get_by_role("img", name="QR code")
    expect(qr_code).to_be_visible()
    assert qr_code.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    secret = re.search(r'"secret": "([A-Z2-7]+)"', registered)
    assert secret

    open_tab(page, "Step2_FirstCode")
    type_over(page, "123456", pyotp.TOTP(secret[1]).now())
    run(page, "EnrollmentConfirmed")
    expect(qr_code).to_be_hidden()

    open_tab(page, "Step5_WhoAmI")
    run(page, f'"username": "{username}"')
    open_tab(page, "Step8_AddApp")
    added = run(page, "TotpDeviceAdded")
    expect(qr_code).to_be_visible()
    second_secret = re.search(r'"secret": "([A-Z2-7]+)"', added)
    assert second_secret
    open_tab(page, "Step9_ConfirmApp")
    type_over(page, "123456", pyotp.TOTP(second_secret[1]).now())
    run(page, "TotpDeviceConfirmed")
    expect(qr_code).to_be_hidden()
    open_tab(page, "Step6_Account")
    run(page, '"name": "Tablet"')
    open_tab(page, "Step10_ChangePassword")
    run(page, "PasswordChanged")
    open_tab(page, "Step11_Refresh")
    run(page, "SignedIn")
    open_tab(page, "Step12_LogOut")
    run(page, "LogoutSuccess")
    open_tab(page, "Step5_WhoAmI")
    run(page, '"me": null')

    open_tab(page, "Step3_LogIn")
    run(page, "OtpRequired")
    open_tab(page, "Step4_NextCode")
    # Each code counts once; the next one is accepted a little early.
    type_over(page, "123456", pyotp.TOTP(secret[1]).at(time.time(), counter_offset=1))
    run(page, f'"username": "{username}"')
    open_tab(page, "Step7_Reauthenticate")
    type_over(page, "123456", pyotp.TOTP(second_secret[1]).at(time.time(), counter_offset=1))
    run(page, "Reauthenticated")

    page.get_by_role("button", name="Show GraphiQL Explorer").click()
    expect(page.get_by_text("accessTokenExpiresIn").first).to_be_visible()

    assert complaints == []
    assert [url for url in requested if not url.startswith((f"{live_server}/", "data:"))] == []
    assert [request for request in sent if "{{" in request] == []
    assert page.evaluate("localStorage.length") == 0


def test_every_example_is_a_valid_operation_of_the_schema() -> None:
    schema = build_schema((Path(__file__).parents[3] / "schema.graphql").read_text())
    content, _ = explorer.asset("examples.js") or (b"", "")
    queries = re.findall("query: `(.*?)`", content.decode(), re.DOTALL)
    assert len(queries) == len(TABS)
    for query in queries:
        assert validate(schema, parse(query)) == []


def test_the_page_loads_only_assets_that_exist_and_holds_no_inline_script() -> None:
    html = explorer.page('/a"b/explorer')
    assert 'a"b' not in html
    names = re.findall(r'(?:src|href)="/a&quot;b/explorer/([^"]+)"', html)
    assert set(names) > vendored.FILES.keys()
    assert all(explorer.asset(name) for name in names)
    assert re.findall(r"<script(?! defer src=)|\bon\w+=|style=", html) == []


@pytest.mark.parametrize(
    "name", ["", "page.html", "__init__.py", "../verify.py", "vendor/graphiql.min.js", "LICENSES.md"]
)
def test_no_other_name_reaches_a_file(name: str) -> None:
    assert explorer.asset(name) is None


def test_vendored_files_are_as_published() -> None:
    assert verify.problems() == []


def test_a_changed_a_missing_and_an_unlisted_file_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(vendored.FOLDER, tmp_path / "vendor")
    monkeypatch.setattr(verify, "FOLDER", folder)
    (folder / "plugin-explorer.css").write_text("changed")
    (folder / "react.production.min.js").unlink()
    (folder / "tracker.js").touch()
    assert [line.split(":")[0] for line in verify.problems()] == [
        "react.production.min.js",
        "tracker.js",
        "plugin-explorer.css",
    ]
