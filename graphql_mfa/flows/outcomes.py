"""What use cases answer. Expected failures are values, not exceptions: raising would roll their counters back."""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from graphql_mfa.core import throttling
from graphql_mfa.core.accounts import Account, FactorKind
from graphql_mfa.core.problems import Problem
from graphql_mfa.core.totp_devices import Device


@dataclass(frozen=True)
class IssuedChallenge:
    """A challenge as its owner receives it. otp_retry_after: seconds, while one-time codes have to wait."""

    token: str
    expires_at: datetime
    attempts_left: int
    factors: list[FactorKind]
    otp_retry_after: int | None


@dataclass(frozen=True)
class Enrollment:
    """What an authenticator app is set up with."""

    secret: str
    otpauth_uri: str


@dataclass(frozen=True)
class TokenPair:
    """The two tokens of a session."""

    session_id: UUID
    access_token: str
    access_token_expires_at: datetime
    refresh_token: str
    refresh_token_expires_at: datetime


# ------------------------------------------------------------------------------------------------ successes


@dataclass(frozen=True)
class Registered:
    """The account exists; its enrollment is to be confirmed."""

    account: Account
    enrollment: Enrollment
    challenge: IssuedChallenge


@dataclass(frozen=True)
class OtpRequired:
    """The password was right."""

    challenge: IssuedChallenge
    enrollment_pending: bool


@dataclass(frozen=True)
class SignedIn:
    """A session is open."""

    tokens: TokenPair
    account: Account


@dataclass(frozen=True)
class EnrollmentConfirmed:
    """The first code was right: the second factor is on, and a session is open."""

    tokens: TokenPair
    account: Account
    recovery_codes: list[str]


@dataclass(frozen=True)
class EnrollmentRestarted:
    """A new secret, and a challenge to confirm it with."""

    enrollment: Enrollment
    challenge: IssuedChallenge


@dataclass(frozen=True)
class LoggedOut:
    """So many sessions were ended."""

    sessions_ended: int


@dataclass(frozen=True)
class Reauthenticated:
    """The session verified a second factor again."""

    access_token: str
    access_token_expires_at: datetime
    account: Account
    session_id: UUID


@dataclass(frozen=True)
class RecoveryCodes:
    """A new set, shown this once."""

    recovery_codes: list[str]
    account: Account
    session_id: UUID


@dataclass(frozen=True)
class TotpDeviceAdded:
    """Another authenticator app, which is still to be confirmed."""

    device: Device
    enrollment: Enrollment
    account: Account
    session_id: UUID


@dataclass(frozen=True)
class TotpDeviceConfirmed:
    """The authenticator app counts."""

    device: Device
    account: Account
    session_id: UUID


@dataclass(frozen=True)
class TotpDeviceRenamed:
    """The authenticator app has another name."""

    device: Device


@dataclass(frozen=True)
class FactorRemoved:
    """The factor of that id counts no more; so many other sessions that it had opened or verified last were ended."""

    id: UUID
    account: Account
    session_id: UUID
    sessions_ended: int


@dataclass(frozen=True)
class SessionRevoked:
    """A session was ended. session_id: the caller's own, which it may have been."""

    id: UUID
    account: Account
    session_id: UUID


@dataclass(frozen=True)
class PasswordChanged:
    """The account has a new password; so many sessions were ended."""

    sessions_ended: int


@dataclass(frozen=True)
class AccountDeleted:
    """The account of that name is gone."""

    username: str


# ------------------------------------------------------------------------------------------------ failures


@dataclass(frozen=True)
class InvalidInput:
    """All problems of the input at once."""

    problems: list[Problem]


@dataclass(frozen=True)
class UsernameTaken:
    """Somebody has that name."""


@dataclass(frozen=True)
class RegistrationRefused:
    """The host's own condition was not met; the message is the host's."""

    message: str


@dataclass(frozen=True)
class RegistrationClosed:
    """Nobody may register."""


@dataclass(frozen=True)
class InvalidCredentials:
    """Wrong username or wrong password."""


@dataclass(frozen=True)
class InvalidOtp:
    """A wrong one-time code. clock_behind_seconds: set when it was right that long ago."""

    attempts_left: int
    clock_behind_seconds: int | None = None


@dataclass(frozen=True)
class OtpAlreadyUsed:
    """A right code, used before; seconds until the device shows one that can be accepted."""

    retry_after: int
    attempts_left: int


@dataclass(frozen=True)
class InvalidRecoveryCode:
    """A wrong recovery code."""

    attempts_left: int


@dataclass(frozen=True)
class ChallengeExpired:
    """The challenge is unknown, answered, or too old."""


@dataclass(frozen=True)
class FactorDisabled:
    """One-time codes are off for the account."""


@dataclass(frozen=True)
class EnrollmentCodeRequired:
    """The operator's code is needed, and was missing or wrong."""


@dataclass(frozen=True)
class AlreadyEnrolled:
    """The account has confirmed a second factor."""


@dataclass(frozen=True)
class SessionExpired:
    """The refresh token is unknown, used, or its session is over."""


class NotAuthenticatedReason(enum.Enum):
    """Why a request counts as nobody's."""

    TOKEN_MISSING = "TOKEN_MISSING"
    TOKEN_INVALID = "TOKEN_INVALID"
    TOKEN_EXPIRED = "TOKEN_EXPIRED"
    SESSION_ENDED = "SESSION_ENDED"


@dataclass(frozen=True)
class NotAuthenticated:
    """No valid access token."""

    reason: NotAuthenticatedReason


@dataclass(frozen=True)
class ReauthenticationRequired:
    """The session verified a second factor too long ago. factors: what can be verified now."""

    factors: list[FactorKind]


@dataclass(frozen=True)
class WrongCurrentPassword:
    """The password that a signed-in user gave as theirs is wrong, or not theirs any more."""


@dataclass(frozen=True)
class ResetRejected:
    """Name, one-time code and recovery code do not prove together whose account it is."""


@dataclass(frozen=True)
class RateLimited:
    """Nothing was tried or counted: wait so many seconds.

    new_address: whether others, at addresses that are new to the account too, may take the next try first.
    """

    retry_after: int
    new_address: bool = False

    @classmethod
    def until(cls, wait: timedelta) -> "RateLimited":
        """The refusal for a wait."""
        return cls(throttling.seconds(wait))

    @classmethod
    def by(cls, refusal: throttling.Refusal) -> "RateLimited":
        """The refusal of a limit."""
        return cls(throttling.seconds(refusal.wait), refusal.limit.new_addresses)


@dataclass(frozen=True)
class TooManyDevices:
    """The account has as many authenticator apps as it can have."""


@dataclass(frozen=True)
class LastFactor:
    """Without it nobody could sign in to the account any more, but by recovery codes."""


@dataclass(frozen=True)
class NotFound:
    """The account has nothing of that id."""
