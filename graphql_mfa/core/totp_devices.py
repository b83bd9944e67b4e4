"""An authenticator app as its owner sees it, and which names it can have."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from graphql_mfa.core.problems import FieldErrorCode, Problem
from graphql_mfa.core.texts import is_shown, trim

DEFAULT_DEVICE_NAME = "Authenticator app"
_LONGEST_NAME = 64


@dataclass(frozen=True)
class Device:
    """An authenticator app. Its codes count once it is confirmed."""

    id: UUID
    name: str
    confirmed: bool
    created_at: datetime
    last_used_at: datetime | None = None


def parse_device_name(raw: str) -> str | Problem:
    """The name as it is shown: as typed, without blanks at its ends. Its length is in code points."""
    name = trim(raw)
    if not name:
        return Problem("name", FieldErrorCode.TOO_SHORT, "A name has at least one visible character.")
    if len(name) > _LONGEST_NAME:
        return Problem("name", FieldErrorCode.TOO_LONG, f"A name has at most {_LONGEST_NAME} characters.")
    if not is_shown(name):
        return Problem("name", FieldErrorCode.INVALID_CHARACTERS, "A name has no control or invisible characters.")
    return name
