"""The refresh token in a cookie that no script can read, and what keeps other sites from using it.

`SameSite=Strict` keeps other sites' requests without the cookie. The header that only a script can send, after a
preflight, and the check of `Origin` hold also where a neighbour under the same domain is not trusted (OWASP Cross-Site
Request Forgery Prevention Cheat Sheet).
"""

from starlette.requests import Request

from graphql_mfa.context import RequestContext
from graphql_mfa.http.http_request import BadRequestError
from graphql_mfa.http.public_errors import ErrorCode
from graphql_mfa.settings import Settings
from graphql_mfa.types.sessions import TokenPair

REQUIRED_HEADER = "GraphQL-Require-Preflight"
# The name's prefix `__Host-` makes browsers refuse it without Secure and Path=/ (RFC 6265bis 4.1.3.2).
_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Strict"


def is_on(settings: Settings) -> bool:
    """Whether this deployment keeps refresh tokens in cookies."""
    return settings.session_transport == "cookie"


def demand_own_page(request: Request, settings: Settings) -> None:
    """Raise BadRequestError for a POST that the page of another site may have sent."""
    if not is_on(settings) or request.method != "POST":
        return
    if REQUIRED_HEADER not in request.headers:
        raise BadRequestError(403, f"Send the header {REQUIRED_HEADER}, with any value.", code=ErrorCode.FORBIDDEN)
    # The browser compares the origins itself, so this is right behind a proxy that changes the host or leaves out its
    # port. Scripts can't set it: Fetch forbids names with `Sec-`.
    if request.headers.get("sec-fetch-site") == "same-origin":
        return
    # Programs that are no browsers send none; browsers send it with every POST (Fetch, 3.2).
    origin = request.headers.get("origin")
    # A proxy may have taken TLS away, so which of the two schemes was used is not known here.
    host = request.headers.get("host", "").lower()
    own = {f"{scheme}://{host}" for scheme in ("http", "https")}
    if origin is not None and origin not in own and origin not in settings.cors_origins:
        raise BadRequestError(
            403,
            "Pages of this origin may not call: list it in GRAPHQL_MFA_CORS_ORIGINS or, if it is the API's own, have "
            "the proxy pass on the Host header with its port.",
            code=ErrorCode.FORBIDDEN,
        )


def refresh_cookie(request: Request, settings: Settings) -> str | None:
    """The refresh token that came in the cookie, by its exact name and once.

    Starlette's parser trims names as Python does: a neighbour under the same domain may set "\\xa0__Host-…", which the
    prefix does not forbid.
    """
    if not is_on(settings):
        return None
    pairs = ";".join(request.headers.getlist("cookie")).split(";")
    values = [
        value for name, _, value in (pair.strip(" ").partition("=") for pair in pairs) if name == settings.cookie_name
    ]
    return values[0] if len(values) == 1 else None


def move_to_cookie(context: RequestContext, tokens: TokenPair) -> None:
    """Take the refresh token out of the answer's body and into its cookie."""
    if is_on(context.services.settings):
        seconds = int((tokens.refresh_token_expires_at - context.services.clock()).total_seconds())
        _set(context, tokens.refresh_token or "", seconds)
        tokens.refresh_token = None


def expire_cookie(context: RequestContext) -> None:
    """Have the browser drop the cookie of a session that is over."""
    if is_on(context.services.settings):
        _set(context, "", 0)


def _set(context: RequestContext, value: str, seconds: int) -> None:
    name = context.services.settings.cookie_name
    context.response_headers.append("Set-Cookie", f"{name}={value}; Max-Age={seconds}; {_ATTRIBUTES}")
