"""An authenticator app that shares no code with the server: RFC 4226 and RFC 6238 from the standard library."""

import base64
import hashlib
import hmac
from datetime import datetime


def code_of_step(secret: str, step: int, digits: int = 6) -> str:
    """The code of a time step (RFC 4226 5.3)."""
    mac = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), hashlib.sha1)
    offset = mac[-1] & 0xF
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)


def code_at(secret: str, at: datetime, steps: int = 0) -> str:
    """The code that a device shows at that time; `steps` periods later."""
    return code_of_step(secret, int(at.timestamp()) // 30 + steps)


def wrong_code(secret: str, at: datetime) -> str:
    """A code that is right at no step near that time."""
    near = {code_at(secret, at, steps) for steps in range(-20, 21)}
    return next(code for code in map("{:06}".format, range(1000)) if code not in near)
