"""The React app of docs/clients.md beside an API of its own, served by Vite as the page says, in a real browser."""

import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tests.conftest import KEY
from tests.ports import reserved_port
from tests.slow.browser.conftest import Serve
from tests.slow.browser.test_clients_page import App, compile_snippets, copy_snippets
from tests.slow.snippets import access_token, chapter, own_api, snippets_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

HTML = '<!doctype html><meta charset="utf-8"><div id="root"></div><script type="module" src="/src/main.tsx"></script>'
SHOP = """
import { gql } from "@apollo/client";
import { ownApi } from "./own-api";

export async function myId(): Promise<string> {
  const { data } = await ownApi.query<{ myId: string }>({ query: gql`{ myId }`, fetchPolicy: "no-cache" });
  return data!.myId;
}
"""
CORS = dict(re.findall(r"^\| `(Access-Control-\S+)` \| `(.+?)`", chapter("Your own API"), re.MULTILINE))
MY_ID = "import('/src/shop.ts').then(({ myId }) => myId())"
# The tab takes the token over, as from another tab.
HAND_OVER = "token => new BroadcastChannel('session').postMessage(token)"
FETCH = """url => import('/src/session.ts')
    .then(({ signedInFetch }) => signedInFetch(url, { headers: { 'Content-Type': 'application/json' } }))
    .then(({ status }) => status, () => null)"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The page's React app with its second Apollo client, and a module that uses that."""
    folder = tmp_path / "app"
    folder.mkdir()
    copy_snippets(folder)
    session = folder / "src" / "session.ts"
    assert 'API = "/graphql"' in session.read_text()
    session.write_text(session.read_text().replace('API = "/graphql"', 'API = "/auth/graphql"'))
    (folder / "src" / "own-api.ts").write_text(snippets_of("Your own API")["own-api.ts"])
    (folder / "src" / "shop.ts").write_text(SHOP)
    (folder / "index.html").write_text(HTML)
    # A folder of links: Vite writes its cache beside them, and other tests run at the same time.
    installed = (folder / "node_modules").readlink()
    (folder / "node_modules").unlink()
    (folder / "node_modules").mkdir()
    for package in installed.iterdir():
        (folder / "node_modules" / package.name).symlink_to(package)
    compile_snippets(folder, "src/shop.ts")
    (folder / "tsconfig.json").write_text('{"compilerOptions": {"jsx": "react-jsx"}}')
    return folder


@contextmanager
def vite(project: Path, server_url: str, api_url: str) -> Iterator[str]:
    """The URL of Vite's server with the page's configuration, which forwards to these URLs."""
    config = snippets_of("Your own API")["vite.config.ts"]
    for documented, used in (("http://127.0.0.1:8000", server_url), ("http://127.0.0.1:4000", api_url)):
        assert documented in config
        config = config.replace(documented, used)
    (project / "vite.config.ts").write_text(config)
    with reserved_port() as port:
        command = ["node", "node_modules/vite/bin/vite.js", "--host", "127.0.0.1", "--port", str(port), "--strictPort"]
        with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                assert any(str(port) in line for line in process.stdout)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()


class AppByVite(App):
    """The page's app at the URL of Vite's server."""

    def __init__(self, page: "Page", url: str) -> None:
        self.page, self.username = page, f"user-{secrets.token_hex(4)}"
        page.goto(url)

    def sign_in(self) -> None:
        """Create an account, and stay signed in."""
        self.verify(self.register().now())
        self.save_recovery_codes()


def test_an_own_api_that_refuses_an_expired_token_is_called_again_after_a_refresh(
    page: "Page", serve: Serve, project: Path, tmp_path: Path
) -> None:
    server = serve(GRAPHQL_MFA_SECRET_KEYS=KEY)
    folder = tmp_path / "api"
    folder.mkdir()
    with own_api(folder, server.url) as api, vite(project, server.url, api.rstrip("/")) as url:
        app = AppByVite(page, url)
        app.sign_in()
        user_id = page.evaluate(MY_ID)
        assert UUID(user_id)

        responses: list[tuple[str, int]] = []
        page.on("response", lambda response: responses.append((response.url.removeprefix(url), response.status)))
        page.evaluate(HAND_OVER, access_token(age=timedelta(hours=1)))
        assert page.evaluate(MY_ID) == user_id
        assert [response for response in responses if "graphql" in response[0]] == [
            ("/graphql", 401),
            ("/auth/graphql", 200),
            ("/graphql", 200),
        ]

        page.reload()
        app.see(f"Signed in as {app.username}.")
        app.sign_out()
        with pytest.raises(Exception, match="Sign in first"):
            page.evaluate(MY_ID)


@pytest.mark.parametrize(
    ("options", "missing", "statuses"),
    [
        ("", "Access-Control-Allow-Credentials", [401, 200]),
        ("", "Access-Control-Expose-Headers", [401]),
        (', credentials: "include"', None, [401, 200]),
        (', credentials: "include"', "Access-Control-Allow-Credentials", []),
    ],
    ids=["without credentials", "refusal not exposed", "with credentials", "credentials not allowed"],
)
def test_an_own_api_of_another_origin_is_called_again_with_the_documented_headers(
    page: "Page", serve: Serve, project: Path, options: str, missing: str | None, statuses: list[int]
) -> None:
    session = project / "src" / "session.ts"
    sent_with = "fetch(url, { ...options, headers"
    assert sent_with in session.read_text()
    session.write_text(session.read_text().replace(sent_with, sent_with + options))
    assert missing is None or missing in CORS
    answered: list[int] = []

    class OwnApi(BaseHTTPRequestHandler):
        """Refuses the first token as expired."""

        def do_OPTIONS(self) -> None:
            self.answer(204)

        def do_GET(self) -> None:
            answered.append(200 if answered else 401)
            self.answer(answered[-1])

        def answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Access-Control-Allow-Origin", url)
            for name, value in CORS.items():
                if name != missing:
                    self.send_header(name, value)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Bearer error="invalid_token"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

    server = serve()
    with HTTPServer(("127.0.0.1", 0), OwnApi) as own:
        thread = Thread(target=own.serve_forever)
        thread.start()
        try:
            with vite(project, server.url, "http://127.0.0.1:9") as url:
                AppByVite(page, url).sign_in()
                seen = page.evaluate(FETCH, f"http://127.0.0.1:{own.server_port}/")
        finally:
            own.shutdown()
            thread.join()
    assert answered == statuses
    assert seen == (statuses[-1] if statuses else None)
