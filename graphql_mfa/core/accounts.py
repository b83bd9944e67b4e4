"""An account as its owner may see it."""

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


class FactorKind(enum.Enum):
    """The second factors that can answer a challenge."""

    TOTP = "TOTP"
    RECOVERY_CODE = "RECOVERY_CODE"


@dataclass(frozen=True)
class Account:
    """What a signed-in user is told of their account."""

    id: UUID
    username: str
    created_at: datetime
    mfa_enabled: bool
    recovery_codes_left: int
