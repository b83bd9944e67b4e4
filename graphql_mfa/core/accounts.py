"""Accounts, their second factors, and why a request is not authenticated."""

from dataclasses import dataclass
from datetime import datetime
from enum import auto
from uuid import UUID

from graphql_mfa.core.enums import Described


class FactorKind(Described):
    """A kind of second factor. New values may be added."""

    TOTP = auto(), "A one-time code of an authenticator app (RFC 6238)."
    RECOVERY_CODE = auto(), "A single-use recovery code."


class NotAuthenticatedReason(Described):
    """Why a request is not authenticated. New values may be added."""

    TOKEN_MISSING = auto(), "No token was sent."
    TOKEN_INVALID = auto(), "The token was not issued by this server."
    TOKEN_EXPIRED = auto(), "The access token has expired: call `refreshSession`, then retry."
    SESSION_ENDED = auto(), "The session was ended, or expired."


SESSIONS_PER_ACCOUNT = 100
"""Live sessions of one account; opening another one ends the least recently used."""


@dataclass(frozen=True)
class Account:
    """A stored account."""

    id: UUID
    username: str
    created_at: datetime
    mfa_enabled: bool
    recovery_codes_left: int
