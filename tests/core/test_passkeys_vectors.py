"""The test vectors of WebAuthn Level 3, section 16, and what this server makes of them.

test_passkeys_vectors.json has their values, of index.bs at commit 146d0db of https://github.com/w3c/webauthn
(2026-07-30): the RP ID is example.org, the origin https://example.org.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from webauthn import verify_authentication_response
from webauthn.helpers import bytes_to_base64url, encode_cbor, parse_cbor

from graphql_mfa.core.passkeys import (
    Assertion,
    Ceremony,
    CeremonyPurpose,
    CredentialRecord,
    PasskeyKey,
    RelyingParty,
    verify_assertion,
    verify_registration,
)

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text())
PARTY = RelyingParty("example.org", "Example", ("https://example.org",))
# P-384, P-521 and Ed448 are not offered.
NOT_OFFERED = {"packed-es384", "packed-es512", "packed-ed448"}
IN_FRAMES = {"none-es256-crossOrigin", "none-es256-topOrigin"}
ACCEPTED = set(VECTORS) - NOT_OFFERED - IN_FRAMES
UV, BE, BS = 0x04, 0x08, 0x10


def credential(name: str, ceremony: str) -> dict[str, Any]:
    credential_id = bytes_to_base64url(bytes.fromhex(VECTORS[name]["credential_id"]))
    members = {
        member: bytes_to_base64url(bytes.fromhex(value))
        for member, value in VECTORS[name][ceremony].items()
        if member != "challenge"
    }
    return {
        "id": credential_id,
        "rawId": credential_id,
        "type": "public-key",
        "response": members,
        "clientExtensionResults": {},
    }


def ceremony_of(name: str, purpose: CeremonyPurpose) -> Ceremony:
    step = "registration" if purpose.registers else "authentication"
    challenge = bytes.fromhex(VECTORS[name][step]["challenge"])
    return Ceremony(purpose, challenge, datetime(2026, 1, 1, tzinfo=UTC))


def register(name: str) -> CredentialRecord | None:
    return verify_registration(PARTY, ceremony_of(name, CeremonyPurpose.ADD), credential(name, "registration"))


def sign_in(name: str, key: PasskeyKey) -> Assertion | None:
    return verify_assertion(PARTY, ceremony_of(name, CeremonyPurpose.SIGN_IN), credential(name, "authentication"), key)


def authenticator_data(name: str) -> bytes:
    attestation = parse_cbor(bytes.fromhex(VECTORS[name]["registration"]["attestationObject"]))
    data: bytes = attestation["authData"]
    return data


def key_in(name: str) -> PasskeyKey:
    """The key of the registration, checked or not."""
    data = authenticator_data(name)
    credential_id = bytes.fromhex(VECTORS[name]["credential_id"])
    key = encode_cbor(parse_cbor(data[55 + len(credential_id) :]))
    return PasskeyKey(credential_id, key, 0, backup_eligible=bool(data[32] & BE))


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_a_passkey_of_the_specification_registers_and_signs_in(name: str) -> None:
    """Section 16.2, and each section to 16.16 whose algorithm is offered; statements of all formats are not read."""
    data = authenticator_data(name)
    passkey = register(name)
    assert passkey
    assert passkey.credential_id.hex() == VECTORS[name]["credential_id"]
    assert passkey.public_key == key_in(name).public_key
    assert passkey.aaguid == UUID(bytes=data[37:53])
    assert passkey.sign_count == 0
    assert (passkey.user_verified, passkey.backup_eligible, passkey.backed_up) == tuple(
        bool(data[32] & flag) for flag in (UV, BE, BS)
    )

    assertion = sign_in(name, passkey)

    flags = bytes.fromhex(VECTORS[name]["authentication"]["authenticatorData"])[32]
    assert assertion == Assertion(
        sign_count=0, user_verified=bool(flags & UV), backed_up=bool(flags & BS), counter_went_back=False
    )


@pytest.mark.parametrize("name", sorted(NOT_OFFERED))
def test_a_passkey_of_an_algorithm_that_was_not_offered_does_not_register(name: str) -> None:
    """Sections 16.8, 16.9 and 16.12."""
    assert register(name) is None


@pytest.mark.parametrize("name", sorted(IN_FRAMES))
def test_a_passkey_that_was_used_in_a_frame_of_another_origin_is_refused(name: str) -> None:
    """Sections 16.4 and 16.5, whose signatures are right."""
    ceremony, key = ceremony_of(name, CeremonyPurpose.SIGN_IN), key_in(name)
    assert verify_authentication_response(
        credential=credential(name, "authentication"),
        expected_challenge=ceremony.challenge,
        expected_rp_id=PARTY.id,
        expected_origin=list(PARTY.origins),
        credential_public_key=key.public_key,
        credential_current_sign_count=0,
    )
    assert register(name) is None
    assert sign_in(name, key) is None


def test_a_passkey_of_the_specification_does_not_answer_for_another(subtests: pytest.Subtests) -> None:
    for name in sorted(ACCEPTED):
        with subtests.test(name):
            other = next(each for each in sorted(ACCEPTED) if each != name)
            stolen = PasskeyKey(key_in(name).credential_id, key_in(other).public_key, 0, key_in(name).backup_eligible)
            assert sign_in(name, key_in(name))
            assert sign_in(name, stolen) is None
