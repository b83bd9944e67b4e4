"""Attack: make an access token, or bend one."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI

from graphql_mfa.core.keys import Key, new_key
from graphql_mfa.services import Services
from tests.api_client import ME, Api, Member
from tests.conftest import Connect

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]


def encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header, claims, signature."""
    header, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(header), json.loads(claims), signature


def sealed(header: object, claims: object, signature: bytes) -> str:
    return f"{encoded(header)}.{encoded(claims)}.{encoded(signature)}"


def signed_with(key: Ed25519PrivateKey, header: dict[str, Any], claims: object) -> str:
    signing_input = f"{encoded(header)}.{encoded(claims)}".encode()
    return f"{signing_input.decode()}.{encoded(key.sign(signing_input))}"


def hmac_with(secret: bytes, header: dict[str, Any], claims: object) -> str:
    signing_input = f"{encoded(header)}.{encoded(claims)}".encode()
    return f"{signing_input.decode()}.{encoded(hmac.digest(secret, signing_input, hashlib.sha256))}"


async def assert_refused(api: Api, token: str) -> None:
    response = await api.http.post("/graphql", json={"query": ME}, headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200
    assert response.json() == {"data": {"me": None}}
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


# Made of a real token: its parts, and the server's public key as a JWK and as raw bytes.
Forge = Callable[[dict[str, Any], dict[str, Any], bytes, dict[str, Any], bytes], str]
THIEF = Ed25519PrivateKey.generate()
THIEFS_JWK = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": encoded(THIEF.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)),
}

FORGERIES: dict[str, Forge] = {
    "no signature": lambda head, claims, *_: sealed({**head, "alg": "none"}, claims, b""),
    "no signature, NONE": lambda head, claims, *_: sealed({**head, "alg": "NONE"}, claims, b""),
    "no signature, EdDSA": lambda head, claims, *_: sealed(head, claims, b""),
    "no algorithm": lambda head, claims, signature, *_: sealed(
        {name: value for name, value in head.items() if name != "alg"}, claims, signature
    ),
    "HMAC with the public key": lambda head, claims, _, __, raw: hmac_with(raw, {**head, "alg": "HS256"}, claims),
    "HMAC with the JWK": lambda head, claims, _, jwk, __: hmac_with(
        json.dumps(jwk).encode(), {**head, "alg": "HS256"}, claims
    ),
    "HMAC with nothing": lambda head, claims, *_: hmac_with(b"", {**head, "alg": "HS256"}, claims),
    "thief's key": lambda head, claims, *_: signed_with(THIEF, head, claims),
    "thief's key in the header": lambda head, claims, *_: signed_with(THIEF, {**head, "jwk": THIEFS_JWK}, claims),
    "thief's key by URL": lambda head, claims, *_: signed_with(
        THIEF, {**head, "jku": "https://thief.example/jwks.json", "x5u": "https://thief.example/cert"}, claims
    ),
    "thief's key under a path": lambda head, claims, *_: signed_with(THIEF, {**head, "kid": "../../dev/null"}, claims),
    "thief's key without an id": lambda _, claims, *__: signed_with(THIEF, {"alg": "EdDSA", "typ": "at+jwt"}, claims),
    "another user": lambda head, claims, signature, *_: sealed(head, {**claims, "sub": claims["sid"]}, signature),
    "longer": lambda head, claims, signature, *_: sealed(head, {**claims, "exp": claims["exp"] + 1}, signature),
    "signature cut": lambda head, claims, signature, *_: sealed(head, claims, signature[:-1]),
    "signature of zeros": lambda head, claims, *_: sealed(head, claims, bytes(64)),
    "key id of another type": lambda head, claims, signature, *_: sealed(
        {**head, "kid": [head["kid"]]}, claims, signature
    ),
    "key id in capitals": lambda head, claims, signature, *_: sealed(
        {**head, "kid": head["kid"].upper() + " "}, claims, signature
    ),
    "header is an array": lambda head, claims, signature, *_: sealed([head], claims, signature),
    "header is a string": lambda _, claims, signature, *__: sealed("at+jwt", claims, signature),
    "header is deep": lambda _, claims, signature, *__: (
        f"{encoded(b'[' * 9000)}.{encoded(claims)}.{encoded(signature)}"
    ),
    "claims are deep": lambda head, _, signature, *__: f"{encoded(head)}.{encoded(b'[' * 9000)}.{encoded(signature)}",
    "header is no JSON": lambda _, claims, signature, *__: f"{encoded(b'{')}.{encoded(claims)}.{encoded(signature)}",
    "header has a huge number": lambda _, claims, signature, *__: ".".join(
        [encoded(b'{"kid": ' + b"9" * 5000 + b"}"), encoded(claims), encoded(signature)]
    ),
    "critical extension": lambda head, claims, signature, *_: sealed(
        {**head, "crit": ["b64"], "b64": False}, claims, signature
    ),
    "two parts": lambda head, claims, *_: f"{encoded(head)}.{encoded(claims)}",
    "five parts": lambda head, *_: ".".join([encoded(head)] * 5),
    "dots": lambda *_: "..",
    "no base64": lambda *_: "!!!.???.***",
    "latin letters": lambda *_: "\u00e9.\u00e9.\u00e9",
    "long": lambda *_: "A" * 30_000 + "." + "B" * 30_000 + ".",
}


async def test_forged_access_token(api: Api, services: Services, subtests: pytest.Subtests) -> None:
    member = await api.member()
    header, claims, signature = parts(member.access_token)
    jwk, _ = (await api.http.get("/.well-known/jwks.json")).json()["keys"]

    for name, forge in FORGERIES.items():
        with subtests.test(name):
            token = forge(header, claims, signature, jwk, base64.urlsafe_b64decode(jwk["x"] + "=="))
            assert token != member.access_token

            response = await api.http.post(
                "/graphql", json={"query": ME}, headers={b"Authorization": f"Bearer {token}".encode("latin-1")}
            )

            assert response.status_code == 200
            assert response.json() == {"data": {"me": None}}
            assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
            assert await api.me(member.access_token) is not None


def minted(services: Services, member: Member, key: Key | None = None, **changes: Any) -> str:
    """A token with a valid signature over other claims, as another service with these keys could issue."""
    header, claims, _ = parts(member.access_token)
    head = {name.removeprefix("head_"): value for name, value in changes.items() if name.startswith("head_")}
    body = {name: value for name, value in changes.items() if not name.startswith("head_")}
    claims = {name: value for name, value in (claims | body).items() if value is not None}
    return jwt.encode(claims, (key or services.key_ring.current).signing, "EdDSA", headers=header | head)


async def test_genuine_access_token_is_accepted(api: Api, services: Services) -> None:
    """Control: the tokens below are refused only because of their change."""
    member = await api.member()

    assert await api.me(minted(services, member)) is not None


OTHER_PURPOSES: list[dict[str, Any]] = [
    {"aud": "another-service"},
    {"aud": ["another-service"]},
    {"aud": None},
    {"iss": "another-issuer"},
    {"iss": None},
    {"exp": None},
    {"exp": "tomorrow"},
    {"exp": 10**30},
    {"exp": -1},
    {"exp": 0},
    {"sid": None},
    {"sid": "all"},
    {"sid": 1},
    {"sub": None},
    {"sub": "alice"},
    {"head_typ": "JWT"},
    {"head_typ": "id+jwt"},
    {"head_typ": None},
    {"head_kid": "00000000"},
]


async def test_other_token_signed_by_the_same_keys(api: Api, services: Services, subtests: pytest.Subtests) -> None:
    """RFC 8725 2.8: a token that was signed for another purpose, audience or issuer."""
    member = await api.member()

    for changes in OTHER_PURPOSES:
        with subtests.test(changes=changes):
            await assert_refused(api, minted(services, member, **changes))


async def test_access_token_for_the_session_of_another_user(api: Api, services: Services) -> None:
    """The two ids in it belong together."""
    alice, mallory = await api.member("alice"), await api.member("mallory")
    _, claims, _ = parts(alice.access_token)

    await assert_refused(api, minted(services, mallory, sub=claims["sub"]))
    await assert_refused(api, minted(services, mallory, sid=claims["sid"]))


async def test_access_token_of_another_deployment(run_app: RunApp, connect: Connect) -> None:
    async with run_app(secret_keys=new_key()) as app:
        member = await connect(app).member()
    async with run_app(secret_keys=new_key()) as app:
        await assert_refused(connect(app), member.access_token)


async def test_access_token_of_a_key_that_has_leaked(run_app: RunApp, connect: Connect) -> None:
    """Decrypt-only: a thief of the key can sign with it, so its signatures are refused."""
    leaked, fresh = new_key(), new_key()
    async with run_app(secret_keys=leaked) as app:
        api = connect(app)
        member = await api.member()
        assert await api.me(member.access_token) is not None

    async with run_app(secret_keys=f"{fresh},decrypt-only:{leaked}") as app:
        api = connect(app)
        await assert_refused(api, minted(app.state.services, member, Key.parse(leaked)))
        await assert_refused(api, member.access_token)
        keys = (await api.http.get("/.well-known/jwks.json")).json()["keys"]
        kid = Key.parse(fresh).id.hex()
        assert [key["kid"] for key in keys] == [kid, f"{kid}-ES256"]
