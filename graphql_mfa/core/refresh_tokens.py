"""Refresh tokens: 128 bits that name the session's family, then 128 bits that change with each rotation.

The first token is random. Each later one keeps the family and derives the rest from the token before it, so a client
that lost an answer can get the same pair again, and a token that was traded in is recognised without a row for it.
Neither the key ring nor the database alone, nor both, is enough to make one; the key ring and any earlier token of the
session are.
"""

import base64
import hashlib
import hmac

from graphql_mfa.core.key_ring import Key
from graphql_mfa.core.problems import FieldErrorCode, Problem
from graphql_mfa.core.secret_tokens import REFRESH_TOKEN_PREFIX, Purpose, digest, new_token

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
    return Problem("retryKey", code, f"A retry key has {_SHORTEST_RETRY_KEY} to {_LONGEST_RETRY_KEY} characters.")


def retry_digest(token: str, retry_key: str) -> bytes:
    """The digest by which the repeated exchange of a well-formed token is recognised.

    It covers the token, so a key that a client chose badly can't be guessed from a stolen database.
    """
    return digest(Purpose.RETRY_KEY, token + retry_key)


def _decoded(token: str) -> bytes:
    return base64.urlsafe_b64decode(token.removeprefix(REFRESH_TOKEN_PREFIX) + "=")
