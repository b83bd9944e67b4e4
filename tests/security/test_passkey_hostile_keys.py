"""Attack: occupy the server with an answer whose CBOR or key takes long to read, as anybody can send one."""

import asyncio
import base64
import secrets
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from webauthn.helpers import encode_cbor, parse_cbor

from graphql_mfa.services import Services
from graphql_mfa.testing import SoftwarePasskey
from tests.api_client import Api
from tests.passkeys import answer, sign_in, with_passkeys
from tests.security.attacks import scalar
from tests.security.passkey_attacks import (
    begin_adding,
    begin_sign_in,
    finish_adding,
    finish_sign_in,
    member_with_passkey,
)

pytestmark = with_passkeys

WAIT = 10  # seconds, less than reading the slow map takes
EXTENSIONS = 0x80
FLAGS = 32


def slow_lists() -> list[bytes]:
    """Each contains the one before twice (RFC 8949 3.4; tags 28 and 29). Hashing them takes half a minute."""
    references = [(b"\xd8\x1d" + encode_cbor(number)) * 2 for number in range(29)]
    return [b"\xd8\x1c\x82" + content for content in (b"\0\0", *references)]


def slow_map() -> bytes:
    """A map whose key is a list of those."""
    lists = slow_lists()
    return b"\xa1\x98" + bytes([len(lists)]) + b"".join(lists) + b"\x00"


def hidden_map() -> bytes:
    """Such a map, for a reader that takes the head of an empty string of indefinite length for 31 bytes of text."""
    lists = slow_lists()
    pairs = [first + second for first, second in zip(lists[::2], lists[1::2], strict=True)]
    items = sum(3 + 29 - len(pair) for pair in pairs)
    return b"\xa1\x98" + bytes([items]) + b"".join(b"\x5f\x40\xff" + pair.ljust(29, b"\0") for pair in pairs) + b"\0"


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


class WithExtensions(SoftwarePasskey):
    """A passkey that adds extensions to what it signs."""

    extensions = encode_cbor({"credProtect": 2})

    def authenticator_data(self, rp_id: str, flags: int = 0) -> bytes:
        return super().authenticator_data(rp_id, flags | EXTENSIONS) + (b"" if flags else self.extensions)

    def create(self, options: Any) -> dict[str, Any]:
        created = super().create(options)
        attestation = parse_cbor(decoded(created["response"]["attestationObject"]))
        signed = encode_cbor({**attestation, "authData": attestation["authData"] + self.extensions})
        created["response"]["attestationObject"] = encoded(signed)
        return created


class SlowExtensions(WithExtensions):
    """A passkey whose extensions take long to read."""

    extensions = slow_map()


async def test_extensions_that_take_long_to_read_of_a_stranger(api: Api) -> None:
    """No account is needed, nor a passkey: extensions come before the signature is checked."""
    key = SlowExtensions()
    key.user_handle = "AAAA"
    begun = await begin_sign_in(api)
    async with asyncio.timeout(WAIT):
        assert (await finish_sign_in(api, answer(begun, key)))["__typename"] == "PasskeyUnknown"


async def test_a_new_passkey_that_takes_long_to_read(api: Api, subtests: pytest.Subtests) -> None:
    """In the attestation object, its statement, the key, or extensions; also where the library alone finds it."""
    slow = slow_map()
    key = SoftwarePasskey()

    def attestation(cose_key: bytes, more: bytes = b"") -> bytes:
        data = key.authenticator_data("localhost", 0x40 | (EXTENSIONS if more else 0))
        data += bytes(16) + len(key.id).to_bytes(2) + key.id + cose_key + more
        return encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})

    sound = encode_cbor(key.cose_key())
    # The library reads extensions where a key would end that it had encoded itself: here in the middle of a string.
    zeros = (len(slow) + 7) // 8
    string = slow.ljust(8 * zeros, b"\0")
    hiding = (
        b"\xa2\x00\x98" + bytes([zeros]) + (b"\x1b" + bytes(8)) * zeros + b"\x01\x59" + len(string).to_bytes(2) + string
    )
    answers = {
        "instead": slow,
        "in the object": b"\xa1\x61x" + slow,
        "in the statement": b"\xa3\x63fmt\x64none\x67attStmt" + slow + b"\x68authData\x41\x00",
        "hidden in the object": b"\xa1\x61x" + hidden_map(),
        "key": attestation(slow),
        "hidden in the key": attestation(hidden_map()),
        "hidden by the key": attestation(hiding, b"\xa0"),
        "extensions": attestation(sound, slow),
    }
    token = (await api.member()).access_token
    for name, hostile in answers.items():
        with subtests.test(name):
            given = answer(await begin_adding(api, token), key)
            given["credential"]["response"]["attestationObject"] = encoded(hostile)
            async with asyncio.timeout(WAIT):
                outcome = await finish_adding(api, token, given)
            assert outcome["__typename"] == "PasskeyRejected"


async def test_passkeys_with_extensions_are_welcome(api: Api) -> None:
    member = await api.member()
    key = WithExtensions()
    assert (await finish_adding(api, member.access_token, answer(await begin_adding(api, member.access_token), key)))[
        "__typename"
    ] == "PasskeyAdded"
    assert (await sign_in(api, key))["__typename"] == "SignedIn"


class RsaPasskey(SoftwarePasskey):
    """A passkey with an RSA key (RFC 8230)."""

    def __init__(self, modulus: int, exponent: int, more: bytes = b"") -> None:
        super().__init__()
        self.modulus, self.exponent, self.more = modulus, exponent, more

    def cose_key(self) -> dict[int, Any]:
        modulus = self.modulus.to_bytes((self.modulus.bit_length() + 7) // 8)
        exponent = self.exponent.to_bytes((self.exponent.bit_length() + 7) // 8)
        return {1: 3, 3: -257, -1: modulus, -2: exponent} | ({-70: self.more} if self.more else {})


async def test_a_key_that_takes_long_to_verify_or_to_store(
    api: Api, services: Services, subtests: pytest.Subtests
) -> None:
    """Each sign-in would cost a hundred times as much, or each list of passkeys would carry it."""
    member, _ = await member_with_passkey(api)
    usual = generate_private_key(65537, 2048).public_key().public_numbers()
    keys = {
        "usual": (RsaPasskey(usual.n, usual.e), "PasskeyAdded"),
        "short": (RsaPasskey(secrets.randbits(2047) | 1 << 2046 | 1, usual.e), "PasskeyRejected"),
        "long": (RsaPasskey(secrets.randbits(16_384) | 1 << 16_383 | 1, usual.e), "PasskeyRejected"),
        "long exponent": (RsaPasskey(usual.n, usual.n - 2), "PasskeyRejected"),
        "members beside it": (RsaPasskey(usual.n, usual.e, bytes(1024)), "PasskeyAdded"),
    }
    for name, (key, expected) in keys.items():
        with subtests.test(name):
            begun = await begin_adding(api, member.access_token)
            outcome = await finish_adding(api, member.access_token, answer(begun, key))
            assert outcome["__typename"] == expected
    assert await scalar(services, "SELECT max(length(public_key)) FROM mfa_passkeys") < 300
