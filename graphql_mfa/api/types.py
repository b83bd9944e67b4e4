"""What the API shows of accounts, challenges and sessions."""

import asyncio
import enum
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry.types.nodes import SelectedField, Selection

from graphql_mfa.context import Info
from graphql_mfa.core.accounts import Account
from graphql_mfa.core.ids import parse_id
from graphql_mfa.core.recovery_codes import FEW_RECOVERY_CODES
from graphql_mfa.core.totp_devices import Device
from graphql_mfa.flows.list_security_events import list_security_events
from graphql_mfa.flows.list_sessions import list_sessions
from graphql_mfa.flows.list_totp_devices import list_totp_devices
from graphql_mfa.http.public_errors import PublicError
from graphql_mfa.store.security_events import StoredEvent
from graphql_mfa.store.sessions import ListedSession

_MOST_EVENTS = 100
# What the lists of one operation may weigh, in bytes of its answer: all fields of 100 sessions and 100 events, with the
# longest `User-Agent`. A field of a row takes some 50 function calls, during which nobody else is answered.
_LISTED_BYTES = 880_000
_BYTES_PER_LIST = 27_000  # a statement takes as long as that many bytes
_BYTES_PER_FIELD = 350


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


@strawberry.type(description="An authenticator app.")
class TotpDevice:
    id: strawberry.ID = strawberry.field(description="Stable and opaque.")
    name: str = strawberry.field(description="As its owner typed it; the first one of an account gets a name.")
    confirmed: bool = strawberry.field(description="Whether its codes count: true once its first one was verified.")
    created_at: datetime = strawberry.field(description="When it was added.")
    last_used_at: datetime | None = strawberry.field(
        description="When a code of it was accepted last; null when none was yet."
    )

    @classmethod
    def of(cls, device: Device) -> "TotpDevice":
        """The device as the API shows it."""
        return cls(
            id=strawberry.ID(str(device.id)),
            name=device.name,
            confirmed=device.confirmed,
            created_at=device.created_at,
            last_used_at=device.last_used_at,
        )


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

    @strawberry.field(description="The authenticator apps, oldest first; one that was not confirmed in time is gone.")
    async def totp_devices(self, info: Info) -> list[TotpDevice]:
        _weigh_list(info)
        found = await list_totp_devices(info.context.services, UUID(self.id))
        _weigh_rows(info, (None for _ in found))
        return [TotpDevice.of(device) for device in found]

    @strawberry.field(description="Where the account is signed in, newest use first: up to 100 sessions.")
    async def sessions(self, info: Info) -> list["Session"]:
        _weigh_list(info)
        found = await list_sessions(info.context.services, UUID(self.id))
        _weigh_rows(info, (session.user_agent for session in found))
        return [Session.of(session, self.session_id) for session in found]

    @strawberry.field(description="What happened to the account, newest first.")
    async def security_events(
        self,
        info: Info,
        first: Annotated[int, strawberry.argument(description="How many: 1 to 100.")] = 20,
        before: Annotated[
            strawberry.ID | None, strawberry.argument(description="Go on after the event with this id, to older ones.")
        ] = strawberry.UNSET,
    ) -> list["SecurityEvent"]:
        if not 1 <= first <= _MOST_EVENTS:
            raise PublicError(f"`first` is 1 to {_MOST_EVENTS}.")
        point = parse_id(before) if isinstance(before, str) else None
        if point is None and isinstance(before, str):
            raise PublicError("`before` is the id of a security event.")
        _weigh_list(info)
        found = await list_security_events(info.context.services, UUID(self.id), first, point)
        _weigh_rows(info, (event.user_agent for event in found))
        return [SecurityEvent.of(event) for event in found]

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

    drawing: strawberry.Private["asyncio.Future[str] | None"] = None

    @strawberry.field(description="The URI as a QR code: SVG as a `data:` URI, for an `<img>`. White background.")
    async def qr_code(self, info: Info) -> str:
        # Drawn once, however many aliases ask for it: 8 ms, 40 ms for a name of 64 emoji.
        if self.drawing is None:
            self.drawing = asyncio.ensure_future(info.context.services.hashing.run(_draw_qr_code, self.otpauth_uri))
        return await self.drawing


def _draw_qr_code(text: str) -> str:
    import segno  # few requests ask for it

    # segno's default background is transparent: unreadable in dark mode.
    return str(segno.make(text, micro=False).svg_data_uri(scale=4, light="#fff"))


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


@strawberry.type(description="A place where the account is signed in.")
class Session:
    id: strawberry.ID = strawberry.field(description="For `revokeSession`; the access token's `sid`.")
    current: bool = strawberry.field(description="Whether it is the one that asks.")
    created_at: datetime = strawberry.field(description="When it was opened.")
    last_used_at: datetime = strawberry.field(description="When it was refreshed last, or opened if it never was.")
    authenticated_at: datetime = strawberry.field(description="When it verified a second factor last.")
    factors: list[FactorKind] = strawberry.field(description="The second factors that it verified.")
    user_agent: str | None = strawberry.field(
        description="What the client that opened or refreshed it last says it is: up to 255 characters, of its choice."
    )
    ip_address: str | None = strawberry.field(description="That client's address.")

    @classmethod
    def of(cls, session: ListedSession, current_id: UUID | None) -> "Session":
        """The session, as seen from the one that asks."""
        return cls(
            id=strawberry.ID(str(session.id)),
            current=session.id == current_id,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            authenticated_at=session.authenticated_at,
            factors=[FactorKind[factor.name] for factor in session.factors],
            user_agent=session.user_agent,
            ip_address=session.ip_address,
        )


@strawberry.enum(description="What happened to an account. New values may be added.")
class SecurityEventKind(enum.Enum):
    REGISTERED = strawberry.enum_value("REGISTERED", description="The account was created.")
    ENROLLMENT_CONFIRMED = strawberry.enum_value(
        "ENROLLMENT_CONFIRMED", description="The first code was verified: the second factor is on."
    )
    SIGNED_IN = strawberry.enum_value("SIGNED_IN", description="Somebody signed in.")
    SIGN_IN_FAILED = strawberry.enum_value(
        "SIGN_IN_FAILED", description="A password was wrong, or a code, at sign-in or where it was asked for again."
    )
    OTP_REPLAYED = strawberry.enum_value(
        "OTP_REPLAYED", description="A one-time code came a second time; it was not accepted."
    )
    FACTOR_DISABLED = strawberry.enum_value(
        "FACTOR_DISABLED", description="Too many wrong codes: one-time codes were switched off."
    )
    FACTOR_ENABLED = strawberry.enum_value("FACTOR_ENABLED", description="One-time codes were switched on again.")
    RECOVERY_CODE_USED = strawberry.enum_value("RECOVERY_CODE_USED", description="A recovery code was used up.")
    RECOVERY_CODES_REGENERATED = strawberry.enum_value(
        "RECOVERY_CODES_REGENERATED", description="The recovery codes were replaced by new ones."
    )
    TOTP_DEVICE_ADDED = strawberry.enum_value("TOTP_DEVICE_ADDED", description="An authenticator app was added.")
    TOTP_DEVICE_REMOVED = strawberry.enum_value("TOTP_DEVICE_REMOVED", description="An authenticator app was removed.")
    PASSWORD_CHANGED = strawberry.enum_value(
        "PASSWORD_CHANGED", description="The password was changed, by somebody who knew it."
    )
    PASSWORD_RESET = strawberry.enum_value("PASSWORD_RESET", description="A new password was set without the old one.")
    SESSION_ENDED = strawberry.enum_value("SESSION_ENDED", description="A session was ended, or all of them were.")
    REFRESH_TOKEN_REUSED = strawberry.enum_value(
        "REFRESH_TOKEN_REUSED",
        description="A refresh token came a second time, so it may have been stolen. Its session was ended; or, where"
        " it came from another client within seconds, that client got nothing and the session goes on.",
    )
    ACCOUNT_DELETED = strawberry.enum_value("ACCOUNT_DELETED", description="The owner deleted the account.")
    IMPORTED_BY_OPERATOR = strawberry.enum_value(
        "IMPORTED_BY_OPERATOR", description="An operator took the account over from another system."
    )
    UNLOCKED_BY_OPERATOR = strawberry.enum_value(
        "UNLOCKED_BY_OPERATOR",
        description="An operator switched one-time codes on again, and forgave wrong codes and passwords.",
    )
    MFA_RESET_BY_OPERATOR = strawberry.enum_value(
        "MFA_RESET_BY_OPERATOR", description="An operator removed every second factor and ended every session."
    )
    DISABLED_BY_OPERATOR = strawberry.enum_value(
        "DISABLED_BY_OPERATOR", description="An operator closed the account and ended every session."
    )
    ENABLED_BY_OPERATOR = strawberry.enum_value(
        "ENABLED_BY_OPERATOR", description="An operator opened the account again."
    )
    DELETED_BY_OPERATOR = strawberry.enum_value("DELETED_BY_OPERATOR", description="An operator deleted the account.")


@strawberry.type(description="Something that happened to the account.")
class SecurityEvent:
    id: strawberry.ID = strawberry.field(description="Ids are in the order of time; for `before`.")
    kind: SecurityEventKind = strawberry.field(description="What happened.")
    at: datetime = strawberry.field(description="When.")
    ip_address: str | None = strawberry.field(description="The client's address; null for what an operator did.")
    user_agent: str | None = strawberry.field(
        description="What the client says it is: up to 255 characters, of its choice."
    )

    @classmethod
    def of(cls, event: StoredEvent) -> "SecurityEvent":
        """The event, for the account's owner."""
        return cls(
            id=strawberry.ID(str(event.id)),
            kind=SecurityEventKind[event.kind.name],
            at=event.at,
            ip_address=event.ip_address,
            user_agent=event.user_agent,
        )


def _weigh_list(info: Info) -> None:
    """Count a list, before the store is asked for it."""
    _weigh(info, _BYTES_PER_LIST)


def _weigh_rows(info: Info, texts: Iterable[str | None]) -> None:
    """Count the rows of a list, by what their clients called themselves. Each alias repeats a field."""
    fields = sum(_fields(selected) for selected in info.selected_fields)
    _weigh(info, fields * sum(_BYTES_PER_FIELD + len((text or "").encode()) for text in texts))


def _weigh(info: Info, size: int) -> None:
    info.context.listed_bytes += size
    if info.context.listed_bytes > _LISTED_BYTES:
        raise PublicError("This operation lists too much: ask for fewer lists, rows or fields at once.")


def _fields(selection: Selection) -> int:
    """How many fields are selected in that, fragments included."""
    inner: Sequence[Selection] = selection.selections
    return sum(_fields(each) + isinstance(each, SelectedField) for each in inner)
