"""Opaque tokens of 256 bits, and the digests by which secrets are looked up.

A refresh token is 128 bits that name the session's family, then 128 bits that change with each rotation. The first one
is random; each later one keeps the family and derives the rest from its predecessor. So a lost answer can be repeated,
and reuse is detected, without a row per token. Forging one takes the key ring and an earlier token of the session; the
key ring and the database are not enough.
"""

import base64
import enum
import hashlib
import hmac
import re
import secrets

from graphql_mfa.core.inputs import FieldErrorCode, Problem
from graphql_mfa.core.keys import Key

# Prefixes let secret scanners recognise published tokens.
CHALLENGE_PREFIX = "mfac_"
REFRESH_TOKEN_PREFIX = "mfar_"

_TOKEN = re.compile(r"mfa[a-z]_[A-Za-z0-9_-]{43}")
_FAMILY_BYTES = 16
_DERIVED_BYTES = 16
# 16 characters of base64url are 96 random bits; a UUID has 36 characters.
_SHORTEST_RETRY_KEY, _LONGEST_RETRY_KEY = 16, 128


class Purpose(enum.Enum):
    """The purpose of a digest, which is part of it, so that a secret of one kind never passes for another."""

    CHALLENGE = "challenge"
    REFRESH_TOKEN = "refresh token"
    REFRESH_FAMILY = "refresh token family"
    RETRY_KEY = "retry key"
    RECOVERY_CODE = "recovery code"
    ENROLLMENT_CODE = "enrollment code"
    RESERVED_NAME = "reserved name"
    USERNAME_SKELETON = "username skeleton"


def new_token(prefix: str) -> str:
    """Generate a token: the prefix and 256 random bits in base64url."""
    return prefix + secrets.token_urlsafe(32)


def digest(purpose: Purpose, secret: str) -> bytes:
    """SHA-256, enough for secrets of 112 random bits or more. Unkeyed, so keys can be removed from the ring."""
    return hashlib.sha256(f"graphql-mfa {purpose.value}\0{secret}".encode("utf-8", "surrogatepass")).digest()


def token_digest(purpose: Purpose, token: str) -> bytes | None:
    """The digest of a well-formed token; None for any other text."""
    return digest(purpose, token) if _TOKEN.fullmatch(token) else None


def first_refresh_token() -> str:
    """Generate the token of a new session."""
    return new_token(REFRESH_TOKEN_PREFIX)


def next_refresh_token(key: Key, previous: str) -> str:
    """The successor of a token: its family, then the first 128 bits of an HMAC-SHA-256 over it."""
    derived = hmac.digest(key.refresh, previous.encode(), hashlib.sha256)[:_DERIVED_BYTES]
    value = base64.urlsafe_b64encode(_decoded(previous)[:_FAMILY_BYTES] + derived)
    return REFRESH_TOKEN_PREFIX + value.rstrip(b"=").decode()


def family_digest(token: str) -> bytes:
    """The digest by which the session of a well-formed token, current or rotated, is looked up."""
    return digest(Purpose.REFRESH_FAMILY, _decoded(token)[:_FAMILY_BYTES].hex())


def retry_key_problem(retry_key: str) -> Problem | None:
    """Check the length of a client's key for repeating a refresh."""
    if len(retry_key) < _SHORTEST_RETRY_KEY:
        code = FieldErrorCode.TOO_SHORT
    elif len(retry_key) > _LONGEST_RETRY_KEY:
        code = FieldErrorCode.TOO_LONG
    else:
        return None
    return Problem(code, f"A retry key has {_SHORTEST_RETRY_KEY} to {_LONGEST_RETRY_KEY} characters.")


def retry_digest(token: str, retry_key: str) -> bytes:
    """The digest of a repeated refresh. It covers the token, so a stolen database doesn't reveal a weak key."""
    return digest(Purpose.RETRY_KEY, token + retry_key)


def _decoded(token: str) -> bytes:
    return base64.urlsafe_b64decode(token.removeprefix(REFRESH_TOKEN_PREFIX) + "=")
