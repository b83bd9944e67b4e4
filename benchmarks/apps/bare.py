"""The framework's ceiling: Strawberry on the same server, with the same types and caches, and constant answers."""

from datetime import UTC, datetime
from typing import Any

import strawberry
from fastapi import FastAPI
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.fastapi import GraphQLRouter

from graphql_mfa.api import errors, inputs, results, types

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_USER = types.User(
    id=strawberry.ID("0198f3c0-0000-7000-8000-000000000000"),
    username="alice",
    created_at=_NOW,
    mfa_enabled=True,
    recovery_codes_left=10,
    session_id=None,
)
_CHALLENGE = types.Challenge(
    token="c" * 43,
    expires_at=_NOW,
    expires_in=300,
    attempts_left=5,
    factors=[types.FactorKind.TOTP, types.FactorKind.RECOVERY_CODE],
    otp_retry_after=None,
)
_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
_REGISTERED = results.RegisterUserSuccess(
    user=_USER,
    enrollment=types.TotpEnrollment(secret=_SECRET, otpauth_uri=f"otpauth://totp/alice?secret={_SECRET}"),
    challenge=_CHALLENGE,
)
_OTP_REQUIRED = results.OtpRequired(challenge=_CHALLENGE, enrollment_pending=False)
_SIGNED_IN = results.SignedIn(
    tokens=types.TokenPair(
        access_token="a" * 500,
        access_token_expires_at=_NOW,
        access_token_expires_in=600,
        refresh_token="r" * 100,
        refresh_token_expires_at=_NOW,
    ),
    user=_USER,
)

Result = results.RegisterUserSuccess | results.OtpRequired | results.SignInSuccess | errors.UserError


@strawberry.type
class Query:
    @strawberry.field
    async def me(self) -> types.User | None:
        return _USER


@strawberry.type
class Mutation:
    @strawberry.mutation(graphql_type=results.RegisterUserResult)
    async def register_user(self, input: inputs.RegisterUserInput) -> Result:  # noqa: ARG002
        return _REGISTERED

    @strawberry.mutation(graphql_type=results.LoginResult)
    async def login(self, input: inputs.LoginInput) -> Result:  # noqa: ARG002
        return _OTP_REQUIRED

    @strawberry.mutation(graphql_type=results.VerifyOtpResult)
    async def verify_otp(self, input: inputs.VerifyOtpInput) -> Result:  # noqa: ARG002
        return _SIGNED_IN

    @strawberry.mutation(graphql_type=results.RefreshSessionResult)
    async def refresh_session(self, input: inputs.RefreshSessionInput) -> Result:  # noqa: ARG002
        return _SIGNED_IN


async def _context() -> dict[str, Any]:
    """Asynchronous: FastAPI would run any other in a thread, for each request."""
    return {}


def create_app() -> FastAPI:
    """The application: `uvicorn --factory`."""
    schema = strawberry.Schema(Query, Mutation, extensions=[ParserCache, ValidationCache])
    app = FastAPI(openapi_url=None)
    app.include_router(GraphQLRouter[dict[str, Any], None](schema, context_getter=_context), prefix="/graphql")
    return app
