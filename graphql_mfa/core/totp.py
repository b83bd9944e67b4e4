"""Time-based one-time codes (RFC 6238) over HOTP (RFC 4226), computed by pyotp."""

import base64
import hmac
import math
import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pyotp

from graphql_mfa.core.inputs import plain_code

RECOMMENDED_SECRET_BITS = 128  # minimum of RFC 4226 section 4, R6
DEFAULT_DEVICE_NAME = "Authenticator app"
TOTP_DEVICES_PER_ACCOUNT = 5
"""Unconfirmed ones included. A guess may match the code of any of them."""

_SECRET_BYTES = 20
_SEPARATORS = frozenset({"Cc", "Cf", "Pd", "Zl", "Zp", "Zs"})
_QR_CODE_BYTES = 2953  # of version 40, level L, in byte mode (ISO/IEC 18004, table 7)
_QUOTED_CHARACTER = 12  # maximum bytes: four of UTF-8, percent-encoded


@dataclass(frozen=True)
class TotpParameters:
    """Parameters that client and server share, and tolerated clock skew.

    digits: the length of a code. period: seconds per time step (RFC 6238 5.2 recommends 30). window: steps accepted
    before and after the current one (RFC 6238 5.2 recommends at most one). lookback: earlier steps whose codes are
    refused, but reported as those of a slow clock.
    """

    digits: int = 6
    period: int = 30
    window: int = 1
    lookback: int = 10


@dataclass(frozen=True)
class Accepted:
    """A right code for a time step later than any accepted one."""

    step: int


@dataclass(frozen=True)
class AlreadyUsed:
    """The code of the last accepted step."""

    step: int


@dataclass(frozen=True)
class ClockBehind:
    """An unused code that was right this many seconds ago."""

    seconds: int


@dataclass(frozen=True)
class Malformed:
    """Not a code, since it doesn't have this number of digits."""

    digits: int


@dataclass(frozen=True)
class Wrong:
    """Any other input."""


CodeVerdict = Accepted | AlreadyUsed | ClockBehind | Malformed | Wrong


class _Totp(pyotp.TOTP):
    """Accepts the secrets under 112 bits that pyotp refuses and imported accounts can have."""

    def byte_secret(self) -> bytes:
        return base64.b32decode(self.secret + "=" * (-len(self.secret) % 8))


def new_secret() -> str:
    """Generate a secret of 160 bits in base32 (RFC 4226 section 4, R6)."""
    return base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def parse_secret(raw: str) -> str | None:
    """Normalise a secret of another system: base32 of 80 bits or more, in any case, with separators and padding.

    None if malformed or shorter. 80 bits was Google Authenticator's first length, and many systems still use it.
    """
    grouped = [character for character in raw if unicodedata.category(character) not in _SEPARATORS]
    secret = "".join(grouped).upper().rstrip("=")
    if not re.fullmatch("[A-Z2-7]{16,256}", secret):
        return None
    try:
        base64.b32decode(secret + "=" * (-len(secret) % 8))
    except ValueError:
        return None
    return secret


def secret_bits(secret: str) -> int:
    """The length of a stored secret in bits."""
    return len(secret) * 5 // 8 * 8


def provisioning_uri(secret: str, *, account: str, issuer: str, parameters: TotpParameters) -> str:
    """The otpauth URI for a QR code. The account's name, a label, is truncated if the URI does not fit into one."""
    totp = pyotp.TOTP(secret, digits=parameters.digits, interval=parameters.period, issuer=issuer)
    uri = totp.provisioning_uri(name=account)
    while account and (excess := len(uri) - _QR_CODE_BYTES) > 0:
        account = account[: -math.ceil(excess / _QUOTED_CHARACTER)]
        uri = totp.provisioning_uri(name=account)
    return uri


def leaves_room_for(characters: int, *, issuer: str, parameters: TotpParameters) -> bool:
    """Whether every account name of that length fits into the QR code beside the issuer."""
    widest = "\U0010ffff" * characters
    totp = pyotp.TOTP(new_secret(), digits=parameters.digits, interval=parameters.period, issuer=issuer)
    return len(totp.provisioning_uri(name=widest)) <= _QR_CODE_BYTES


def time_step(now: datetime, period: int) -> int:
    """The number of periods since the Unix epoch (RFC 6238 4.2)."""
    return int(now.timestamp()) // period


def seconds_until_step(step: int, now: datetime, period: int) -> int:
    """Seconds until the code of `step` is shown; at least 1."""
    return max(1, math.ceil(step * period - now.timestamp()))


def code_at(secret: str, now: datetime, parameters: TotpParameters) -> str:
    return _Totp(secret, digits=parameters.digits, interval=parameters.period).at(now)


def verify_code(
    secret: str, raw_code: str, now: datetime, *, last_step: int | None, parameters: TotpParameters
) -> CodeVerdict:
    """Compare a code with the steps of the window and the lookback.

    `last_step` is the last accepted one: neither it nor an earlier step is accepted again (RFC 6238 5.2 MUST NOT). A
    code for a step after the window is reported as wrong, since it would become valid.
    """
    code = plain_code(raw_code)
    if not re.fullmatch(rf"[0-9]{{{parameters.digits}}}", code):
        return Malformed(parameters.digits)
    totp = _Totp(secret, digits=parameters.digits, interval=parameters.period)
    current = time_step(now, parameters.period)
    oldest = current - max(parameters.lookback, parameters.window)
    steps = range(oldest, current + parameters.window + 1)
    for step in sorted(steps, key=lambda step: abs(step - current)):
        if step < (last_step or 0) or not hmac.compare_digest(totp.generate_otp(step), code):
            continue
        if step == last_step:
            return AlreadyUsed(step)
        if step >= current - parameters.window:
            return Accepted(step)
        return ClockBehind((current - step) * parameters.period)
    return Wrong()


@dataclass(frozen=True)
class Device:
    """An authenticator app. Its codes are accepted once it is confirmed."""

    id: UUID
    name: str
    confirmed: bool
    created_at: datetime
    last_used_at: datetime | None = None
