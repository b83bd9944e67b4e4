"""What goes wrong in a WebAuthn ceremony, and that it is refused. Wider properties are in tests/slow/fuzz."""

import dataclasses
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, encode_cbor

from graphql_mfa.core.inputs import parse_factor_name
from graphql_mfa.core.keys import Key, KeyRing, seal
from graphql_mfa.core.passkeys import (
    CEREMONY_LIFETIME,
    HANDLE_BYTES,
    Assertion,
    Ceremony,
    CeremonyPurpose,
    RelyingParty,
    authentication_options,
    authenticator_name,
    credential_id_of,
    decoy_key,
    registration_options,
    user_handle_of,
    verify_assertion,
    verify_registration,
)
from graphql_mfa.testing import SoftwarePasskey
from tests.core.ceremonies import (
    APP,
    AT,
    BE,
    BS,
    ED,
    HANDLE,
    NOW,
    ORIGIN,
    PARTY,
    UP,
    UV,
    HostilePasskey,
    Json,
    begin_registration,
    begin_sign_in,
    key_of,
    register,
    registered,
    sign_in,
    with_appended,
    with_attestation,
    with_data,
    with_key,
    with_members,
)
from tests.core.texts import any_text

KEY, OTHER_KEY = Key(bytes(range(32))), Key(b"other key".ljust(32))
RING = KeyRing([KEY])


def honest(**kind: Any) -> SoftwarePasskey:
    return SoftwarePasskey(ORIGIN, **kind)


@pytest.fixture(params=["ES256", "EdDSA"])
def passkey(request: pytest.FixtureRequest) -> SoftwarePasskey:
    return honest(algorithm=request.param)


def test_a_passkey_registers_and_signs_in(passkey: SoftwarePasskey) -> None:
    new = register(passkey)
    assert new
    assert (new.credential_id, new.public_key) == (passkey.id, encode_cbor(passkey.cose_key()))
    assert new.discoverable is True
    assert new.transports == ("hybrid", "internal")
    assertion = sign_in(passkey, key=new)
    assert assertion == Assertion(sign_count=0, user_verified=True, backed_up=False, counter_went_back=False)


# --------------------------------------------------------------------------------------------------------- challenges


def test_challenges_are_256_random_bits_and_live_for_five_minutes() -> None:
    ceremonies = [Ceremony.begin(CeremonyPurpose.SIGN_IN, NOW) for _ in range(100)]
    assert len({ceremony.challenge for ceremony in ceremonies}) == 100
    assert len({ceremony.digest for ceremony in ceremonies}) == 100
    assert {len(ceremony.challenge) for ceremony in ceremonies} == {32}
    assert {ceremony.expires_at for ceremony in ceremonies} == {NOW + timedelta(minutes=5)}
    assert timedelta(minutes=5) == CEREMONY_LIFETIME


def test_an_answer_to_another_challenge_is_refused(passkey: SoftwarePasskey) -> None:
    key = registered(passkey)
    (ceremony, options), (other, _) = begin_sign_in(), begin_sign_in()
    answer = passkey.get(options)
    assert verify_assertion(PARTY, ceremony, answer, key)
    assert verify_assertion(PARTY, other, answer, key) is None
    (ceremony, options), (other, _) = begin_registration(), begin_registration()
    answer = passkey.create(options)
    assert verify_registration(PARTY, ceremony, answer)
    assert verify_registration(PARTY, other, answer) is None


def test_a_challenge_that_only_decodes_to_the_right_one_is_refused(subtests: pytest.Subtests) -> None:
    ceremony, options = begin_sign_in()
    right = options["challenge"]
    for challenge in (f"{right}=", f" {right}", f"!{right}", f"{right}\n", [right]):
        with subtests.test(str(challenge)):
            passkey = HostilePasskey(client_members={"challenge": challenge})
            assert verify_assertion(PARTY, ceremony, passkey.get(options), key_of(passkey)) is None


# --------------------------------------------------------------------------------------------------- kind and purpose


@pytest.mark.parametrize("purpose", [CeremonyPurpose.SIGN_IN, CeremonyPurpose.SECOND_FACTOR, CeremonyPurpose.STEP_UP])
def test_a_registration_does_not_answer_a_ceremony_that_signs_in(purpose: CeremonyPurpose) -> None:
    passkey = honest()
    ceremony, options = begin_registration()
    assert verify_registration(PARTY, ceremony, passkey.create(options))
    assert verify_registration(PARTY, dataclasses.replace(ceremony, purpose=purpose), passkey.create(options)) is None


@pytest.mark.parametrize("purpose", [CeremonyPurpose.ADD, CeremonyPurpose.ENROLL])
def test_an_assertion_does_not_answer_a_ceremony_that_registers(purpose: CeremonyPurpose) -> None:
    passkey = honest()
    ceremony, options = begin_sign_in()
    assert verify_assertion(PARTY, ceremony, passkey.get(options), key_of(passkey))
    other = dataclasses.replace(ceremony, purpose=purpose)
    assert verify_assertion(PARTY, other, passkey.get(options), key_of(passkey)) is None


@pytest.mark.parametrize("type", ["webauthn.create", "webauthn.get", "payment.get", "WEBAUTHN.GET", "", 1, None])
def test_client_data_of_another_type_is_refused(type: object) -> None:
    passkey = HostilePasskey(client_members={"type": type})
    assert bool(register(passkey)) is (type == "webauthn.create")
    assert bool(sign_in(passkey)) is (type == "webauthn.get")


# -------------------------------------------------------------------------------------------- the token of a ceremony

ceremonies = st.builds(
    Ceremony.begin,
    st.sampled_from(CeremonyPurpose),
    st.floats(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    st.none() | st.uuids(),
    st.none() | st.binary(min_size=1),
    conditional=st.booleans(),
)


@given(ceremonies)
def test_a_token_keeps_the_ceremony(ceremony: Ceremony) -> None:
    token = ceremony.token(RING)
    assert Ceremony.of_token(RING, token) == ceremony
    assert token.startswith("mfap_")
    assert ceremony.token(RING) != token


@given(any_text)
def test_text_that_is_no_token_begins_no_ceremony(text: str) -> None:
    assert Ceremony.of_token(RING, text) is None
    assert Ceremony.of_token(RING, f"mfap_{text}") is None


@given(st.binary())
def test_bytes_that_are_not_sealed_begin_no_ceremony(content: bytes) -> None:
    for sealed in (content, KEY.id + content, KEY.id + bytes(12) + content):
        assert Ceremony.of_token(RING, "mfap_" + bytes_to_base64url(sealed)) is None


def test_a_token_that_was_changed_anywhere_begins_no_ceremony(subtests: pytest.Subtests) -> None:
    token = Ceremony.begin(CeremonyPurpose.SIGN_IN, NOW, uuid4(), b"session").token(RING)
    for at in range(len(token)):
        with subtests.test(str(at)):
            assert Ceremony.of_token(RING, token[:at] + ("B" if token[at] == "A" else "A") + token[at + 1 :]) is None
    assert Ceremony.of_token(RING, token[:-4]) is None
    assert Ceremony.of_token(RING, f"{token}=") is None
    assert Ceremony.of_token(RING, f"{token}\n") is None


def test_a_token_of_another_deployment_or_sealed_for_something_else_begins_no_ceremony() -> None:
    ceremony = Ceremony.begin(CeremonyPurpose.SIGN_IN, NOW)
    assert Ceremony.of_token(KeyRing([OTHER_KEY]), ceremony.token(RING)) is None
    sealed = seal(RING, "totp_devices.secret:1", b"{}")
    assert Ceremony.of_token(RING, "mfap_" + bytes_to_base64url(sealed)) is None


def test_a_token_of_an_older_key_counts_unless_the_key_leaked() -> None:
    """With a leaked key a thief could begin a ceremony whose challenge was answered before, and replay the answer."""
    ceremony = Ceremony.begin(CeremonyPurpose.SIGN_IN, NOW)
    assert Ceremony.of_token(KeyRing([OTHER_KEY, KEY]), ceremony.token(RING)) == ceremony
    assert Ceremony.of_token(KeyRing([OTHER_KEY, Key(KEY.material, decrypt_only=True)]), ceremony.token(RING)) is None


# ---------------------------------------------------------------------------------------------------- origin and RP ID


@pytest.mark.parametrize(
    "origin",
    [
        "http://login.example.com",
        "https://login.example.com:8443",
        "https://login.example.com/",
        "https://LOGIN.example.com",
        "https://example.com",
        "https://evil.login.example.com",
        "https://login.example.com.evil.example",
        "https://login.example.com@evil.example",
        "https://evil.example",
        "android:apk-key-hash:unlisted",
        APP.upper(),
        "null",
        "",
        [ORIGIN],
        None,
    ],
)
def test_an_answer_from_an_origin_that_is_not_listed_is_refused(origin: object) -> None:
    passkey = HostilePasskey(client_members={"origin": origin})
    assert register(passkey) is None
    assert sign_in(passkey) is None


@pytest.mark.parametrize("origin", [ORIGIN, APP])
def test_a_page_and_an_app_that_are_listed_may_use_passkeys(origin: str) -> None:
    passkey = SoftwarePasskey(origin)
    assert sign_in(passkey, key=registered(passkey))


@pytest.mark.parametrize("rp_id", ["login.example.com", "evil.example", "EXAMPLE.COM", ""])
def test_a_passkey_of_another_rp_id_is_refused(rp_id: str) -> None:
    passkey = HostilePasskey(rp_id=rp_id)
    assert register(passkey) is None
    assert sign_in(passkey) is None


@pytest.mark.parametrize(
    "members",
    [
        {"crossOrigin": True},
        {"crossOrigin": "true"},
        {"crossOrigin": 1},
        {"crossOrigin": True, "topOrigin": "https://evil.example"},
        {"topOrigin": "https://evil.example"},
        {"topOrigin": ORIGIN},
        {"crossOrigin": None, "topOrigin": False},
    ],
)
def test_an_answer_from_a_frame_is_refused(members: Json) -> None:
    passkey = HostilePasskey(client_members=members)
    assert register(passkey) is None
    assert sign_in(passkey) is None


def test_client_data_of_browsers_without_cross_origin_is_accepted() -> None:
    passkey = HostilePasskey(client_members={"crossOrigin": None})
    assert register(passkey)
    assert sign_in(passkey)


# ------------------------------------------------------------------------------------ user verification and presence


@pytest.mark.parametrize("verifies_user", [True, False])
def test_whether_the_user_was_verified_is_read_from_the_answer(verifies_user: bool) -> None:
    passkey = honest(verifies_user=verifies_user)
    new = register(passkey)
    assert new
    assert new.user_verified is verifies_user
    passkey.verifies_user = not verifies_user
    assertion = sign_in(passkey)
    assert assertion
    assert assertion.user_verified is not verifies_user


def test_an_answer_without_the_user_is_refused() -> None:
    passkey = honest(present=False)
    assert register(passkey) is None
    assert sign_in(passkey) is None


@pytest.mark.parametrize("present", [True, False])
def test_a_passkey_of_a_conditional_create_needs_no_presence_and_counts_as_not_verified(present: bool) -> None:
    new = register(honest(present=present), conditional=True)
    assert new
    assert not new.user_verified


# ------------------------------------------------------------------------------------------------------------- options


def test_the_options_of_a_registration() -> None:
    ceremony = Ceremony.begin(CeremonyPurpose.ADD, NOW)
    first = registered(honest())
    existing = [
        dataclasses.replace(first, credential_id=b"first", transports=("usb", "nfc")),
        dataclasses.replace(first, credential_id=b"second", transports=()),
    ]
    options = registration_options(PARTY, ceremony, handle=HANDLE, username="alice", existing=existing)
    assert options == {
        "rp": {"id": "example.com", "name": "Example"},
        "user": {"id": bytes_to_base64url(HANDLE), "name": "alice", "displayName": "alice"},
        "challenge": bytes_to_base64url(ceremony.challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in (-8, -7, -257)],
        "timeout": 300_000,
        "excludeCredentials": [
            {"type": "public-key", "id": bytes_to_base64url(b"first"), "transports": ["usb", "nfc"]},
            {"type": "public-key", "id": bytes_to_base64url(b"second")},
        ],
        "authenticatorSelection": {
            "residentKey": "preferred",
            "requireResidentKey": False,
            "userVerification": "preferred",
        },
        "attestation": "none",
        "extensions": {"credProps": True},
    }
    assert json.loads(json.dumps(options)) == options
    assert len(HANDLE) == HANDLE_BYTES


@pytest.mark.parametrize(("verification", "expected"), [(True, "required"), (False, "preferred")])
def test_the_options_of_a_sign_in(verification: bool, expected: str) -> None:
    ceremony = Ceremony.begin(CeremonyPurpose.SECOND_FACTOR, NOW)
    allowed = dataclasses.replace(registered(honest()), credential_id=b"first", transports=("usb",))
    options = authentication_options(PARTY, ceremony, allowed=[allowed], verification=verification)
    assert options == {
        "challenge": bytes_to_base64url(ceremony.challenge),
        "timeout": 300_000,
        "rpId": "example.com",
        "allowCredentials": [{"type": "public-key", "id": bytes_to_base64url(b"first"), "transports": ["usb"]}],
        "userVerification": expected,
    }


# ---------------------------------------------------------------------------------------------------------- algorithms


def ec_key(curve: ec.EllipticCurve, size: int) -> tuple[bytes, bytes]:
    numbers = ec.generate_private_key(curve).public_key().public_numbers()
    return numbers.x.to_bytes(size), numbers.y.to_bytes(size)


X, Y = ec_key(ec.SECP256R1(), 32)
# Not products of two primes, which isn't checked.
MODULUS, LARGEST_MODULUS, LONG_MODULUS = ((2**bits - 1).to_bytes((bits + 7) // 8) for bits in (2048, 4096, 4097))
ED25519_X = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")  # RFC 8032 7.1

SOUND_KEYS = {
    "P-256": {1: 2, 3: -7, -1: 1, -2: X, -3: Y},
    "Ed25519": {1: 1, 3: -8, -1: 6, -2: ED25519_X},
    "RSA of 2,048 bits": {1: 3, 3: -257, -1: MODULUS, -2: b"\1\0\1"},
    "RSA of 4,096 bits": {1: 3, 3: -257, -1: LARGEST_MODULUS, -2: b"\1\0\1"},
    "RSA with the largest exponent": {1: 3, 3: -257, -1: MODULUS, -2: b"\xff" * 8},
}
UNSOUND_KEYS: dict[str, Any] = {
    "no map": [1, 2],
    "empty": {},
    "a U2F key": b"\x04" + X + Y,
    "P-256 with a point off the curve": {1: 2, 3: -7, -1: 1, -2: X, -3: Y[:-1] + bytes([Y[-1] ^ 1])},
    "P-256 with the point 0, 0": {1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)},
    "P-256 with a coordinate above the prime": {1: 2, 3: -7, -1: 1, -2: b"\xff" * 32, -3: Y},
    "P-256 with a compressed point": {1: 2, 3: -7, -1: 1, -2: X, -3: True},
    "P-256 with a short coordinate": {1: 2, 3: -7, -1: 1, -2: X[1:], -3: Y},
    "P-256 with a long coordinate": {1: 2, 3: -7, -1: 1, -2: b"\0" + X, -3: Y},
    "P-256 with a byte of y in x": {1: 2, 3: -7, -1: 1, -2: X + Y[:1], -3: Y[1:]},
    "P-256 with numbers": {1: 2, 3: -7, -1: 1, -2: int.from_bytes(X), -3: int.from_bytes(Y)},
    "P-256 as secp256k1": {1: 2, 3: -7, -1: 8, -2: X, -3: Y},
    "P-256 without y": {1: 2, 3: -7, -1: 1, -2: X},
    "P-256 as ES384": {1: 2, 3: -35, -1: 1, -2: X, -3: Y},
    "P-256 as ES512": {1: 2, 3: -36, -1: 1, -2: X, -3: Y},
    "P-256 as EdDSA": {1: 2, 3: -8, -1: 1, -2: X, -3: Y},
    "P-256 as RS256": {1: 2, 3: -257, -1: 1, -2: X, -3: Y},
    "P-256 without an algorithm": {1: 2, -1: 1, -2: X, -3: Y},
    "P-256 as an octet key pair": {1: 1, 3: -7, -1: 1, -2: X, -3: Y},
    "P-384 as ES256": dict(zip((1, 3, -1, -2, -3), (2, -7, 2, *ec_key(ec.SECP384R1(), 48)), strict=True)),
    "P-384 as P-256": dict(zip((1, 3, -1, -2, -3), (2, -7, 1, *ec_key(ec.SECP384R1(), 48)), strict=True)),
    "secp256k1 as P-256": dict(zip((1, 3, -1, -2, -3), (2, -7, 1, *ec_key(ec.SECP256K1(), 32)), strict=True)),
    "Ed25519 of 31 bytes": {1: 1, 3: -8, -1: 6, -2: ED25519_X[1:]},
    "Ed25519 of 33 bytes": {1: 1, 3: -8, -1: 6, -2: ED25519_X + b"\0"},
    "Ed25519 without a key": {1: 1, 3: -8, -1: 6, -2: b""},
    "Ed25519 off the curve": {1: 1, 3: -8, -1: 6, -2: b"\2" + bytes(31)},
    "Ed25519 above the prime": {1: 1, 3: -8, -1: 6, -2: (2**255 - 16).to_bytes(32, "little")},
    "Ed25519 as ES256": {1: 1, 3: -7, -1: 6, -2: ED25519_X},
    "Ed25519 as X25519": {1: 1, 3: -8, -1: 4, -2: ED25519_X},
    "Ed448": {1: 1, 3: -8, -1: 7, -2: bytes(57)},
    "RSA of 3 bits": {1: 3, 3: -257, -1: b"\x07", -2: b"\x03"},
    "RSA of 1,024 bits": {1: 3, 3: -257, -1: (2**1024 - 1).to_bytes(128), -2: b"\1\0\1"},
    "RSA of 2,047 bits": {1: 3, 3: -257, -1: (2**2047 - 1).to_bytes(256), -2: b"\1\0\1"},
    "RSA of 4,097 bits": {1: 3, 3: -257, -1: LONG_MODULUS, -2: b"\1\0\1"},
    "RSA padded to a megabit": {1: 3, 3: -257, -1: bytes(2**17) + MODULUS, -2: b"\1\0\1"},
    "RSA with an even modulus": {1: 3, 3: -257, -1: (2**2048 - 2).to_bytes(256), -2: b"\1\0\1"},
    "RSA with the exponent 1": {1: 3, 3: -257, -1: MODULUS, -2: b"\1"},
    "RSA with the exponent 3": {1: 3, 3: -257, -1: MODULUS, -2: b"\3"},
    "RSA with an even exponent": {1: 3, 3: -257, -1: MODULUS, -2: b"\1\0\2"},
    "RSA with a huge exponent": {1: 3, 3: -257, -1: MODULUS, -2: b"\1" + bytes(7) + b"\1"},
    "RSA as RS1": {1: 3, 3: -65535, -1: MODULUS, -2: b"\1\0\1"},
    "RSA as PS256": {1: 3, 3: -37, -1: MODULUS, -2: b"\1\0\1"},
    "ML-DSA": {1: 7, 3: -48, -1: bytes(1312)},
}


@pytest.mark.parametrize("name", SOUND_KEYS)
def test_a_sound_key_registers(name: str) -> None:
    new = register(honest(), with_key(SOUND_KEYS[name]))
    assert new
    assert new.public_key == encode_cbor(SOUND_KEYS[name])


@pytest.mark.parametrize("name", UNSOUND_KEYS)
def test_a_key_that_was_not_offered_or_is_not_sound_does_not_register(name: str) -> None:
    assert register(honest(), with_key(UNSOUND_KEYS[name])) is None


def small_order_points() -> list[bytes]:
    """All encodings of the eight points, those that RFC 8032 forbids too."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    root = pow(1 + d, (p + 3) // 8, p)
    root = root if root * root % p == (1 + d) % p else root * pow(2, (p - 1) // 4, p) % p
    squares = [(sign * root - 1) * pow(d, -1, p) % p for sign in (1, -1)]  # of y, where d * y^4 + 2 * y^2 = 1
    eighth = []
    for square in squares:
        y = pow(square, (p + 3) // 8, p)
        y = y if y * y % p == square else y * pow(2, (p - 1) // 4, p) % p
        eighth += [y, p - y] if y * y % p == square else []
    ys = [0, 1, p - 1, p, p + 1, *eighth]
    return [(y | sign << 255).to_bytes(32, "little") for y in ys for sign in (0, 1)]


def test_an_ed25519_key_for_which_anyone_can_sign_does_not_register(subtests: pytest.Subtests) -> None:
    forged, forgeable = b"\1" + bytes(63), 0
    points = small_order_points()
    assert len(set(points)) == 14
    for x in points:
        with subtests.test(x.hex()):
            for message in range(200):
                try:
                    Ed25519PublicKey.from_public_bytes(x).verify(forged, message.to_bytes(2))
                except InvalidSignature:
                    continue
                forgeable += 1
                break
            assert register(honest(), with_key({1: 1, 3: -8, -1: 6, -2: x})) is None
    assert forgeable >= 8


class RsaPasskey(SoftwarePasskey):
    """As Windows Hello makes them."""

    def __init__(self) -> None:
        super().__init__(ORIGIN)
        self.rsa = rsa.generate_private_key(65537, 2048)

    def cose_key(self) -> dict[int, Any]:
        n = self.rsa.public_key().public_numbers().n
        return {1: 3, 3: -257, -1: n.to_bytes(256), -2: b"\1\0\1"}

    def sign(self, data: bytes) -> bytes:
        return self.rsa.sign(data, PKCS1v15(), SHA256())


def test_an_rsa_key_registers_and_signs_in() -> None:
    passkey = RsaPasskey()
    assert sign_in(passkey, key=registered(passkey))
    assert sign_in(passkey, key=registered(honest())) is None


def test_unneeded_members_of_a_key_are_not_stored(passkey: SoftwarePasskey) -> None:
    new = register(passkey, with_key(passkey.cose_key() | {2: b"key id", 4: [2], -70000: bytes(10_000)}))
    assert new
    assert new.public_key == encode_cbor(passkey.cose_key())


def test_a_signature_of_another_key_is_refused(passkey: SoftwarePasskey) -> None:
    key = registered(passkey)
    passkey.key = honest(algorithm="EdDSA" if passkey.algorithm == -8 else "ES256").key
    assert sign_in(passkey, key=key) is None


def test_an_answer_of_which_any_signed_byte_was_changed_is_refused(subtests: pytest.Subtests) -> None:
    passkey = honest()
    ceremony, options = begin_sign_in()
    answer, key = passkey.get(options), key_of(passkey)
    assert verify_assertion(PARTY, ceremony, answer, key)
    for member in ("clientDataJSON", "authenticatorData", "signature"):
        value = base64url_to_bytes(answer["response"][member])
        for at in range(len(value)):
            changed = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
            with subtests.test(member, at=at):
                forged = with_members({f"response.{member}": bytes_to_base64url(changed)})(answer)
                assert verify_assertion(PARTY, ceremony, forged, key) is None


# --------------------------------------------------------------------------------- attestation, members, extensions


@pytest.mark.parametrize(
    "fmt", ["packed", "tpm", "android-key", "android-safetynet", "fido-u2f", "apple", "none", "compound", "", 7, None]
)
@pytest.mark.parametrize(
    "statement",
    [{}, {"alg": -7, "sig": b"wrong"}, {"x5c": [b"no certificate"], "sig": b"", "alg": 0}, {"response": b"."}, [], 1],
)
def test_an_attestation_statement_is_not_read(fmt: object, statement: object) -> None:
    assert register(honest(), with_attestation(fmt=fmt, attStmt=statement))


def test_members_that_browsers_add_are_ignored() -> None:
    added = with_members(
        {
            "authenticatorAttachment": "hovering",
            "clientExtensionResults": {"prf": {"enabled": True}, "credProps": {"authenticatorDisplayName": "x"}},
            "future": [{}],
            "response.future": {"a": 1},
            "response.userHandle": "not base64url!",
        }
    )
    passkey = HostilePasskey(client_members={"future": {}, "extraData": "x", "tokenBinding": {"status": "supported"}})
    new = register(passkey, added)
    assert new
    assert new.discoverable is None
    assert sign_in(passkey, added)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ({"credProps": {"rk": True}}, True),
        ({"credProps": {"rk": False}}, False),
        ({"credProps": {"rk": "true"}}, None),
        ({"credProps": {}}, None),
        ({"credProps": [True]}, None),
        ({}, None),
        ([], None),
    ],
)
def test_whether_a_passkey_is_discoverable_is_unknown_unless_the_client_said_so(
    results: object, expected: bool | None
) -> None:
    new = register(honest(), with_members({"clientExtensionResults": results}))
    assert new
    assert new.discoverable is expected


@pytest.mark.parametrize(
    ("transports", "expected"),
    [(["usb", "nfc", "usb", "teleport", 1, {}], ("nfc", "usb")), ([], ()), ("usb", ()), ({"usb": 1}, ()), (None, ())],
)
def test_unknown_transports_are_left_out(transports: object, expected: tuple[str, ...]) -> None:
    new = register(honest(), with_members({"response.transports": transports}))
    assert new
    assert new.transports == expected


def test_extensions_of_the_authenticator_are_ignored(subtests: pytest.Subtests) -> None:
    several: list[Json] = [{}, {"credProtect": 2}, {"hmac-secret": b"\xd8\x1d" * 32, "uvm": [[2, 4, 2]]}]
    for extensions in several:
        with subtests.test(str(extensions)):
            encoded = encode_cbor(extensions)
            passkey = HostilePasskey(flipped=ED, appended=encoded)
            assert sign_in(passkey)
            passkey.appended = b""
            new = register(passkey, with_appended(encoded))
            assert new
            assert new.public_key == encode_cbor(passkey.cose_key())


def references(depth: int) -> bytes:
    """CBOR that is short, and has 2 ** depth items once its references are followed (tags 28 and 29)."""
    closing = b"".join(b"\xd8\x1d" + encode_cbor(index) for index in range(depth, 0, -1))
    return b"\xd8\x1c\x82" * depth + b"\xd8\x1c\x80" + closing


def test_references_that_multiply_content_are_not_followed(subtests: pytest.Subtests) -> None:
    """py_webauthn 3.0.1 encodes extensions and keys again: an answer of 200 bytes would keep it busy for seconds."""
    bomb, passkey = references(24), honest()
    with subtests.test("extensions of a registration"):
        assert register(HostilePasskey(flipped=ED), with_appended(bomb)) is None
    with subtests.test("members of a key"):
        key = b"\xa6" + encode_cbor(passkey.cose_key())[1:] + b"\x05" + bomb
        assert register(passkey, with_key(key)) is None
    with subtests.test("a key"):
        assert register(passkey, with_key(bomb)) is None
    with subtests.test("extensions of an assertion"):
        assert sign_in(HostilePasskey(flipped=ED, appended=bomb)) is None
        assert sign_in(HostilePasskey(flipped=ED, appended=b"\xa1\x61x" + bomb)) is None
    with subtests.test("attested credential data of an assertion"):
        attested = bytes(16) + b"\0\1x" + bomb
        assert sign_in(HostilePasskey(flipped=AT, appended=attested)) is None


def test_maps_whose_keys_collide_are_not_decoded() -> None:
    """The hashes of -1 and -2 are equal, and so are those of lists of them. Decoding four times as many takes 150 ms,
    during which the transaction keeps the database locked.
    """
    lists = product((b"\x20", b"\x21"), repeat=10)
    keys = [b"\x8a" + b"".join(items) for items in lists]
    slow, passkey = b"\xb9" + len(keys).to_bytes(2) + b"\0".join(keys) + b"\0", honest()
    assert sign_in(HostilePasskey(flipped=ED, appended=slow)) is None
    assert register(passkey, with_key(b"\xa6" + encode_cbor(passkey.cose_key())[1:] + b"\x05" + slow)) is None


@pytest.mark.parametrize(("items", "is_accepted"), [(255, True), (256, False)])
def test_extensions_of_many_items_are_refused(items: int, is_accepted: bool) -> None:
    passkey = HostilePasskey(flipped=ED, appended=encode_cbor([0] * items))
    assert (sign_in(passkey) is not None) is is_accepted


def test_authenticator_data_of_another_length_is_refused() -> None:
    assert register(honest(), with_data(lambda data: data[:54])) is None
    assert register(honest(), with_data(lambda data: data[:80])) is None
    assert register(honest(), with_attestation(authData=2**31)) is None, "bytes(2**31) takes 2 GiB"
    assert register(honest(), with_attestation(authData=[0] * 200)) is None
    assert register(HostilePasskey(flipped=AT)) is None
    assert sign_in(HostilePasskey(appended=b"\0")) is None
    assert sign_in(HostilePasskey(flipped=ED)) is None
    data = honest().authenticator_data(PARTY.id)
    for length in (0, 32, 36):
        short = with_members({"response.authenticatorData": bytes_to_base64url(data[:length])})
        assert sign_in(honest(), short) is None


# ------------------------------------------------------------------------------------------------------ credential ids


@pytest.mark.parametrize(
    "members",
    [
        {"id": bytes_to_base64url(b"other")},
        {"rawId": bytes_to_base64url(b"other")},
        {"id": bytes_to_base64url(b"other"), "rawId": bytes_to_base64url(b"other")},
        {"id": None},
        {"rawId": None},
        {"id": "", "rawId": ""},
        {"id": 1, "rawId": 1},
        {"id": ["x"], "rawId": ["x"]},
        {"type": "password"},
        {"type": None},
        {"response": None},
        {"response": []},
        {"response.clientDataJSON": None},
        {"response.clientDataJSON": {}},
    ],
)
def test_an_answer_whose_ids_or_members_disagree_is_refused(members: Json) -> None:
    passkey = honest()
    assert register(passkey, with_members(members)) is None
    assert sign_in(passkey, with_members(members)) is None


@pytest.mark.parametrize("suffix", ["=", "==", "\n", " ", "A", "AAA", "+", "/", "é", "\ud800"])
def test_an_id_that_only_decodes_to_the_right_one_is_refused(suffix: str) -> None:
    passkey = honest()
    change = with_members(dict.fromkeys(["id", "rawId"], bytes_to_base64url(passkey.id) + suffix))
    assert register(passkey, change) is None
    assert sign_in(passkey, change) is None


def test_the_passkey_of_an_answer_is_the_one_that_it_is_verified_with() -> None:
    passkey, other = honest(), honest()
    assert sign_in(passkey, key=dataclasses.replace(key_of(passkey), credential_id=other.id)) is None


@pytest.mark.parametrize(("length", "is_accepted"), [(1, True), (1023, True), (1024, False), (0, False)])
def test_a_credential_id_that_is_too_long_or_empty_does_not_register(length: int, is_accepted: bool) -> None:
    passkey = honest()
    passkey.id = bytes(length)
    ceremony, options = begin_registration()
    answer = passkey.create(options)
    assert bool(verify_registration(PARTY, ceremony, answer)) is is_accepted
    assert (credential_id_of(answer) == passkey.id) is is_accepted


def test_the_id_and_the_handle_are_read_from_an_answer() -> None:
    passkey = honest()
    registered(passkey)
    _, options = begin_sign_in()
    answer = passkey.get(options)
    assert credential_id_of(answer) == passkey.id
    assert user_handle_of(answer) == HANDLE
    passkey.discoverable = False
    assert user_handle_of(passkey.get(options)) is None
    several: list[object] = [
        None,
        [],
        "x",
        {"response": None},
        {"response": {"userHandle": 1}},
        {"id": {}, "rawId": {}},
    ]
    for hostile in several:
        assert credential_id_of(hostile) is None
        assert user_handle_of(hostile) is None


# -------------------------------------------------------------------------------------------- counter and backup flags


@pytest.mark.parametrize(
    ("stored", "answered", "went_back"),
    [
        (0, 0, False),
        (0, 1, False),
        (5, 6, False),
        (5, 2**32 - 2, False),
        (5, 5, True),
        (5, 4, True),
        (5, 0, True),
        (2**32 - 1, 0, True),
    ],
)
def test_a_counter_that_went_back_is_reported_after_the_signature_was_checked(
    stored: int, answered: int, went_back: bool
) -> None:
    passkey = honest(counter=answered - 1) if answered else honest()
    key = key_of(passkey, stored)
    assertion = sign_in(passkey, key=key)
    assert assertion
    assert (assertion.sign_count, assertion.counter_went_back) == (answered, went_back)
    assert sign_in(passkey, with_members({"response.signature": "AAAA"}), key=key) is None


def test_the_counter_of_a_registration_is_kept() -> None:
    assert registered(honest(counter=7)).sign_count == 7


@pytest.mark.parametrize("synced", [True, False])
def test_a_passkey_whose_backup_eligibility_changed_is_refused(synced: bool) -> None:
    passkey = HostilePasskey(synced=synced)
    key = key_of(passkey)
    assert sign_in(passkey, key=key)
    passkey.synced = not synced
    assert sign_in(passkey, key=key) is None


def test_a_backup_of_a_passkey_that_can_have_none_is_refused() -> None:
    passkey = HostilePasskey(flipped=BS)
    assert register(passkey) is None
    assert sign_in(passkey) is None


@pytest.mark.parametrize("backed_up", [True, False])
def test_whether_a_synced_passkey_has_a_backup_is_read_from_each_answer(backed_up: bool) -> None:
    passkey = HostilePasskey(synced=True, flipped=0 if backed_up else BS)
    new = register(passkey)
    assert new
    assert (new.backup_eligible, new.backed_up) == (True, backed_up)
    passkey.flipped ^= BS
    assertion = sign_in(passkey)
    assert assertion
    assert assertion.backed_up is not backed_up


def test_reserved_flags_are_ignored() -> None:
    passkey = HostilePasskey(flipped=0x22)
    assert register(passkey)
    assert sign_in(passkey)
    assert UP | UV | BE | BS | AT | ED | 0x22 == 0xFF


# ------------------------------------------------------------------------------------------------------------ the rest


def test_an_unknown_passkey_is_verified_with_a_key_that_nobody_has() -> None:
    passkey = honest()
    decoy = decoy_key(passkey.id)
    assert decoy.credential_id == passkey.id
    assert sign_in(passkey, key=decoy) is None
    assert register(passkey, with_key(decoy.public_key)), "it can be loaded, so the signature was checked"


HOSTILE: list[Any] = [True, 0, 1.5, "", "x", [], {}, [[]], {"response": {}}, "\ud800", 10**400, [{"id": 1}]]


@pytest.mark.parametrize("path", ["id", "rawId", "type", "response", "response.clientDataJSON"])
def test_no_value_in_an_answer_raises(path: str, subtests: pytest.Subtests) -> None:
    for value in HOSTILE:
        with subtests.test(repr(value)[:20]):
            assert register(honest(), with_members({path: value})) is None
            assert sign_in(honest(), with_members({path: value})) is None


def test_no_value_in_place_of_an_answer_raises(subtests: pytest.Subtests) -> None:
    (registration, _), (ceremony, _) = begin_registration(), begin_sign_in()
    for value in [None, *HOSTILE]:
        with subtests.test(repr(value)[:20]):
            assert verify_registration(PARTY, registration, value) is None
            assert verify_assertion(PARTY, ceremony, value, decoy_key(b"")) is None


@pytest.mark.parametrize(
    "client_data",
    [
        b"",
        b"\0",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"type": "webauthn.get"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 5000,
        '{"type": "webauthn.get"}'.encode("utf-16"),
    ],
)
def test_malformed_client_data_is_refused(client_data: bytes) -> None:
    change = with_members({"response.clientDataJSON": bytes_to_base64url(client_data)})
    assert register(honest(), change) is None
    assert sign_in(honest(), change) is None


def test_the_kinds_of_authenticators_have_names_that_a_passkey_may_have(subtests: pytest.Subtests) -> None:
    for aaguid, name in json.loads(files("graphql_mfa.core").joinpath("authenticators.json").read_text())[
        "names"
    ].items():
        with subtests.test(name, aaguid=aaguid):
            assert parse_factor_name(name) == name
            assert authenticator_name(UUID(aaguid)) == name
    assert authenticator_name(UUID("bada5566-a7aa-401f-bd96-45619a55120d")) == "1Password"
    assert authenticator_name(UUID("2fc0579f-8113-47ea-b116-bb5a8db9202a")) == "YubiKey 5 NFC"
    assert authenticator_name(UUID(int=0)) is None
    assert authenticator_name(uuid4()) is None


def test_the_library_is_not_loaded_before_a_passkey_is_used() -> None:
    code = "import sys, graphql_mfa.core.passkeys; print('webauthn' in sys.modules, 'cbor2' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded == "False False\n"


def test_a_relying_party_of_localhost_is_served_without_https() -> None:
    party = RelyingParty("localhost", "Example", ("http://localhost:8000",))
    passkey = SoftwarePasskey()
    ceremony = Ceremony.begin(CeremonyPurpose.ENROLL, NOW)
    options = registration_options(party, ceremony, handle=HANDLE, username="alice", existing=[])
    assert verify_registration(party, ceremony, passkey.create(options))
