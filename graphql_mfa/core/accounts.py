"""Accounts, their second factors, and why a request has no signed-in user."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from graphql_mfa.core.enums import Described


class FactorKind(Described):
    """A kind of second factor. New values may be added."""

    TOTP = "TOTP", "A one-time code of an authenticator app (RFC 6238)."
    RECOVERY_CODE = "RECOVERY_CODE", "A single-use recovery code."


class NotAuthenticatedReason(Described):
    """Why a request counts as nobody's. New values may be added."""

    TOKEN_MISSING = "TOKEN_MISSING", "No token was sent."
    TOKEN_INVALID = "TOKEN_INVALID", "The token is not one of this server's."
    TOKEN_EXPIRED = "TOKEN_EXPIRED", "The access token's time is over: call `refreshSession`, then retry."
    SESSION_ENDED = "SESSION_ENDED", "The session was ended, or expired."


SESSIONS_PER_ACCOUNT = 100
"""Live sessions of one account; the one used least recently ends for another."""


@dataclass(frozen=True)
class Account:
    """A stored account."""

    id: UUID
    username: str
    created_at: datetime
    mfa_enabled: bool
    recovery_codes_left: int
