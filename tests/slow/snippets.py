"""The code blocks of docs/clients.md, and the API that its chapter "Your own API" builds, as a process."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from graphql_mfa.core.access_tokens import AccessTokens, Grant
from graphql_mfa.core.keys import KeyRing
from tests.conftest import KEY, require_program
from tests.slow.npm import install

ROOT = Path(__file__).parents[2]
TOOLS = Path(__file__).parent / "javascript"


def chapter(title: str) -> str:
    """The page's text under that title."""
    page = (ROOT / "docs" / "clients.md").read_text()
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def snippets_of(*titles: str) -> dict[str, str]:
    """The JavaScript and TypeScript files in these chapters of the page, by their names."""
    text = "".join(chapter(title) for title in titles)
    return dict(re.findall(r"```(?:js|tsx?)\n// (\S+)\n(.*?)```", text, re.DOTALL))


@contextmanager
def own_api(folder: Path, server_url: str) -> Iterator[str]:
    """The URL of the page's own API, on a free port, which trusts the keys of that server."""
    require_program("node")
    install(TOOLS)
    (folder / "node_modules").symlink_to(TOOLS / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    snippets = snippets_of("Your own API")
    for name, documented, used in (
        ("authenticate.js", "http://127.0.0.1:8000", server_url),
        ("own-api.js", "port: 4000", "port: 0"),
    ):
        assert documented in snippets[name]
        (folder / name).write_text(snippets[name].replace(documented, used))
    with subprocess.Popen(["node", "own-api.js"], cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            serving = re.fullmatch(r"Serving at (http://\S+)\n", process.stdout.readline())
            assert serving
            yield serving[1]
        finally:
            process.terminate()


def access_token(*, age: timedelta = timedelta(), audience: str = "graphql-mfa") -> str:
    """A token of servers with `KEY`, issued that long ago for ten minutes."""
    ring = KeyRing.parse(KEY)
    issued_at = datetime.now(UTC) - age
    grant = Grant(uuid4(), uuid4(), 0, issued_at, (), issued_at, issued_at + timedelta(minutes=10))
    return AccessTokens(ring, issuer="graphql-mfa", audience=audience).sign(grant, ring.current)
