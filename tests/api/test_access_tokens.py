"""Access tokens, as another service checks them: with the published keys, RFC 9068 and nothing of this code."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from graphql_mfa.services import Services
from tests.api.scenarios import RunApp, reauthenticate
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.security.attacks import execute

Claims = dict[str, Any]


def decode(part: str) -> bytes:
    """Base64url without padding (RFC 7515, appendix C)."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def verified(api: Api, token: str) -> Claims:
    """The claims of a token that one of the published keys has signed."""
    header, claims, signature = token.split(".")
    head = json.loads(decode(header))
    assert (head["alg"], head["typ"]) == ("EdDSA", "at+jwt")
    published = (await api.http.get("/.well-known/jwks.json")).json()["keys"]
    (key,) = (key for key in published if key["kid"] == head["kid"])
    assert {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA"}.items() <= key.items()
    Ed25519PublicKey.from_public_bytes(decode(key["x"])).verify(decode(signature), f"{header}.{claims}".encode())
    result: Claims = json.loads(decode(claims))
    return result


async def test_another_service_can_check_a_token_with_the_published_keys(api: Api, clock: Clock) -> None:
    member = await api.member()
    signed_in_at = int(clock().timestamp()) - 30  # the clock moved a step after the sign-in
    claims = await verified(api, member.access_token)
    assert claims == {
        "iss": "graphql-mfa",
        "aud": "graphql-mfa",
        "client_id": "graphql-mfa",
        "sub": member.session["user"]["id"],
        "sid": claims["sid"],
        "jti": claims["jti"],
        "iat": signed_in_at,
        "exp": signed_in_at + 600,
        "auth_time": signed_in_at,
        "amr": ["pwd", "otp", "mfa"],
        "acr": "aal2",
    }


@on_each_engine
async def test_a_session_of_an_earlier_release_keeps_the_methods_of_its_factors(api: Api, services: Services) -> None:
    member = await api.member()
    await execute(services, "UPDATE mfa_sessions SET methods = NULL")
    refreshed = await api.refresh(member.refresh_token)
    claims = await verified(api, refreshed["tokens"]["accessToken"])
    assert claims["amr"] == ["pwd", "otp", "mfa"]
    renewed = await reauthenticate(api, member.access_token, recoveryCode=member.recovery_codes[0])
    assert (await verified(api, renewed["accessToken"]))["amr"] == ["pwd", "otp", "recovery_code", "mfa"]


async def test_an_altered_token_fails_verification(api: Api) -> None:
    member, other = await api.member(), await api.member("bob")
    header, _, signature = member.access_token.split(".")
    with pytest.raises(InvalidSignature):
        await verified(api, ".".join((header, other.access_token.split(".")[1], signature)))


async def test_amr_tells_a_sign_in_by_recovery_code_apart(api: Api) -> None:
    member = await api.member()
    signed_in = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    claims = await verified(api, signed_in["tokens"]["accessToken"])
    assert (claims["amr"], claims["acr"]) == (["pwd", "recovery_code", "mfa"], "aal2")


async def test_a_refreshed_token_is_of_the_same_session_and_sign_in(api: Api, clock: Clock) -> None:
    member = await api.member()
    clock.advance(1000)
    before = await verified(api, member.access_token)
    after = await verified(api, (await api.refresh(member.refresh_token))["tokens"]["accessToken"])
    now = int(clock().timestamp())
    assert after == before | {"iat": now, "exp": now + 600, "jti": after["jti"]}
    assert after["jti"] != before["jti"]


async def test_each_session_has_a_unique_id(api: Api, clock: Clock) -> None:
    member = await api.member()
    signed_in = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
    one, other = await verified(api, member.access_token), await verified(api, signed_in["tokens"]["accessToken"])
    assert one["sub"] == other["sub"]
    assert one["sid"] != other["sid"]
    assert one["jti"] != other["jti"]


async def test_issuer_and_audience_come_from_the_settings(run_app: RunApp, connect: Connect) -> None:
    async with run_app(token_issuer="https://id.example", token_audience="shop") as app:
        api = connect(app)
        member = await api.member()
        claims = await verified(api, member.access_token)
        assert await api.me(member.access_token) == member.session["user"]
    assert (claims["iss"], claims["aud"]) == ("https://id.example", "shop")


async def test_client_id_comes_from_the_settings(run_app: RunApp, connect: Connect) -> None:
    async with run_app(token_audience="shop", token_client_id="shop-app") as app:
        member = await connect(app).member()
        claims = await verified(connect(app), member.access_token)
    assert (claims["aud"], claims["client_id"]) == ("shop", "shop-app")


async def test_sessions_continue_when_the_algorithm_is_changed_and_changed_back(
    run_app: RunApp, connect: Connect, clock: Clock
) -> None:
    async with run_app() as app:
        member = await connect(app).member()
    async with run_app(token_algorithm="ES256") as app:
        api = connect(app)
        assert await api.me(member.access_token) == member.session["user"]
        refreshed = (await api.refresh(member.refresh_token))["tokens"]
        assert jwt.get_unverified_header(refreshed["accessToken"])["alg"] == "ES256"
        repeated = (await api.refresh(member.refresh_token))["tokens"]
        assert repeated["refreshToken"] == refreshed["refreshToken"]
        assert [await api.me(pair["accessToken"]) for pair in (refreshed, repeated)] == [member.session["user"]] * 2
    async with run_app() as app:
        api = connect(app)
        assert await api.me(refreshed["accessToken"]) == member.session["user"]
        eddsa = (await api.refresh(refreshed["refreshToken"]))["tokens"]["accessToken"]
        assert await verified(api, eddsa)
