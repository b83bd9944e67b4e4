"""An authenticator app as its owner sees it, and which names it can have."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from graphql_mfa.core.problems import FieldErrorCode, Problem
from graphql_mfa.core.texts import is_visible

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


def device_name_problem(name: str) -> Problem | None:
    """What is wrong with a name, in code points, as it is: it is shown as it was typed."""
    if not name:
        return Problem("name", FieldErrorCode.TOO_SHORT, "A name has at least one character.")
    if len(name) > _LONGEST_NAME:
        return Problem("name", FieldErrorCode.TOO_LONG, f"A name has at most {_LONGEST_NAME} characters.")
    if name != name.strip() or not all(map(is_visible, name)):
        return Problem(
            "name",
            FieldErrorCode.INVALID_CHARACTERS,
            "A name has no control or invisible characters, and no space at its start or end.",
        )
    return None
