"""One deployment: its schema, its router and its services, for the service or inside a host's FastAPI application."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, HTTPException
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from strawberry.extensions import FieldExtension, SchemaExtension
from strawberry.types.scalar import ScalarDefinition

from graphql_mfa.api.root import Mutation, Query
from graphql_mfa.context import INVALID_TOKEN, Info
from graphql_mfa.core.access_tokens import AccessTokens
from graphql_mfa.core.passwords import PasswordHasher
from graphql_mfa.flows.keys import load_key_ring
from graphql_mfa.flows.notifications import Notifier, OnEvent
from graphql_mfa.flows.purging import cause_of, purge
from graphql_mfa.flows.signed_in import authenticate
from graphql_mfa.hashing import HashingPool
from graphql_mfa.http.http_request import UntrustedProxy, bearer_token
from graphql_mfa.http.router import build_router
from graphql_mfa.http.schema import Schema
from graphql_mfa.metrics import NO_METRICS, Metrics, metrics_in
from graphql_mfa.services import Authenticated, BeforeRegistration, Claims, Clock, Services, no_condition, utc_now
from graphql_mfa.settings import Settings, settings_of_environment
from graphql_mfa.store.database import Database, require_ready
from graphql_mfa.store.outages import UnavailableError
from graphql_mfa.types.errors import PublicError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_log = logging.getLogger("graphql_mfa")
_HOOK = "hook"
_WEBHOOK = "webhook"


class GraphQLMFA:
    """One deployment: the schema, the router, and during its lifespan the services."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        engine: AsyncEngine | None = None,
        clock: Clock = utc_now,
        before_registration: BeforeRegistration = no_condition,
        on_event: OnEvent | None = None,
        claims: Claims | None = None,
        query: type = Query,
        mutation: type = Mutation,
        extensions: Sequence[Callable[[], SchemaExtension]] = (),
        scalars: Mapping[object, ScalarDefinition] = MappingProxyType({}),
        metrics: "CollectorRegistry | None" = None,
    ) -> None:
        """Everything is optional.

        settings: by default from the environment. engine: the host's, on aiosqlite or asyncpg, instead of
        `settings.database_url`; it is not closed. An SQLite database is migrated at start. No key file is created for
        it: set `settings.secret_keys`. clock: returns the current time.

        before_registration: a condition for new accounts. on_event: called with each security event, and again later if
        it raises or times out. claims: returns additional claims for an access token; if it raises, no challenge or
        token is consumed. query, mutation: the host's types, which inherit from `graphql_mfa.Query` and
        `graphql_mfa.Mutation`. extensions, scalars: for the schema, as in Strawberry. metrics: the Prometheus registry
        to record metrics in; by default none are recorded.
        """
        self.settings = settings or settings_of_environment()
        self.schema = Schema(self.settings, query=query, mutation=mutation, extensions=extensions, scalars=scalars)
        self.untrusted_proxy = UntrustedProxy()
        self._engine = engine
        self._open_services = partial(
            open_services,
            self.settings,
            clock=clock,
            before_registration=before_registration,
            metrics=metrics_in(metrics),
            engine=engine,
            claims=claims,
        )
        self._sinks = {_HOOK: on_event} if on_event else {}
        if self.settings.webhook_url:
            from graphql_mfa.webhooks import Webhook

            self._sinks[_WEBHOOK] = Webhook(self.settings, clock).deliver
        self._services: Services | None = None

    @property
    def services(self) -> Services:
        """The services of use cases. Raises RuntimeError outside the lifespan."""
        if self._services is None:
            raise RuntimeError("GraphQLMFA is not running: enter its lifespan() in the application's lifespan.")
        return self._services

    def router(self, path: str = "/graphql", *, dev: bool = False) -> APIRouter:
        """The GraphQL endpoint at `path` with its limits and headers, for `app.include_router`.

        dev: show the explorer to browsers on this machine, unless `settings.explorer` is set.
        """
        return build_router(self.schema, lambda: self.services, self.untrusted_proxy, path=path, dev=dev)

    def signed_in(self, *, max_age: int | None = None) -> Callable[[Request], Awaitable[Authenticated]]:
        """A dependency for routes: `Depends(mfa.signed_in(max_age=300))` returns the session, or responds with 401.

        max_age: seconds within which the session must have verified a second factor.
        """

        async def session(request: Request) -> Authenticated:
            try:
                return await _session(self.services, bearer_token(request), max_age)
            except _DeniedError as denied:
                headers = {"WWW-Authenticate": denied.challenge, "Cache-Control": "no-store"}
                raise HTTPException(401, {"code": denied.code, "message": denied.message}, headers) from None

        return session

    async def migrate(self) -> None:
        """Migrate the store to this version, as `graphql-mfa migrate` does, before a deployment starts.

        Raises UnsupportedDatabaseError and UnavailableError.
        """
        database = _database(self.settings, self._engine, NO_METRICS)
        try:
            await database.check()
            await database.migrate()
        finally:
            await database.close()

    @asynccontextmanager
    async def lifespan(self, _: object = None) -> AsyncIterator[None]:
        """Run the services, the purge and the delivery of events: `FastAPI(lifespan=mfa.lifespan)`."""
        notifier = Notifier(self._sinks)
        async with self._open_services(notifier=notifier) as services:
            try:
                await require_ready(services.database, services.key_ring)
            except UnavailableError as error:
                _log.error("%s", error)
            if self.settings.passkey_rp_id:
                # It takes 0.2 s. A first answer would load it while its transaction has the write lock.
                await asyncio.to_thread(import_module, "webauthn")
            self._services = services
            purging = asyncio.create_task(_purge_forever(services))
            try:
                async with notifier.running(services):
                    yield
            finally:
                self._services = None
                purging.cancel()
                with suppress(asyncio.CancelledError):
                    await purging


@asynccontextmanager
async def open_services(
    settings: Settings,
    clock: Clock = utc_now,
    before_registration: BeforeRegistration = no_condition,
    metrics: Metrics = NO_METRICS,
    notifier: Notifier | None = None,
    engine: AsyncEngine | None = None,
    claims: Claims | None = None,
) -> AsyncIterator[Services]:
    """Open the services, and migrate an SQLite database. Without a notifier, other processes deliver events."""
    key_ring = load_key_ring(settings, shared=engine is not None)
    database = _database(settings, engine, metrics)
    hashing = HashingPool(PasswordHasher(settings.bcrypt_rounds), settings.hashing_slots, metrics)
    try:
        await database.check()
        if database.embedded:
            await database.migrate()
        yield Services(
            settings=settings,
            database=database,
            key_ring=key_ring,
            access_tokens=AccessTokens(
                key_ring,
                issuer=settings.token_issuer,
                audience=settings.token_audience,
                client_id=settings.token_client_id,
                algorithm=settings.token_algorithm,
            ),
            hashing=hashing,
            clock=clock,
            sinks=tuple(notifier.sinks) if notifier else (_WEBHOOK,) * bool(settings.webhook_url),
            before_registration=before_registration,
            metrics=metrics,
            claims=claims,
            wake_notifier=notifier.wake if notifier else None,
        )
    finally:
        hashing.close()
        await database.close()


def _database(settings: Settings, engine: AsyncEngine | None, metrics: Metrics) -> Database:
    return Database(engine or settings.database_url, settings.database_pool_size, metrics, settings.database_schema)


async def _purge_forever(services: Services) -> None:
    while True:
        # Random, so that replicas that started together don't purge together.
        interval = services.settings.purge_interval_seconds * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        await asyncio.sleep(interval)
        try:
            rows = await purge(services.database, services.settings, services.clock())
            for table, count in rows.items():
                services.metrics.purged_rows.labels(table).inc(count)
            services.metrics.purge_succeeded_at.set(services.clock().timestamp())
        except Exception as error:  # noqa: BLE001 - the next purge may succeed
            services.metrics.purge_failures.inc()
            _log.warning("Purging failed, will try again: %s", cause_of(error))


class RequireSession(FieldExtension):
    """Resolve a field for signed-in users only; the resolver reads the session from `info.context.session`.

    max_age: seconds within which the session must have verified a second factor. Otherwise the field has an error whose
    `extensions.code` is UNAUTHENTICATED or REAUTHENTICATION_REQUIRED.
    """

    def __init__(self, max_age: int | None = None) -> None:
        self._max_age = max_age

    # Positional-only, since a field may have arguments of these names.
    async def resolve_async(  # type: ignore[override]
        self, next_: Callable[..., Awaitable[Any]], source: object, info: Info, /, **arguments: object
    ) -> object:
        """Resolve the field, or raise PublicError."""
        context = info.context
        try:
            context.session = await _session(context.services, context.access_token, self._max_age)
        except _DeniedError as denied:
            context.response_headers["WWW-Authenticate"] = denied.challenge
            raise PublicError(denied.message, extensions={"code": denied.code}) from None
        return await next_(source, info, **arguments)


class _DeniedError(Exception):
    def __init__(self, code: str, message: str, challenge: str) -> None:
        super().__init__(message)
        self.code, self.message, self.challenge = code, message, challenge


async def _session(services: Services, access_token: str | None, max_age: int | None) -> Authenticated:
    caller = await authenticate(services, access_token)
    if not isinstance(caller, Authenticated):
        # No error code without a token (RFC 6750 3.1).
        challenge = "Bearer" if access_token is None else INVALID_TOKEN
        raise _DeniedError("UNAUTHENTICATED", caller.message, challenge)
    if max_age is not None and not (
        caller.may_be_fresh and services.clock() - caller.authenticated_at <= timedelta(seconds=max_age)
    ):
        challenge = f'Bearer error="insufficient_user_authentication", max_age="{max_age}"'  # RFC 9470 3
        raise _DeniedError("REAUTHENTICATION_REQUIRED", "Verify a second factor again, then repeat this.", challenge)
    return caller
