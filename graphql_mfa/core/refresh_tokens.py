"""Refresh tokens: the first is drawn at random, each next one is derived from the one before it.

So a client that lost an answer gets the same pair again, while neither the key ring nor the database alone, nor both
without a token that the client holds, is enough to make one.
"""

import base64
import hashlib
import hmac

from graphql_mfa.core.key_ring import Key
from graphql_mfa.core.secret_tokens import REFRESH_TOKEN_PREFIX, new_token


def first_refresh_token() -> str:
    """The token of a new session."""
    return new_token(REFRESH_TOKEN_PREFIX)


def next_refresh_token(key: Key, previous: str) -> str:
    """The token that follows `previous` (HMAC-SHA-256, 256 bits)."""
    mac = hmac.digest(key.refresh, previous.encode(), hashlib.sha256)
    return REFRESH_TOKEN_PREFIX + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
