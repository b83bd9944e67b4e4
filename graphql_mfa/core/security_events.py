"""Security events: the history of an account."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import auto
from typing import Self
from uuid import UUID

from graphql_mfa.core import Described
from graphql_mfa.core.accounts import FactorKind

_VERSION_AND_VARIANT = (7 << 76) | (0b10 << 62)
_MOST_PER_HOUR = 10


class SecurityEventKind(Described):
    """What happened to an account. New values may be added."""

    most_per_hour: int | None
    """Events of this kind recorded per account and hour; None is no limit.

    Kinds that others can cause are limited, so a stranger, or the thief of one factor, can't bury other events.
    """

    def __new__(cls, value: str, description: str, most_per_hour: int | None = None) -> Self:
        member = str.__new__(cls, value)
        member._value_, member.description, member.most_per_hour = value, description, most_per_hour
        return member

    REGISTERED = auto(), "The account was created."
    ENROLLMENT_CONFIRMED = auto(), "The account's first factor was verified: its enrollment is complete."
    SIGNED_IN = auto(), "A sign-in succeeded."
    SIGN_IN_FAILED = (
        auto(),
        "A second factor was wrong: after the right password, in a password reset with a valid recovery code, or in a "
        "session. Also: the current password was wrong in `changePassword`.",
        _MOST_PER_HOUR,
    )
    PASSWORDS_REFUSED = (
        auto(),
        "Wrong passwords, or password resets with wrong codes, were refused since the last sign-in; `count` says how "
        "many. Recorded by the next sign-in that succeeds, with its address and User-Agent.",
    )
    OTP_REPLAYED = auto(), "A one-time code was sent a second time, and refused.", _MOST_PER_HOUR
    FACTOR_DISABLED = auto(), "Too many wrong codes: one-time codes were switched off."
    FACTOR_ENABLED = auto(), "One-time codes were switched on again."
    RECOVERY_CODE_USED = auto(), "A recovery code was used up."
    RECOVERY_CODES_REGENERATED = auto(), "The recovery codes were replaced by new ones."
    TOTP_DEVICE_ADDED = auto(), "An authenticator app was added."
    TOTP_DEVICE_REMOVED = auto(), "An authenticator app was removed."
    PASSKEY_ADDED = auto(), "A passkey was added."
    PASSKEY_REMOVED = auto(), "A passkey was removed."
    PASSKEY_COUNTER_REGRESSED = (
        auto(),
        "The sign counter of a passkey went back, so there may be a copy of it. It was refused, unless it is a synced "
        "one.",
        _MOST_PER_HOUR,
    )
    PASSWORD_CHANGED = auto(), "The password was changed by its owner."
    PASSWORD_RESET = auto(), "A new password was set without the old one."
    SESSION_ENDED = auto(), "A session was ended, or all of them were."
    REFRESH_TOKEN_REUSED = (
        auto(),
        "A refresh token was used a second time, so it may have been stolen. Its session was ended; or, if another "
        "client used it within seconds of the first, that client was refused and the session continues.",
        _MOST_PER_HOUR,
    )
    ACCOUNT_DELETED = auto(), "The owner deleted the account."
    IMPORTED_BY_OPERATOR = auto(), "An operator imported the account from another system."
    UNLOCKED_BY_OPERATOR = (
        auto(),
        "An operator switched one-time codes on again, and reset the counts of wrong codes and passwords.",
    )
    MFA_RESET_BY_OPERATOR = auto(), "An operator removed every second factor and ended every session."
    DISABLED_BY_OPERATOR = auto(), "An operator disabled the account and ended every session."
    ENABLED_BY_OPERATOR = auto(), "An operator enabled the account again."
    DELETED_BY_OPERATOR = auto(), "An operator deleted the account."

    @property
    def type(self) -> str:
        """Its name in webhooks."""
        return f"user.{self.lower()}"


@dataclass(frozen=True)
class SecurityEvent:
    """A security event, as it is delivered to `on_event` and webhooks.

    id: the same in each delivery. ip_address, user_agent: the client's; None for an operator's actions. count: the
    number of attempts that it sums up; None for kinds that sum up none. factor: the kind of second factor that it is
    about, if any.
    """

    id: UUID
    kind: SecurityEventKind
    at: datetime
    user_id: UUID
    username: str | None
    ip_address: str | None
    user_agent: str | None
    count: int | None = None
    factor: FactorKind | None = None


def event_id(now: datetime, position: int) -> UUID:
    """Generate a UUID of version 7 (RFC 9562 5.7): ids sort by time, then by position.

    position: among the events of one transaction, up to 4095, as the counter of RFC 9562 6.2.
    """
    milliseconds = int(now.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | position << 64 | _VERSION_AND_VARIANT | secrets.randbits(62))


def first_event_id(since: datetime) -> UUID:
    """The lowest id of an event at that time or later."""
    return UUID(int=int(since.timestamp() * 1000) << 80)
