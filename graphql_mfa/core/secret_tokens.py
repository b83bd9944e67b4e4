"""Opaque tokens of 256 random bits, and the digest under which a secret is looked up."""

import enum
import hashlib
import re
import secrets


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
