"""GraphiQL, served from this package: no CDN, no inline script, and examples that lead through a sign-in."""

from functools import cache
from html import escape
from pathlib import Path

__all__ = ["CONTENT_SECURITY_POLICY", "asset", "page"]

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'"
)
"""The `Content-Security-Policy` header the page is made for. React and CodeMirror set styles inline."""

_FOLDER = Path(__file__).parent
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}
_ASSETS = {
    path.name: path
    for folder in (_FOLDER, _FOLDER / "vendor")
    for path in folder.iterdir()
    if path.suffix in _MEDIA_TYPES
}


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()


def page(assets_url: str) -> str:
    """The HTML page, which loads each asset from `{assets_url}/{name}`.

    assets_url: without a trailing slash, relative to the page's own URL or absolute, as in "/graphql/explorer".
    The page sends its operations to its own URL without the query string.
    """
    return _read(_FOLDER / "page.html").decode().replace("{{assets}}", escape(assets_url))


def asset(name: str) -> tuple[bytes, str] | None:
    """Content and media type of one of the page's files; None for any other name."""
    path = _ASSETS.get(name)  # The name is only ever a key, so no name can reach another file.
    return None if path is None else (_read(path), _MEDIA_TYPES[path.suffix])
