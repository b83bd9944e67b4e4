"""Header fields: media types, the access token, and the security headers of every response."""

import re
from functools import lru_cache

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""For a response that is neither a page nor cacheable (OWASP HTTP Security Response Headers Cheat Sheet)."""

_CACHED_HEADERS = 256
_LONGEST_CACHED_HEADER = 256  # browsers send at most 150 characters
# An unclosed quote extends to the end of the header; searching for its end repeatedly would take quadratic time.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)', re.DOTALL)


class SecurityHeaders:
    """Middleware that adds the security headers that a response doesn't set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def bearer_token(request: Request) -> str | None:
    """The access token; None without an Authorization header, empty for another scheme."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def response_media_type(request: Request) -> str:
    """The media type of a GraphQL response, from the Accept header: JSON when it prefers neither."""
    accept = request.headers.get("accept", "")
    return _preferred_cached(accept) if len(accept) <= _LONGEST_CACHED_HEADER else _preferred(accept)


def accepted_media_types(header: str) -> dict[str, float]:
    """The media types in an Accept header, in lower case, with their weights; those with weight 0 are left out."""
    weights = {}
    # Quoted strings may hold separators; no parameter that is read here is quoted.
    for part in _QUOTED.sub("", header).split(","):
        media_type, parameters = parse_media_type(part)
        weight = _weight(parameters.get("q", "1"))
        if weight > 0:
            weights[media_type] = weight
    return weights


def parse_media_type(text: str) -> tuple[str, dict[str, str]]:
    """A media type in lower case, and its parameters (RFC 9110, 8.3.1)."""
    media_type, *parameters = text.split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    return media_type.strip().lower(), {name.strip().lower(): value.strip(' \t"') for name, _, value in pairs}


def _preferred(accept: str) -> str:
    accepted = accepted_media_types(accept)
    weight = accepted.get(GRAPHQL_JSON)
    return GRAPHQL_JSON if weight and weight >= accepted.get(JSON, 0) else JSON


_preferred_cached = lru_cache(_CACHED_HEADERS)(_preferred)


def _weight(text: str) -> float:
    return float(text) if re.fullmatch(r"0(\.\d{0,3})?|1(\.0{0,3})?", text) else 1.0
