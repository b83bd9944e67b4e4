"""Opaque tokens of 256 random bits, and the digest under which a secret is looked up."""

import base64
import enum
import hashlib
import hmac
import re
import secrets

from graphql_mfa.core.inputs import FieldErrorCode, Problem
from graphql_mfa.core.keys import Key


class Purpose(enum.Enum):
    """What a looked-up secret, or a name that is not kept in clear, is for.

    It is part of the digest, so that one kind never passes for another.
    """

    CHALLENGE = "challenge"
    REFRESH_TOKEN = "refresh token"
    REFRESH_FAMILY = "refresh token family"
    RETRY_KEY = "retry key"
    RECOVERY_CODE = "recovery code"
    ENROLLMENT_CODE = "enrollment code"
    RESERVED_NAME = "reserved name"
    USERNAME_SKELETON = "username skeleton"


# Recognisable prefixes, so that scanners find a token that somebody published.
CHALLENGE_PREFIX = "mfac_"
REFRESH_TOKEN_PREFIX = "mfar_"

_TOKEN = re.compile(r"mfa[a-z]_[A-Za-z0-9_-]{43}")


def new_token(prefix: str) -> str:
    """A fresh token: the prefix and 256 random bits in base64url."""
    return prefix + secrets.token_urlsafe(32)


def digest(purpose: Purpose, secret: str) -> bytes:
    """SHA-256 over purpose and secret.

    Enough for secrets of 112 random bits or more, and without a key, so that keys can retire.
    """
    return hashlib.sha256(f"graphql-mfa {purpose.value}\0{secret}".encode("utf-8", "surrogatepass")).digest()


def token_digest(purpose: Purpose, token: str) -> bytes | None:
    """The digest of something that looks like one of our tokens; None for anything else."""
    return digest(purpose, token) if _TOKEN.fullmatch(token) else None


_FAMILY_BYTES = 16
_DERIVED_BYTES = 16
# 16 characters of base64url are 96 random bits; a UUID has 36 characters.
_SHORTEST_RETRY_KEY, _LONGEST_RETRY_KEY = 16, 128


def first_refresh_token() -> str:
    """The token of a new session."""
    return new_token(REFRESH_TOKEN_PREFIX)


def next_refresh_token(key: Key, previous: str) -> str:
    """The token that follows `previous`: its family, then the first 128 bits of HMAC-SHA-256."""
    derived = hmac.digest(key.refresh, previous.encode(), hashlib.sha256)[:_DERIVED_BYTES]
    value = base64.urlsafe_b64encode(_decoded(previous)[:_FAMILY_BYTES] + derived)
    return REFRESH_TOKEN_PREFIX + value.rstrip(b"=").decode()


def family_digest(token: str) -> bytes:
    """The digest under which the session of a well-formed token is looked up, also after it was traded in."""
    return digest(Purpose.REFRESH_FAMILY, _decoded(token)[:_FAMILY_BYTES].hex())


def retry_key_problem(retry_key: str) -> Problem | None:
    """What is wrong with a client's key for repeating a refresh."""
    if len(retry_key) < _SHORTEST_RETRY_KEY:
        code = FieldErrorCode.TOO_SHORT
    elif len(retry_key) > _LONGEST_RETRY_KEY:
        code = FieldErrorCode.TOO_LONG
    else:
        return None
    return Problem(code, f"A retry key has {_SHORTEST_RETRY_KEY} to {_LONGEST_RETRY_KEY} characters.")


def retry_digest(token: str, retry_key: str) -> bytes:
    """The digest by which the repeated exchange of a well-formed token is recognised.

    It covers the token, so a key that a client chose badly can't be guessed from a stolen database.
    """
    return digest(Purpose.RETRY_KEY, token + retry_key)


def _decoded(token: str) -> bytes:
    return base64.urlsafe_b64decode(token.removeprefix(REFRESH_TOKEN_PREFIX) + "=")
