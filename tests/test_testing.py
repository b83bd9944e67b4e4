"""The software authenticator answers as WebAuthn says: py_webauthn and a browser's rules accept what it makes."""

import copy
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from fastapi import FastAPI
from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import parse_cbor
from webauthn.helpers.exceptions import InvalidAuthenticationResponse, InvalidRegistrationResponse
from webauthn.helpers.structs import CredentialDeviceType
from webauthn.registration.verify_registration_response import VerifiedRegistration

from graphql_mfa.testing import SoftwarePasskey
from tests.conftest import Connect
from tests.passkeys import PASSKEYS, add_passkey

ORIGIN, RP_ID = "https://login.example.com", "example.com"
Options = dict[str, Any]


def creation_options() -> Options:
    options: Options = json.loads(
        options_to_json(generate_registration_options(rp_id=RP_ID, rp_name="Example", user_name="alice"))
    )
    return options


def request_options() -> Options:
    options: Options = json.loads(options_to_json(generate_authentication_options(rp_id=RP_ID)))
    return options


def register(passkey: SoftwarePasskey, *, verification: bool = False) -> VerifiedRegistration:
    options = creation_options()
    return verify_registration_response(
        credential=json.dumps(passkey.create(options)),
        expected_challenge=base64url_to_bytes(options["challenge"]),
        expected_rp_id=RP_ID,
        expected_origin=ORIGIN,
        require_user_verification=verification,
    )


def sign_in(
    passkey: SoftwarePasskey, public_key: bytes, *, sign_count: int = 0, verification: bool = False
) -> VerifiedAuthentication:
    options = request_options()
    return verify_authentication_response(
        credential=json.dumps(passkey.get(options)),
        expected_challenge=base64url_to_bytes(options["challenge"]),
        expected_rp_id=RP_ID,
        expected_origin=ORIGIN,
        credential_public_key=public_key,
        credential_current_sign_count=sign_count,
        require_user_verification=verification,
    )


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_every_kind_of_passkey_registers_and_signs_in(
    algorithm: Literal["ES256", "EdDSA"], subtests: pytest.Subtests
) -> None:
    for discoverable, verifies_user, synced in itertools.product([True, False], repeat=3):
        with subtests.test(f"discoverable={discoverable}, verifies_user={verifies_user}, synced={synced}"):
            passkey = SoftwarePasskey(
                ORIGIN, algorithm=algorithm, discoverable=discoverable, verifies_user=verifies_user, synced=synced
            )
            registration = register(passkey)
            assertion = sign_in(passkey, registration.credential_public_key)
            assert registration.credential_id == assertion.credential_id == passkey.id
            device = CredentialDeviceType.MULTI_DEVICE if synced else CredentialDeviceType.SINGLE_DEVICE
            for verified in (registration, assertion):
                assert verified.user_verified is verifies_user
                assert verified.credential_device_type is device
                assert verified.credential_backed_up is synced


def test_user_verification_that_did_not_happen_is_noticed() -> None:
    passkey = SoftwarePasskey(ORIGIN)
    key = register(passkey, verification=True).credential_public_key
    assert sign_in(passkey, key, verification=True)
    passkey.verifies_user = False
    with pytest.raises(InvalidRegistrationResponse, match="verification"):
        register(passkey, verification=True)
    with pytest.raises(InvalidAuthenticationResponse, match="verification"):
        sign_in(passkey, key, verification=True)


def test_a_user_who_is_not_present_is_noticed() -> None:
    passkey = SoftwarePasskey(ORIGIN)
    key = register(passkey).credential_public_key
    passkey.present = False
    with pytest.raises(InvalidRegistrationResponse, match="presence"):
        register(passkey)
    with pytest.raises(InvalidAuthenticationResponse, match="present"):
        sign_in(passkey, key)


def test_a_counter_counts_signatures_and_that_of_a_clone_goes_back() -> None:
    passkey = SoftwarePasskey(ORIGIN, counter=5)
    registration = register(passkey)
    assert registration.sign_count == 5
    clone = copy.copy(passkey)
    key = registration.credential_public_key
    assert [sign_in(passkey, key, sign_count=count).new_sign_count for count in (5, 6)] == [6, 7]
    with pytest.raises(InvalidAuthenticationResponse, match="sign count of 6"):
        sign_in(clone, key, sign_count=7)


def test_a_passkey_without_a_counter_stays_at_zero() -> None:
    passkey = SoftwarePasskey(ORIGIN)
    key = register(passkey).credential_public_key
    assert [sign_in(passkey, key).new_sign_count for _ in range(2)] == [0, 0]


def test_two_passkeys_have_different_ids_and_keys() -> None:
    passkey, other = SoftwarePasskey(ORIGIN), SoftwarePasskey(ORIGIN)
    assert passkey.id != other.id
    key = register(passkey).credential_public_key
    with pytest.raises(InvalidAuthenticationResponse, match="signature"):
        sign_in(other, key)


def test_a_page_at_another_origin_is_noticed() -> None:
    with pytest.raises(InvalidRegistrationResponse, match="origin"):
        register(SoftwarePasskey("https://evil.example"))


def test_the_kind_of_authenticator_is_reported() -> None:
    kind = UUID("bada5566-a7aa-401f-bd96-45619a55120d")
    assert UUID(register(SoftwarePasskey(ORIGIN, aaguid=kind)).aaguid) == kind
    assert UUID(register(SoftwarePasskey(ORIGIN)).aaguid) == UUID(int=0)


@pytest.mark.parametrize("discoverable", [True, False])
def test_only_a_discoverable_passkey_names_the_account(discoverable: bool) -> None:
    passkey = SoftwarePasskey(ORIGIN, discoverable=discoverable)
    options = creation_options()
    created = passkey.create(options | {"extensions": {"credProps": True}})
    assert created["clientExtensionResults"] == {"credProps": {"rk": discoverable}}
    handle = passkey.get(request_options())["response"].get("userHandle")
    assert handle == (options["user"]["id"] if discoverable else None)


def test_extensions_that_were_not_asked_for_are_not_answered() -> None:
    assert SoftwarePasskey(ORIGIN).create(creation_options())["clientExtensionResults"] == {}


@pytest.mark.parametrize(
    ("algorithm", "number", "kind"), [("ES256", -7, EllipticCurvePublicKey), ("EdDSA", -8, Ed25519PublicKey)]
)
def test_a_registration_has_the_members_of_to_json(
    algorithm: Literal["ES256", "EdDSA"], number: int, kind: type
) -> None:
    passkey = SoftwarePasskey(ORIGIN, algorithm=algorithm)
    answer = passkey.create(creation_options())
    response = answer["response"]
    assert response["publicKeyAlgorithm"] == number
    key = load_der_public_key(base64url_to_bytes(response["publicKey"]))
    assert isinstance(key, kind)
    assert key == passkey.key.public_key()
    attestation = parse_cbor(base64url_to_bytes(response["attestationObject"]))
    assert attestation["authData"] == base64url_to_bytes(response["authenticatorData"])
    assert json.loads(json.dumps(answer)) == answer


def test_a_subclass_signs_client_data_and_authenticator_data_of_its_own() -> None:
    class Framed(SoftwarePasskey):
        def client_data(self, type: str, challenge: str) -> bytes:
            return super().client_data(type, challenge).replace(b"false", b"true")

        def authenticator_data(self, rp_id: str, flags: int = 0) -> bytes:
            return super().authenticator_data(rp_id, flags | 0x20)

    passkey = Framed(ORIGIN)
    assert sign_in(passkey, register(passkey).credential_public_key)
    response = passkey.get(request_options())["response"]
    assert json.loads(base64url_to_bytes(response["clientDataJSON"]))["crossOrigin"] is True
    assert base64url_to_bytes(response["authenticatorData"])[32] == 0x25


def test_it_is_imported_without_pytest() -> None:
    code = "import sys; sys.modules['pytest'] = None; import graphql_mfa.testing"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_the_example_of_the_documentation_signs_in(
    run_app: Callable[..., AbstractAsyncContextManager[FastAPI]], connect: Connect
) -> None:
    page = (Path(__file__).parent.parent / "docs/embedding.md").read_text()
    section = page[page.index("## Testing passkeys") :]
    example: dict[str, Any] = {}
    exec(section.partition("```python\n")[2].partition("```")[0], example)
    async with run_app(**PASSKEYS) as app:
        api = connect(app)
        passkey = SoftwarePasskey(counter=0)
        member = await api.member()
        await add_passkey(api, member.access_token, passkey)
        clone = copy.copy(passkey)

        assert await example["sign_in"](api.http, passkey) == "SignedIn"
        assert await example["sign_in"](api.http, clone) == "PasskeyRejected"
        passkey.verifies_user = False
        assert await example["sign_in"](api.http, passkey) == "UserVerificationRequired"
        passkey.discoverable = False
        assert await example["sign_in"](api.http, passkey) == "PasskeyRejected"
