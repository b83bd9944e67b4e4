"""What the API shows of accounts, challenges and sessions."""

import enum
from datetime import datetime
from uuid import UUID

import segno
import strawberry

from graphql_mfa.core.accounts import Account
from graphql_mfa.core.recovery_codes import FEW_RECOVERY_CODES


@strawberry.enum(description="A kind of second factor. New values may be added.")
class FactorKind(enum.Enum):
    TOTP = strawberry.enum_value("TOTP", description="A one-time code of an authenticator app (RFC 6238).")
    RECOVERY_CODE = strawberry.enum_value("RECOVERY_CODE", description="A single-use recovery code.")


@strawberry.type(description="What a sign-in form has to know before anyone signs in.")
class AuthPolicy:
    issuer: str = strawberry.field(description="The name under which authenticator apps list the account.")
    registration_open: bool = strawberry.field(description="Whether `registerUser` is open.")
    username_min_length: int = strawberry.field(description="Shortest username, in Unicode code points.")
    username_max_length: int = strawberry.field(description="Longest username, in Unicode code points.")
    password_min_length: int = strawberry.field(description="Shortest password, in Unicode code points.")
    password_max_length: int = strawberry.field(description="Longest password, in Unicode code points.")
    otp_digits: int = strawberry.field(description="Digits of a one-time code.")
    otp_period: int = strawberry.field(description="Seconds for which an authenticator app shows a code.")
    recovery_code_count: int = strawberry.field(description="Recovery codes in a set.")
    factors: list[FactorKind] = strawberry.field(description="The second factors that this server knows.")


@strawberry.type(description="An account, shown to its owner only.")
class User:
    id: strawberry.ID = strawberry.field(description="Stable and opaque; the access token's `sub`.")
    username: str = strawberry.field(description="As it was typed at registration.")
    created_at: datetime = strawberry.field(description="When the account was registered.")
    mfa_enabled: bool = strawberry.field(description="True once a second factor was confirmed.")
    recovery_codes_left: int = strawberry.field(description="Unused recovery codes.")
    session_id: strawberry.Private[UUID | None]

    @strawberry.field(
        description="True when so few recovery codes are left that it is time for `regenerateRecoveryCodes`."
    )
    def recovery_codes_low(self) -> bool:
        return self.mfa_enabled and self.recovery_codes_left <= FEW_RECOVERY_CODES

    @classmethod
    def of(cls, account: Account, session_id: UUID | None) -> "User":
        """The user, as seen from the session that asks; None where there is none yet."""
        return cls(
            id=strawberry.ID(str(account.id)),
            username=account.username,
            created_at=account.created_at,
            mfa_enabled=account.mfa_enabled,
            recovery_codes_left=account.recovery_codes_left,
            session_id=session_id,
        )


@strawberry.type(description="What an authenticator app is set up with. Shown this once.")
class TotpEnrollment:
    secret: str = strawberry.field(description="The TOTP secret in base32, for typing it in.")
    otpauth_uri: str = strawberry.field(description="The `otpauth://` URI, for opening an app on the same device.")

    @strawberry.field(description="The URI as a QR code: SVG as a `data:` URI, for an `<img>`. White background.")
    def qr_code(self) -> str:
        # segno's default background is transparent: unreadable in dark mode.
        return str(segno.make(self.otpauth_uri, micro=False).svg_data_uri(scale=4, light="#fff"))


@strawberry.type(description="A question that a second factor answers, within a few minutes and a few attempts.")
class Challenge:
    token: str = strawberry.field(description="The secret that stands for the challenge; send it with the answer.")
    expires_at: datetime = strawberry.field(description="When it can't be answered any more.")
    expires_in: int = strawberry.field(description="Seconds from now: independent of the client's clock.")
    attempts_left: int = strawberry.field(description="Wrong answers still allowed; the last one ends the challenge.")
    factors: list[FactorKind] = strawberry.field(
        description="What can answer it now. One-time codes are not listed while they are blocked or off."
    )
    otp_retry_after: int | None = strawberry.field(
        description="Seconds until one-time codes are accepted, when they are blocked for a while; else null."
    )


@strawberry.type(description="The tokens of a session.")
class TokenPair:
    access_token: str = strawberry.field(
        description="A JWT (RFC 9068) for the `Authorization: Bearer` header; other services check it against "
        "`/.well-known/jwks.json`."
    )
    access_token_expires_at: datetime = strawberry.field(description="When the access token expires.")
    access_token_expires_in: int = strawberry.field(description="Seconds from now: independent of the client's clock.")
    refresh_token: str | None = strawberry.field(
        description="For `refreshSession`, once. Null in cookie mode only, where it travels in an HttpOnly cookie."
    )
    refresh_token_expires_at: datetime = strawberry.field(
        description="When the session ends unless it is refreshed before."
    )
