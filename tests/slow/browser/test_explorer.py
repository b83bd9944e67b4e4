"""The explorer in a real browser, against a real server."""

import json
import re
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pyotp
import pytest
from graphql import build_schema, parse, validate

from graphql_mfa import explorer
from tests import vendored
from tests.slow.browser.conftest import Serve
from tests.slow.browser.graphiql import open_tab, run, type_over, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

TABS = [
    "Register",
    "FirstCode",
    "WhoAmI",
    "Account",
    "AddApp",
    "ConfirmApp",
    "NewRecoveryCodes",
    "Reauthenticate",
    "ChangePassword",
    "Refresh",
    "LogOut",
    "LogIn",
    "NextCode",
    "RecoveryCode",
    "ResetPassword",
]


def open_explorer(page: "Page", url: str) -> None:
    page.goto(f"{url}/graphql")
    wait_until(page, "sessionStorage.getItem('graphiql:tabState') !== null")


def known(response: str, name: str) -> str:
    """The value of a field in the response pane."""
    found = re.search(f'"{name}": "([^"]+)"', response)
    assert found, response
    return found[1]


def test_a_newcomer_finishes_the_whole_visit(page: "Page", live_server: str) -> None:
    from playwright.sync_api import expect

    complaints: list[str] = []
    requested: list[str] = []
    sent: list[str] = []
    # Chromium reports a violated content security policy as an error on the console.
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    page.on("request", lambda request: sent.append(str(request.headers)))
    page.on("request", lambda request: sent.append(str((request.post_data_json or {}).get("variables"))))
    page.on("websocket", lambda socket: requested.append(socket.url))

    open_explorer(page, live_server)
    expect(page.locator(".graphiql-tab-button")).to_have_text(TABS)
    page.reload()
    expect(page.locator(".graphiql-tab-button")).to_have_text(TABS)

    open_tab(page, "NextCode")
    run(page, "Nothing was sent: {{challengeToken}} is not known.")
    open_tab(page, "Register")
    registered = run(page, "RegisterUserSuccess")
    username, secret = known(registered, "username"), known(registered, "secret")
    enrollment = page.get_by_role("complementary", name="Scan this with an authenticator app")
    qr_code = enrollment.get_by_role("img", name="QR code")
    assert qr_code.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    expect(enrollment).to_contain_text(f"graphql-mfa totp {secret}")

    open_tab(page, "FirstCode")
    type_over(page, "123456", pyotp.TOTP(secret).now())
    run(page, "EnrollmentConfirmed")
    expect(enrollment).to_be_hidden()

    open_tab(page, "WhoAmI")
    run(page, f'"username": "{username}"')
    open_tab(page, "AddApp")
    second_secret = known(run(page, "TotpDeviceAdded"), "secret")
    expect(enrollment).to_contain_text(f"graphql-mfa totp {second_secret}")
    open_tab(page, "ConfirmApp")
    type_over(page, "123456", pyotp.TOTP(second_secret).now())
    run(page, "TotpDeviceConfirmed")
    expect(enrollment).to_be_hidden()
    open_tab(page, "Account")
    run(page, '"name": "Tablet"')
    open_tab(page, "NewRecoveryCodes")
    run(page, '"__typename": "RecoveryCodes"')
    open_tab(page, "ChangePassword")
    run(page, "PasswordChanged")
    open_tab(page, "Refresh")
    run(page, "SignedIn")
    open_tab(page, "LogOut")
    run(page, "LogoutSuccess")
    open_tab(page, "WhoAmI")
    run(page, '"me": null')

    open_tab(page, "LogIn")
    run(page, "OtpRequired")
    open_tab(page, "RecoveryCode")
    run(page, '"recoveryCodesLeft": 9')
    open_tab(page, "Reauthenticate")
    # Each code counts once; the next one is accepted a little early.
    type_over(page, "123456", pyotp.TOTP(secret).at(time.time(), counter_offset=1))
    run(page, "Reauthenticated")
    open_tab(page, "ResetPassword")
    next_code = pyotp.TOTP(second_secret).at(time.time(), counter_offset=1)
    type_over(page, "123456", next_code)
    run(page, "PasswordChanged")
    open_tab(page, "LogIn")
    run(page, "OtpRequired")
    open_tab(page, "NextCode")
    type_over(page, "123456", next_code)
    run(page, "OtpAlreadyUsed")

    page.get_by_role("button", name="Show GraphiQL Explorer").click()
    expect(page.get_by_text("accessTokenExpiresIn").first).to_be_visible()

    assert complaints == []
    assert [url for url in requested if not url.startswith((f"{live_server}/", "data:"))] == []
    assert [request for request in sent if "{{" in request] == []
    assert page.evaluate("localStorage.length") == 0


def test_a_sensitive_tab_is_refused_until_a_second_factor_is_verified_again(page: "Page", serve: Serve) -> None:
    server = serve()
    open_explorer(page, server.url)
    secret = known(run(page, "RegisterUserSuccess"), "secret")
    open_tab(page, "FirstCode")
    type_over(page, "123456", pyotp.TOTP(secret).now())
    run(page, "EnrollmentConfirmed")
    with closing(sqlite3.connect(server.folder / "graphql_mfa.db")) as database, database:
        assert database.execute("UPDATE mfa_sessions SET stale_since = created_at").rowcount == 1
    open_tab(page, "NewRecoveryCodes")
    run(page, "ReauthenticationRequired")
    open_tab(page, "Reauthenticate")
    type_over(page, "123456", pyotp.TOTP(secret).at(time.time(), counter_offset=1))
    run(page, "Reauthenticated")
    open_tab(page, "NewRecoveryCodes")
    run(page, '"__typename": "RecoveryCodes"')


def test_at_1280_pixels_nothing_is_cut_or_covered(page: "Page", live_server: str, subtests: pytest.Subtests) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    open_explorer(page, live_server)
    registered = run(page, "RegisterUserSuccess")
    assert '"qrCode": "data:image/svg+xml… (drawn below)"' in registered
    response, enrollment = (page.locator(selector).bounding_box() for selector in (".result-window", "#enrollment"))
    assert response
    assert enrollment
    assert response["y"] + response["height"] <= enrollment["y"]
    assert enrollment["y"] + enrollment["height"] <= 800

    toolbar = page.get_by_role("toolbar", name="Editor Commands").bounding_box()
    assert toolbar
    for name in TABS:
        with subtests.test(name):
            open_tab(page, name)  # clicked without scrolling: all of them are in view
            tab = page.locator(".graphiql-tab-active").bounding_box()
            assert tab
            assert 0 < tab["x"] < tab["x"] + tab["width"] < 1280
            lines = page.locator(".graphiql-query-editor .CodeMirror-line > span")
            ends = lines.evaluate_all("lines => lines.map((line) => line.getBoundingClientRect().right)")
            assert max(ends) < toolbar["x"]


def test_the_next_visit_suggests_another_name(page: "Page", live_server: str) -> None:
    open_explorer(page, live_server)
    first = known(run(page, "RegisterUserSuccess"), "username")
    page.evaluate("sessionStorage.clear()")  # as in a new browser tab
    open_explorer(page, live_server)
    assert known(run(page, "RegisterUserSuccess"), "username") != first


def test_a_link_with_an_operation_shows_it_and_waits_for_the_button(page: "Page", live_server: str) -> None:
    from playwright.sync_api import expect

    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data) if request.post_data else None)
    query = "query Linked($more: Boolean!) { policy { issuer otpDigits @include(if: $more) } }"
    link = f"{live_server}/graphql?{urlencode({'query': query, 'variables': json.dumps({'more': True})})}"
    tabs = page.locator(".graphiql-tab-button")
    editors = page.locator(".graphiql-query-editor .CodeMirror-code"), page.get_by_label("Variables")

    page.goto(link)
    expect(tabs).to_have_text(["Linked", *TABS])
    expect(editors[0]).to_contain_text(query)
    expect(editors[1]).to_contain_text('{"more": true}')
    wait_until(page, "sessionStorage.getItem('graphiql:operationName') === 'Linked'")
    page.reload()
    expect(tabs).to_have_text(["Linked", *TABS])
    expect(editors[0]).to_contain_text(query)

    run(page, '"otpDigits": 6')
    (operation,) = [body for body in sent if "IntrospectionQuery" not in body]
    assert json.loads(operation) == {"query": query, "operationName": "Linked", "variables": {"more": True}}
    open_tab(page, "Register")
    expect(editors[0]).to_contain_text("registerUser")
    expect(editors[1]).to_contain_text("alice")


def test_a_second_link_opens_another_tab(page: "Page", live_server: str) -> None:
    from playwright.sync_api import expect

    page.goto(f"{live_server}/graphql")
    wait_until(page, "sessionStorage.getItem('graphiql:tabState') !== null")
    page.goto(f"{live_server}/graphql?{urlencode({'query': 'query Linked { policy { issuer } }'})}")
    expect(page.locator(".graphiql-tab-button")).to_have_text([*TABS, "Linked"])
    run(page, '"issuer": "GraphQL MFA"')


def test_every_example_is_a_valid_operation_of_the_schema() -> None:
    schema = build_schema((Path(__file__).parents[3] / "schema.graphql").read_text())
    content, _ = explorer.asset("examples.js") or (b"", "")
    queries = re.findall("query: `(.*?)`", content.decode(), re.DOTALL)
    assert len(queries) == len(TABS)
    for query in queries:
        assert validate(schema, parse(query)) == []


def test_the_page_loads_only_existing_assets_and_has_no_inline_script() -> None:
    html = explorer.page('/a"b/explorer')
    assert 'a"b' not in html
    names = re.findall(r'(?:src|href)="/a&quot;b/explorer/([^"]+)"', html)
    assert set(names) > vendored.FILES.keys()
    assert all(explorer.asset(name) for name in names)
    assert re.findall(r"<script(?! defer src=)|\bon\w+=|style=", html) == []


@pytest.mark.parametrize("name", ["", "page.html", "__init__.py", "../app.py", "vendor/graphiql.min.js", "LICENSES.md"])
def test_only_listed_assets_are_served(name: str) -> None:
    assert explorer.asset(name) is None


def test_vendored_files_are_as_published() -> None:
    assert vendored.problems() == []


def test_a_changed_a_missing_and_an_unlisted_file_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(vendored.FOLDER, tmp_path / "vendor")
    monkeypatch.setattr(vendored, "FOLDER", folder)
    (folder / "plugin-explorer.css").write_text("changed")
    (folder / "react.production.min.js").unlink()
    (folder / "tracker.js").touch()
    assert [line.split(":")[0] for line in vendored.problems()] == [
        "react.production.min.js",
        "tracker.js",
        "plugin-explorer.css",
    ]
