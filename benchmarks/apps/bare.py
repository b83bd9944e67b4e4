"""The framework's ceiling: Strawberry on the same server, with such types, the same caches, and constant answers."""

from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

import strawberry
from fastapi import FastAPI
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.fastapi import GraphQLRouter
from strawberry.scalars import JSON

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@strawberry.enum
class FactorKind(Enum):
    TOTP = "TOTP"
    RECOVERY_CODE = "RECOVERY_CODE"


@strawberry.type
class User:
    id: strawberry.ID = strawberry.ID("0198f3c0-0000-7000-8000-000000000000")
    username: str = "alice"
    created_at: datetime = _NOW
    mfa_enabled: bool = True
    recovery_codes_left: int = 10


@strawberry.type
class TotpEnrollment:
    secret: str = _SECRET
    otpauth_uri: str = f"otpauth://totp/alice?secret={_SECRET}"


@strawberry.type
class Challenge:
    token: str = "c" * 43
    expires_at: datetime = _NOW
    expires_in: int = 300
    attempts_left: int = 5
    factors: list[FactorKind] = strawberry.field(default_factory=lambda: list(FactorKind))


@strawberry.type
class TokenPair:
    access_token: str = "a" * 500
    access_token_expires_at: datetime = _NOW
    access_token_expires_in: int = 600
    refresh_token: str = "r" * 100
    refresh_token_expires_at: datetime = _NOW


@strawberry.interface(name="UserError")
class Failure:
    message: str


@strawberry.type
class FieldError:
    field: str
    code: str
    message: str


@strawberry.type
class InvalidInput(Failure):
    fields: list[FieldError]


@strawberry.type
class InvalidOtp(Failure):
    attempts_left: int


@strawberry.type
class RateLimited(Failure):
    retry_after: int


@strawberry.type
class RegisterUserSuccess:
    user: User
    enrollment: TotpEnrollment
    challenge: Challenge


@strawberry.type
class OtpRequired:
    challenge: Challenge
    enrollment_pending: bool


@strawberry.interface
class SignInSuccess:
    tokens: TokenPair
    user: User


@strawberry.type
class SignedIn(SignInSuccess):
    pass


@strawberry.type
class EnrollmentConfirmed(SignInSuccess):
    recovery_codes: list[str]


@strawberry.type
class PasskeyCeremony:
    ceremony_token: str
    public_key: JSON


@strawberry.input
class RegisterUserInput:
    username: str
    password: str


@strawberry.input
class LoginInput:
    username: str
    password: str


@strawberry.input
class VerifyOtpInput:
    challenge_token: str
    otp: str


@strawberry.input
class RefreshSessionInput:
    refresh_token: str | None = None


@strawberry.input
class FinishPasskeyLoginInput:
    ceremony_token: str
    credential: JSON


RegisterUserResult = Annotated[RegisterUserSuccess | InvalidInput | RateLimited, strawberry.union("RegisterUserResult")]
LoginResult = Annotated[OtpRequired | InvalidInput | RateLimited, strawberry.union("LoginResult")]
VerifyOtpResult = Annotated[
    SignedIn | EnrollmentConfirmed | InvalidOtp | RateLimited, strawberry.union("VerifyOtpResult")
]
RefreshSessionResult = Annotated[SignedIn | RateLimited, strawberry.union("RefreshSessionResult")]
BeginPasskeyLoginResult = Annotated[PasskeyCeremony | RateLimited, strawberry.union("BeginPasskeyLoginResult")]
FinishPasskeyLoginResult = Annotated[SignedIn | RateLimited, strawberry.union("FinishPasskeyLoginResult")]

_USER = User()
_REGISTERED = RegisterUserSuccess(user=_USER, enrollment=TotpEnrollment(), challenge=Challenge())
_OTP_REQUIRED = OtpRequired(challenge=Challenge(), enrollment_pending=False)
_SIGNED_IN = SignedIn(tokens=TokenPair(), user=_USER)
_CEREMONY = PasskeyCeremony(
    ceremony_token="p" * 100,
    public_key=JSON({"challenge": "c" * 43, "rpId": "localhost", "allowCredentials": []}),
)


@strawberry.type
class Query:
    @strawberry.field
    async def me(self) -> User | None:
        return _USER


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def register_user(self, input: RegisterUserInput) -> RegisterUserResult:
        return _REGISTERED

    @strawberry.mutation
    async def login(self, input: LoginInput) -> LoginResult:
        return _OTP_REQUIRED

    @strawberry.mutation
    async def verify_otp(self, input: VerifyOtpInput) -> VerifyOtpResult:
        return _SIGNED_IN

    @strawberry.mutation
    async def refresh_session(self, input: RefreshSessionInput) -> RefreshSessionResult:
        return _SIGNED_IN

    @strawberry.mutation
    async def begin_passkey_login(self) -> BeginPasskeyLoginResult:
        return _CEREMONY

    @strawberry.mutation
    async def finish_passkey_login(self, input: FinishPasskeyLoginInput) -> FinishPasskeyLoginResult:
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
