"""The application: wires settings, services and edge together."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from graphql_mfa.api.router import build_router
from graphql_mfa.api.schema import build_schema
from graphql_mfa.core.access_tokens import AccessTokens
from graphql_mfa.core.password_hashing import PasswordHasher
from graphql_mfa.flows.hashing import HashingPool
from graphql_mfa.flows.purge import purge
from graphql_mfa.flows.services import Clock, Services, utc_now
from graphql_mfa.key_file import load_key_ring
from graphql_mfa.settings import Settings
from graphql_mfa.store.database import Database

_log = logging.getLogger("graphql_mfa")

_JWKS_CACHE_SECONDS = 300


def create_app(settings: Settings | None = None, *, clock: Clock = utc_now) -> FastAPI:
    """The ASGI application: `uvicorn --factory graphql_mfa.app:create_app`.

    Without `settings` they are read from the environment. `clock` is where the time comes from.
    """
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(chosen, clock) as services:
            app.state.services = services
            purging = asyncio.create_task(_purge_forever(services))
            yield
            purging.cancel()
            with suppress(asyncio.CancelledError):
                await purging

    # A redirect for a trailing slash would send a password to whatever the Host header says.
    app = FastAPI(title="graphql-mfa", lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    app.include_router(build_router(build_schema(chosen), lambda: app.state.services))

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        if await app.state.services.database.migrated():
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "The database is out of reach, or not migrated."}, 503)

    async def jwks(_: Request) -> Response:
        headers = {"Cache-Control": f"public, max-age={_JWKS_CACHE_SECONDS}"}
        return JSONResponse(app.state.services.access_tokens.jwks(), headers=headers)

    app.add_route("/healthz", healthz)
    app.add_route("/readyz", readyz)
    app.add_route("/.well-known/jwks.json", jwks)
    return app


@asynccontextmanager
async def open_services(settings: Settings, clock: Clock = utc_now) -> AsyncIterator[Services]:
    """The dependencies of every use case, open and, for the embedded database, migrated."""
    key_ring = load_key_ring(settings)
    database = Database(settings.database_url)
    hashing = HashingPool(PasswordHasher(settings.bcrypt_rounds))
    try:
        if settings.embedded:
            await database.migrate()
        yield Services(
            settings=settings,
            database=database,
            key_ring=key_ring,
            access_tokens=AccessTokens(key_ring, issuer=settings.token_issuer, audience=settings.token_audience),
            hashing=hashing,
            clock=clock,
        )
    finally:
        hashing.close()
        await database.close()


async def _purge_forever(services: Services) -> None:
    pause = services.settings.purge_interval_seconds
    while True:
        # Spread, so that replicas that started together don't purge together.
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
        try:
            await purge(services)
        except Exception as error:  # noqa: BLE001 - a lost database must not end the purging for good
            _log.warning("Purging failed, will try again: %s", type(error).__name__)
