"""Access tokens: JWTs in the profile of RFC 9068, signed with Ed25519 or P-256, and their server metadata."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, get_args
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from graphql_mfa.core.accounts import NotAuthenticatedReason
from graphql_mfa.core.keys import Key, KeyRing

Algorithm = Literal["EdDSA", "ES256"]  # RFC 8037, RFC 7518
_ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
_CACHED_TOKENS = 4096  # about 1 kB each without host claims
_MAX_HOST_CLAIMS = 4096  # bytes of JSON, 5.5 KiB in base64: nginx and Apache refuse headers of more than 8 KiB
_TYPE = "at+jwt"  # RFC 9068 2.1
_ACR = "aal2"  # NIST SP 800-63B-4 2.2: a password and a second factor, or a passkey that verified its user


@dataclass(frozen=True)
class Grant:
    """The contents of one access token. methods: the session's authentication methods, without `mfa`."""

    user_id: UUID
    session_id: UUID
    generation: int
    authenticated_at: datetime
    methods: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime


class InvalidClaimsError(ValueError):
    """The host returned claims that a token can't carry. The message contains none of their values."""


@dataclass(frozen=True)
class TokenSubject:
    """The user and session of a valid token."""

    user_id: UUID
    session_id: UUID


class AccessTokens:
    """Signs and verifies access tokens for one issuer and audience."""

    def __init__(
        self,
        ring: KeyRing,
        *,
        issuer: str,
        audience: str,
        client_id: str | None = None,
        algorithm: Algorithm = "EdDSA",
    ) -> None:
        """client_id: defaults to the audience. algorithm: signs new tokens; tokens of both algorithms are accepted."""
        self._issuer, self._audience, self._client_id = issuer, audience, client_id or audience
        self._algorithm: Algorithm = algorithm
        # Both algorithms, since replicas change theirs one after another.
        by_preference = sorted(_ALGORITHMS, key=lambda other: other != algorithm)
        self._jwks = [_jwk(key, of) for of in by_preference for key in ring.public]
        self._keys = {jwk["kid"]: jwt.PyJWK(jwk) for jwk in self._jwks}
        # Verifying the signature is the most expensive part of a query, and clients repeat the same token.
        self._read_cached = lru_cache(_CACHED_TOKENS)(self._read)

    def sign(self, grant: Grant, key: Key, host_claims: Mapping[str, object] = MappingProxyType({})) -> str:
        """Sign a token; by EdDSA, the same arguments give the same token (RFC 8032). Raises InvalidClaimsError."""
        claims: dict[str, object] = {
            "iss": self._issuer,
            "aud": self._audience,
            "client_id": self._client_id,
            "sub": str(grant.user_id),
            "sid": str(grant.session_id),
            "iat": int(grant.issued_at.timestamp()),
            "exp": int(grant.expires_at.timestamp()),
            "auth_time": int(grant.authenticated_at.timestamp()),
            "amr": amr(grant.methods),
            "acr": _ACR,
        }
        checked = _checked(host_claims, {*claims, "jti"})
        claims |= checked | {"jti": _token_id(grant, checked)}
        headers = {"typ": _TYPE, "kid": _kid(key, self._algorithm)}
        return jwt.encode(claims, _private(key, self._algorithm), self._algorithm, headers)

    def check(self, token: str, now: datetime) -> TokenSubject | NotAuthenticatedReason:
        """Verify signature, type, issuer, audience, and expiry at `now`."""
        try:
            subject, expires_at = self._read_cached(token)
        # For some malformed headers PyJWT raises other errors than its own.
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return NotAuthenticatedReason.TOKEN_INVALID
        return subject if now < expires_at else NotAuthenticatedReason.TOKEN_EXPIRED

    def _read(self, token: str) -> tuple[TokenSubject, datetime]:
        header = jwt.get_unverified_header(token)
        key = self._keys.get(header.get("kid"))
        if key is None or header.get("typ") != _TYPE:
            raise jwt.InvalidTokenError
        claims = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],  # not the token's `alg` (RFC 8725 3.1)
            issuer=self._issuer,
            audience=self._audience,
            # PyJWT would check times against the system clock.
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["exp", "sid"]},
        )
        return TokenSubject(UUID(claims["sub"]), UUID(claims["sid"])), datetime.fromtimestamp(claims["exp"], UTC)

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The public keys as a JSON Web Key Set (RFC 7517), those of the signing algorithm first."""
        return {"keys": self._jwks}


def amr(methods: Iterable[str]) -> tuple[str, ...]:
    """The `amr` of a session with these authentication methods: they are several factors, hence `mfa` (RFC 8176 2)."""
    return (*methods, "mfa")


def _checked(given: object, own: Iterable[str]) -> dict[str, object]:
    """The host's claims, if a token can carry them. own: the names of the server's claims."""
    claims = dict(given) if isinstance(given, Mapping) else None
    if claims is None or not all(isinstance(name, str) for name in claims):
        raise InvalidClaimsError("The host's claims must be a mapping with string keys.")
    # `nbf` is the only registered claim that the server doesn't set (RFC 7519 4.1).
    if taken := claims.keys() & {*own, "nbf"}:
        raise InvalidClaimsError(f"The host's claims can't set {', '.join(sorted(taken))}: the server does.")
    try:
        length = len(json.dumps(claims, allow_nan=False, separators=(",", ":")))
    except (TypeError, ValueError, RecursionError):
        raise InvalidClaimsError("The host's claims contain a value that JSON can't represent.") from None
    if length > _MAX_HOST_CLAIMS:
        raise InvalidClaimsError(f"The host's claims have {length} bytes of JSON; {_MAX_HOST_CLAIMS} are allowed.")
    return claims


def _token_id(grant: Grant, host_claims: dict[str, object]) -> str:
    """The `jti`: differs for each token of a session; repeating a refresh with the same claims gives the same one."""
    issue = f"{grant.session_id}:{grant.generation}:{grant.issued_at.isoformat()}"
    issue += json.dumps(host_claims) if host_claims else ""
    return hashlib.sha256(issue.encode()).hexdigest()[:32]


def _kid(key: Key, algorithm: Algorithm) -> str:
    """The key id, with the algorithm unless it is EdDSA, for which releases before ES256 used the bare id."""
    return key.id.hex() if algorithm == "EdDSA" else f"{key.id.hex()}-{algorithm}"


def _private(key: Key, algorithm: Algorithm) -> Ed25519PrivateKey | EllipticCurvePrivateKey:
    return key.signing if algorithm == "EdDSA" else key.signing_p256


def _jwk(key: Key, algorithm: Algorithm) -> dict[str, Any]:
    public = jwt.get_algorithm_by_name(algorithm).to_jwk(_private(key, algorithm).public_key(), as_dict=True)
    return public | {"kid": _kid(key, algorithm), "use": "sig", "alg": algorithm}


JWKS_PATH = "/.well-known/jwks.json"
_METADATA_PATH = "/.well-known/oauth-authorization-server"
# No query or fragment (RFC 8414 2), and no path that a router would take for a pattern.
_ISSUER = re.compile(r"https://[^/?#@\s]+((?:/[\w.~-]+)*)/?", re.ASCII)


def server_metadata(issuer: str) -> tuple[str, dict[str, object]] | None:
    """The path and document of authorization server metadata (RFC 8414), where services find the public keys.

    None unless the issuer is an https URL. Its path is appended to the well-known one (RFC 8414 3.1).
    """
    found = _ISSUER.fullmatch(issuer)
    if found is None:
        return None
    document: dict[str, object] = {
        "issuer": issuer,
        "jwks_uri": issuer.removesuffix("/") + JWKS_PATH,
        # Both empty, since there are no authorization and token endpoints: RFC 8414 requires the first member, and
        # without the second clients assume the grants authorization_code and implicit.
        "response_types_supported": [],
        "grant_types_supported": [],
    }
    return _METADATA_PATH + found[1], document
