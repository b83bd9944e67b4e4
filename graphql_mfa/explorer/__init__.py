"""GraphiQL, served without a CDN or inline scripts, with examples of a sign-in."""

from functools import cache
from html import escape
from pathlib import Path

__all__ = ["CONTENT_SECURITY_POLICY", "asset", "page"]

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'"
)
"""The `Content-Security-Policy` header of the page. React and CodeMirror set inline styles."""

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
    """The HTML page. It sends operations to its own URL without the query string.

    assets_url: the URL of the assets' folder without a trailing slash, as in "/graphql/explorer".
    """
    return _read(_FOLDER / "page.html").decode().replace("{{assets}}", escape(assets_url))


def asset(name: str) -> tuple[bytes, str] | None:
    """The content and media type of one of the page's files; None for any other name."""
    path = _ASSETS.get(name)
    return None if path is None else (_read(path), _MEDIA_TYPES[path.suffix])
