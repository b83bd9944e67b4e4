"""Requiring a session, in the fields and the routes of a host application."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from fastapi import HTTPException
from starlette.requests import Request
from strawberry.extensions import FieldExtension

from graphql_mfa.context import INVALID_TOKEN, Authenticated, Info
from graphql_mfa.flows.signed_in import authenticate
from graphql_mfa.http.http_request import bearer_token
from graphql_mfa.services import Services
from graphql_mfa.types.errors import PublicError


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


def signed_in(services: Callable[[], Services], max_age: int | None) -> Callable[[Request], Awaitable[Authenticated]]:
    """A FastAPI dependency that returns the session, or raises HTTPException(401). `max_age` as in RequireSession."""

    async def session(request: Request) -> Authenticated:
        try:
            return await _session(services(), bearer_token(request), max_age)
        except _DeniedError as denied:
            headers = {"WWW-Authenticate": denied.challenge, "Cache-Control": "no-store"}
            raise HTTPException(401, {"code": denied.code, "message": denied.message}, headers) from None

    return session


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
