"""What happens to an account and is remembered."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from graphql_mfa.core.enums import Described

_VERSION_AND_VARIANT = (7 << 76) | (0b10 << 62)


class SecurityEventKind(Described):
    """What happened to an account. New values may be added."""

    REGISTERED = "REGISTERED", "The account was created."
    ENROLLMENT_CONFIRMED = "ENROLLMENT_CONFIRMED", "The first code was verified: the second factor is on."
    SIGNED_IN = "SIGNED_IN", "Somebody signed in."
    SIGN_IN_FAILED = "SIGN_IN_FAILED", "A password was wrong, or a code, at sign-in or where it was asked for again."
    OTP_REPLAYED = "OTP_REPLAYED", "A one-time code came a second time; it was not accepted."
    FACTOR_DISABLED = "FACTOR_DISABLED", "Too many wrong codes: one-time codes were switched off."
    FACTOR_ENABLED = "FACTOR_ENABLED", "One-time codes were switched on again."
    RECOVERY_CODE_USED = "RECOVERY_CODE_USED", "A recovery code was used up."
    RECOVERY_CODES_REGENERATED = "RECOVERY_CODES_REGENERATED", "The recovery codes were replaced by new ones."
    TOTP_DEVICE_ADDED = "TOTP_DEVICE_ADDED", "An authenticator app was added."
    TOTP_DEVICE_REMOVED = "TOTP_DEVICE_REMOVED", "An authenticator app was removed."
    PASSWORD_CHANGED = "PASSWORD_CHANGED", "The password was changed, by somebody who knew it."
    PASSWORD_RESET = "PASSWORD_RESET", "A new password was set without the old one."
    SESSION_ENDED = "SESSION_ENDED", "A session was ended, or all of them were."
    REFRESH_TOKEN_REUSED = (
        "REFRESH_TOKEN_REUSED",
        "A refresh token came a second time, so it may have been stolen. Its session was ended; or, where it came from "
        "another client within seconds, that client got nothing and the session goes on.",
    )
    ACCOUNT_DELETED = "ACCOUNT_DELETED", "The owner deleted the account."
    IMPORTED_BY_OPERATOR = "IMPORTED_BY_OPERATOR", "An operator took the account over from another system."
    UNLOCKED_BY_OPERATOR = (
        "UNLOCKED_BY_OPERATOR",
        "An operator switched one-time codes on again, and forgave wrong codes and passwords.",
    )
    MFA_RESET_BY_OPERATOR = "MFA_RESET_BY_OPERATOR", "An operator removed every second factor and ended every session."
    DISABLED_BY_OPERATOR = "DISABLED_BY_OPERATOR", "An operator closed the account and ended every session."
    ENABLED_BY_OPERATOR = "ENABLED_BY_OPERATOR", "An operator opened the account again."
    DELETED_BY_OPERATOR = "DELETED_BY_OPERATOR", "An operator deleted the account."

    @property
    def type(self) -> str:
        """Its name for receivers of webhooks."""
        return f"user.{self.lower()}"

    @property
    def most_per_hour(self) -> int | None:
        """How many an account records in an hour, of a kind that takes less than all of the owner's factors.

        So a stranger, or the thief of one factor, can't bury the other events. None: as many as there are.
        """
        return _MOST_PER_HOUR if self in _CAUSED_BY_OTHERS else None


_MOST_PER_HOUR = 10
_CAUSED_BY_OTHERS = frozenset(
    {SecurityEventKind.SIGN_IN_FAILED, SecurityEventKind.OTP_REPLAYED, SecurityEventKind.REFRESH_TOKEN_REUSED}
)


@dataclass(frozen=True)
class SecurityEvent:
    """What happened, as it is told to others: to which account, and what is known of the client that did it.

    id: the same each time it is told. ip_address, user_agent: None for what an operator does.
    """

    id: UUID
    kind: SecurityEventKind
    at: datetime
    user_id: UUID
    username: str | None
    ip_address: str | None
    user_agent: str | None


def event_id(now: datetime, position: int) -> UUID:
    """A UUID of version 7 (RFC 9562 5.7): ids are in the order of time, and of their positions at one time.

    position: among the events of one transaction, up to 4095; it stands where 6.2 has a counter.
    """
    milliseconds = int(now.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | position << 64 | _VERSION_AND_VARIANT | secrets.randbits(62))


def first_event_id(since: datetime) -> UUID:
    """The lowest id that an event at that time or later can have."""
    return UUID(int=int(since.timestamp() * 1000) << 80)
