"""Access tokens pass Authlib's validator of RFC 9068."""

from datetime import UTC, datetime

import pytest
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from joserfc import jwt
from joserfc.errors import SecurityWarning, UnsupportedAlgorithmError
from joserfc.jwk import KeySet

from tests.api.scenarios import RunApp
from tests.api_client import Api
from tests.clock import Clock
from tests.conftest import Connect

ISSUER, AUDIENCE = "https://id.example", "shop"


class Validator(JWTBearerTokenValidator):  # type: ignore[misc]
    """As a service of its own makes one: from the issuer's keys."""

    def __init__(self, keys: KeySet) -> None:
        super().__init__(issuer=ISSUER, resource_server=AUDIENCE)
        self.keys = keys

    def get_jwks(self) -> KeySet:
        return self.keys


async def published(api: Api) -> KeySet:
    metadata = (await api.http.get("/.well-known/oauth-authorization-server")).json()
    return KeySet.import_key_set((await api.http.get(metadata["jwks_uri"].removeprefix(ISSUER))).json())


@pytest.fixture
def clock() -> Clock:
    """Shows the system time, with which Authlib checks expiry."""
    clock = Clock()
    clock.now = datetime.now(UTC)
    return clock


async def test_a_token_signed_with_es256_is_accepted(run_app: RunApp, connect: Connect) -> None:
    async with run_app(token_issuer=ISSUER, token_audience=AUDIENCE, token_algorithm="ES256") as app:
        member = await connect(app).member()
        validator = Validator(await published(connect(app)))
    token = validator.authenticate_token(member.access_token)
    validator.validate_token(token, [], None)
    assert token["sub"] == member.session["user"]["id"]


async def test_a_token_signed_with_eddsa_is_accepted_where_the_service_allows_it(
    run_app: RunApp, connect: Connect
) -> None:
    """Authlib allows what joserfc recommends: since RFC 9864 no algorithm of the name EdDSA."""
    async with run_app(token_issuer=ISSUER, token_audience=AUDIENCE) as app:
        member = await connect(app).member()
        validator = Validator(await published(connect(app)))
    with pytest.raises(UnsupportedAlgorithmError):
        jwt.decode(member.access_token, validator.keys)
    with pytest.warns(SecurityWarning, match="EdDSA"):
        decoded = jwt.decode(member.access_token, validator.keys, algorithms=["EdDSA"])
    token = JWTAccessTokenClaims(decoded.claims, decoded.header, {"client_id": {"essential": True}})
    validator.validate_token(token, [], None)
