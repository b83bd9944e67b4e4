"""Refresh tokens in an HttpOnly cookie, and the protection against CSRF that it needs.

`SameSite=Strict` covers other sites. The required header, which needs a preflight, and the check of `Origin` also cover
untrusted sites under the same domain (OWASP Cross-Site Request Forgery Prevention Cheat Sheet).
"""

from starlette.requests import Request

from graphql_mfa.context import RequestContext
from graphql_mfa.http.http_request import BadRequestError
from graphql_mfa.http.public_errors import ErrorCode
from graphql_mfa.settings import Settings
from graphql_mfa.types.sessions import TokenPair

REQUIRED_HEADER = "GraphQL-Require-Preflight"
# For a name with the prefix `__Host-` browsers require Secure and Path=/ (RFC 6265bis 4.1.3.2).
_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Strict"


def is_on(settings: Settings) -> bool:
    """Whether this deployment uses cookies for refresh tokens."""
    return settings.session_transport == "cookie"


def require_own_page(request: Request, settings: Settings) -> None:
    """Raise BadRequestError for a POST that may come from another site's page."""
    if not is_on(settings) or request.method != "POST":
        return
    if REQUIRED_HEADER not in request.headers:
        raise BadRequestError(403, f"Send the header {REQUIRED_HEADER}, with any value.", code=ErrorCode.FORBIDDEN)
    # Compared by the browser, so it holds behind a proxy that changes Host. Scripts can't set `Sec-` headers.
    if request.headers.get("sec-fetch-site") == "same-origin":
        return
    # Browsers send it with every POST (Fetch, 3.2); other programs don't.
    origin = request.headers.get("origin")
    host = request.headers.get("host", "").lower()
    own = {f"http://{host}", f"https://{host}"}  # a proxy may have terminated TLS
    if origin is not None and origin not in own and origin not in settings.cors_origins:
        raise BadRequestError(
            403,
            "Pages of this origin may not use this API: list the origin in GRAPHQL_MFA_CORS_ORIGINS or, if it is the "
            "API's own, have the proxy pass on the Host header with its port.",
            code=ErrorCode.FORBIDDEN,
        )


def refresh_cookie(request: Request, settings: Settings) -> str | None:
    """The refresh token in the cookie; None when the cookie is missing or sent twice.

    Starlette's parser strips Unicode spaces from names, so another site under the same domain could set
    "\\xa0__Host-…", which browsers don't protect.
    """
    if not is_on(settings):
        return None
    pairs = ";".join(request.headers.getlist("cookie")).split(";")
    values = [
        value for name, _, value in (pair.strip(" ").partition("=") for pair in pairs) if name == settings.cookie_name
    ]
    return values[0] if len(values) == 1 else None


def move_to_cookie(context: RequestContext, tokens: TokenPair) -> None:
    """Move the refresh token from the response's body to its cookie."""
    if is_on(context.services.settings):
        seconds = int((tokens.refresh_token_expires_at - context.services.clock()).total_seconds())
        _set(context, tokens.refresh_token or "", seconds)
        tokens.refresh_token = None


def expire_cookie(context: RequestContext) -> None:
    """Make the browser delete the cookie."""
    if is_on(context.services.settings):
        _set(context, "", 0)


def _set(context: RequestContext, value: str, seconds: int) -> None:
    name = context.services.settings.cookie_name
    context.response_headers.append("Set-Cookie", f"{name}={value}; Max-Age={seconds}; {_ATTRIBUTES}")
