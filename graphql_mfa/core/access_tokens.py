"""Access tokens: JWTs signed with Ed25519, in the profile of RFC 9068."""

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.key_ring import Key, KeyRing

ALGORITHM = "EdDSA"  # RFC 8037
_CACHED_TOKENS = 4096  # of a kilobyte each
_TYPE = "at+jwt"  # RFC 9068 2.1
# Authentication methods, RFC 8176; it has no name for a look-up secret, hence our own.
_METHODS = {FactorKind.TOTP: "otp", FactorKind.RECOVERY_CODE: "recovery_code"}
_ACR = "aal2"  # NIST SP 800-63B-4 2.2: password and a second factor


@dataclass(frozen=True)
class Grant:
    """What one access token says: who, in which session, signed in when and how, for how long."""

    user_id: UUID
    session_id: UUID
    generation: int
    authenticated_at: datetime
    factors: tuple[FactorKind, ...]
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class TokenInvalid:
    """Not a token of ours, or not for this audience."""


@dataclass(frozen=True)
class TokenExpired:
    """A token of ours whose time is over."""


@dataclass(frozen=True)
class TokenSubject:
    """Whom a valid token speaks for."""

    user_id: UUID
    session_id: UUID


class AccessTokens:
    """Signs and checks access tokens for one issuer and audience."""

    def __init__(self, ring: KeyRing, *, issuer: str, audience: str) -> None:
        self._ring, self._issuer, self._audience = ring, issuer, audience
        # A client sends the same token again and again; checking its signature is the dearest part of a query.
        self._read_cached = lru_cache(_CACHED_TOKENS)(self._read)

    def sign(self, grant: Grant, key: Key) -> str:
        """The token of a grant. The same grant and key give the same token: Ed25519 is deterministic (RFC 8032)."""
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(grant.user_id),
            "sid": str(grant.session_id),
            "jti": _token_id(grant),
            "iat": int(grant.issued_at.timestamp()),
            "exp": int(grant.expires_at.timestamp()),
            "auth_time": int(grant.authenticated_at.timestamp()),
            "amr": ["pwd", *(_METHODS[factor] for factor in grant.factors), "mfa"],
            "acr": _ACR,
        }
        return jwt.encode(claims, key.signing, ALGORITHM, headers={"typ": _TYPE, "kid": key.id.hex()})

    def check(self, token: str, now: datetime) -> TokenSubject | TokenExpired | TokenInvalid:
        """Check signature, type, issuer, audience and, with our own clock, expiry."""
        try:
            subject, expires_at = self._read_cached(token)
        # PyJWT lets some malformed headers through as other errors than its own.
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return TokenInvalid()
        return subject if now < expires_at else TokenExpired()

    def _read(self, token: str) -> tuple[TokenSubject, datetime]:
        header = jwt.get_unverified_header(token)
        key = self._key(header.get("kid"))
        if key is None or header.get("typ") != _TYPE:
            raise jwt.InvalidTokenError
        claims = jwt.decode(
            token,
            key.verifying,
            algorithms=[ALGORITHM],
            issuer=self._issuer,
            audience=self._audience,
            # PyJWT's time checks use its own clock.
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["exp", "sid"]},
        )
        return TokenSubject(UUID(claims["sub"]), UUID(claims["sid"])), datetime.fromtimestamp(claims["exp"], UTC)

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The public keys as a JSON Web Key Set (RFC 7517, RFC 8037)."""
        return {"keys": [_jwk(key) for key in self._ring.public]}

    def _key(self, kid: object) -> Key | None:
        if not isinstance(kid, str) or not re.fullmatch("[0-9a-f]{8}", kid):
            return None
        return self._ring.trusted(bytes.fromhex(kid))


def _token_id(grant: Grant) -> str:
    """Another one for each time that a session's token is issued, and the same one when that is told again."""
    issue = f"{grant.session_id}:{grant.generation}:{grant.issued_at.isoformat()}"
    return hashlib.sha256(issue.encode()).hexdigest()[:32]


def _jwk(key: Key) -> dict[str, Any]:
    public = key.verifying.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": base64.urlsafe_b64encode(public).rstrip(b"=").decode(),
        "kid": key.id.hex(),
        "use": "sig",
        "alg": ALGORITHM,
    }
