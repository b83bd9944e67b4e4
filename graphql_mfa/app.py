"""The service: an ASGI application with the GraphQL endpoint, health checks, public keys and metrics."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from graphql_mfa.core.access_tokens import JWKS_PATH, server_metadata
from graphql_mfa.core.origins import wildcard_pattern
from graphql_mfa.flows.notifications import OnEvent
from graphql_mfa.http import cookie_mode
from graphql_mfa.http.http_request import bearer_token
from graphql_mfa.http.request_log import REQUEST_ID_HEADER
from graphql_mfa.http.router import SECURITY_HEADERS, SecurityHeaders, shows_explorer
from graphql_mfa.metrics import scraped_registry
from graphql_mfa.mfa import GraphQLMFA
from graphql_mfa.services import BeforeRegistration, Claims, Clock, no_condition, utc_now
from graphql_mfa.settings import Settings, settings_of_environment
from graphql_mfa.store.database import require_ready
from graphql_mfa.store.outages import UnavailableError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_CACHEABLE = {"Cache-Control": "public, max-age=300"}


def create_app(
    settings: Settings | None = None,
    *,
    clock: Clock = utc_now,
    before_registration: BeforeRegistration = no_condition,
    on_event: OnEvent | None = None,
    claims: Claims | None = None,
    dev: bool = False,
) -> FastAPI:
    """The ASGI application: `uvicorn --factory graphql_mfa.app:create_app`.

    settings: by default from the environment. clock, before_registration, on_event, claims: as in GraphQLMFA. dev: show
    the explorer to browsers on this machine, unless `settings.explorer` is set.
    """
    settings = settings or settings_of_environment()
    registry: CollectorRegistry | None = None
    if settings.counts:
        import prometheus_client

        registry = prometheus_client.REGISTRY
    mfa = GraphQLMFA(
        settings,
        clock=clock,
        before_registration=before_registration,
        on_event=on_event,
        claims=claims,
        metrics=registry,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with mfa.lifespan():
            app.state.services = mfa.services
            yield

    app = FastAPI(
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
        # FastAPI's spans have query strings with variables, its log the messages of exceptions. The router has its own.
        telemetry={"tracing": False, "logs": False},
    )
    app.router.routes.extend(mfa.router(dev=dev).routes)  # include_router would match each request twice.

    async def root(request: Request) -> Response:
        if shows_explorer(request, settings, dev=dev):
            return RedirectResponse("graphql")  # relative, since a proxy may add a prefix to the path
        return PlainTextResponse("GraphQL is at /graphql, by POST. Public keys are at /.well-known/jwks.json.\n")

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        try:
            await require_ready(mfa.services.database, mfa.services.key_ring)
        except UnavailableError as error:
            return JSONResponse({"status": error.summary}, 503)
        warning = mfa.untrusted_proxy.warning(clock())
        return JSONResponse({"status": "ok"} | ({"warning": warning} if warning else {}))

    async def jwks(_: Request) -> Response:
        return JSONResponse(mfa.services.access_tokens.jwks(), headers=_CACHEABLE)

    app.add_route("/", root)
    app.add_route("/healthz", healthz)
    app.add_route("/readyz", readyz)
    app.add_route(JWKS_PATH, jwks)
    if found := server_metadata(settings.token_issuer):
        metadata_path, document = found

        async def metadata(_: Request) -> Response:
            return JSONResponse(document, headers=_CACHEABLE)

        app.add_route(metadata_path, metadata)
    pages = [origin for origin in settings.passkey_origins if origin.startswith("http")]
    if len(pages) > 1:

        async def related_origins(_: Request) -> Response:
            return JSONResponse(
                {"origins": pages}, headers=_CACHEABLE | {"Cross-Origin-Resource-Policy": "cross-origin"}
            )

        app.add_route("/.well-known/webauthn", related_origins)  # WebAuthn L3 5.11
    if registry and settings.metrics_token:
        app.add_route("/metrics", _metrics_endpoint(registry, settings.metrics_token.get_secret_value()))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_origin_regex=wildcard_pattern(settings.cors_origins),
            allow_credentials=cookie_mode.is_on(settings),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["WWW-Authenticate", REQUEST_ID_HEADER],
        )
    app.add_middleware(SecurityHeaders)
    # Starlette sends this response outside of the middleware.
    app.add_exception_handler(Exception, lambda *_: Response("Internal Server Error", 500, SECURITY_HEADERS))
    return app


def _metrics_endpoint(registry: "CollectorRegistry", token: str) -> Callable[[Request], Response]:
    """An endpoint that shows a registry to requests with this bearer token."""
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    # Not `async`, so that Starlette runs it in a thread: reading the files of all workers would block the event loop.
    def scrape(request: Request) -> Response:
        if not secrets.compare_digest((bearer_token(request) or "").encode(), token.encode()):
            return PlainTextResponse("Unauthorized", 401, {"WWW-Authenticate": "Bearer"})
        return Response(generate_latest(scraped_registry(registry)), media_type=CONTENT_TYPE_LATEST)

    return scrape
