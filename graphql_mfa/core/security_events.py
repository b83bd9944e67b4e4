"""What happens to an account and is remembered."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

_VERSION_AND_VARIANT = (7 << 76) | (0b10 << 62)


class SecurityEventKind(StrEnum):
    """What happened."""

    REGISTERED = "REGISTERED"
    ENROLLMENT_CONFIRMED = "ENROLLMENT_CONFIRMED"
    SIGNED_IN = "SIGNED_IN"
    SIGN_IN_FAILED = "SIGN_IN_FAILED"
    OTP_REPLAYED = "OTP_REPLAYED"
    FACTOR_DISABLED = "FACTOR_DISABLED"
    FACTOR_ENABLED = "FACTOR_ENABLED"
    RECOVERY_CODE_USED = "RECOVERY_CODE_USED"
    RECOVERY_CODES_REGENERATED = "RECOVERY_CODES_REGENERATED"
    TOTP_DEVICE_ADDED = "TOTP_DEVICE_ADDED"
    TOTP_DEVICE_REMOVED = "TOTP_DEVICE_REMOVED"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"
    PASSWORD_RESET = "PASSWORD_RESET"
    SESSION_ENDED = "SESSION_ENDED"
    REFRESH_TOKEN_REUSED = "REFRESH_TOKEN_REUSED"
    ACCOUNT_DELETED = "ACCOUNT_DELETED"

    IMPORTED_BY_OPERATOR = "IMPORTED_BY_OPERATOR"
    UNLOCKED_BY_OPERATOR = "UNLOCKED_BY_OPERATOR"
    MFA_RESET_BY_OPERATOR = "MFA_RESET_BY_OPERATOR"
    DISABLED_BY_OPERATOR = "DISABLED_BY_OPERATOR"
    ENABLED_BY_OPERATOR = "ENABLED_BY_OPERATOR"
    DELETED_BY_OPERATOR = "DELETED_BY_OPERATOR"

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
