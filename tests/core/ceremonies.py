"""Ceremonies of passkeys without a server, and an authenticator that signs what a browser would not produce."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, encode_cbor, parse_cbor

from graphql_mfa.core.passkeys import (
    Assertion,
    Ceremony,
    CeremonyPurpose,
    CredentialRecord,
    PasskeyKey,
    RelyingParty,
    authentication_options,
    registration_options,
    verify_assertion,
    verify_registration,
)
from graphql_mfa.testing import SoftwarePasskey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = "https://login.example.com"
APP = "android:apk-key-hash:7d1043473d55bfa90e8530d35801d4e381bc69f0a4a7c9b0e2b1ab1f9b3a6d11"
PARTY = RelyingParty("example.com", "Example", (ORIGIN, APP))
HANDLE = bytes(range(64))
UP, UV, BE, BS, AT, ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80

Json = dict[str, Any]


class HostilePasskey(SoftwarePasskey):
    """client_members: replace those of the client data, or are added; None removes one. flipped: flags. appended: to
    the authenticator data, as extensions are. rp_id: for which it signs; None for the one that is asked for.
    """

    def __init__(
        self,
        *,
        client_members: Json | None = None,
        flipped: int = 0,
        appended: bytes = b"",
        rp_id: str | None = None,
        **kind: Any,
    ) -> None:
        super().__init__(**({"origin": ORIGIN} | kind))
        self.client_members, self.flipped = client_members or {}, flipped
        self.appended, self.rp_id = appended, rp_id

    def client_data(self, type: str, challenge: str) -> bytes:
        members = json.loads(super().client_data(type, challenge)) | self.client_members
        return json.dumps({name: value for name, value in members.items() if value is not None}).encode()

    def authenticator_data(self, rp_id: str, flags: int = 0) -> bytes:
        data = super().authenticator_data(rp_id if self.rp_id is None else self.rp_id, flags)
        return data[:32] + bytes([data[32] ^ self.flipped]) + data[33:] + self.appended


def begin_registration(
    *, conditional: bool = False, purpose: CeremonyPurpose = CeremonyPurpose.ADD
) -> tuple[Ceremony, Json]:
    ceremony = Ceremony.begin(purpose, NOW, conditional=conditional)
    return ceremony, registration_options(PARTY, ceremony, handle=HANDLE, username="alice", existing=[])


def begin_sign_in(purpose: CeremonyPurpose = CeremonyPurpose.SIGN_IN) -> tuple[Ceremony, Json]:
    ceremony = Ceremony.begin(purpose, NOW)
    return ceremony, authentication_options(PARTY, ceremony, allowed=[], verification=True)


def unchanged(answer: Json) -> Json:
    return answer


def register(
    passkey: SoftwarePasskey, change: Callable[[Json], Json] = unchanged, *, conditional: bool = False
) -> CredentialRecord | None:
    """The result of a registration whose answer was changed on its way, which no signature prevents."""
    ceremony, options = begin_registration(conditional=conditional)
    return verify_registration(PARTY, ceremony, change(passkey.create(options)))


def registered(passkey: SoftwarePasskey) -> CredentialRecord:
    new = register(passkey)
    assert new
    return new


def key_of(passkey: SoftwarePasskey, sign_count: int = 0) -> PasskeyKey:
    """As it would be stored, if the passkey had been registered before it became hostile."""
    return PasskeyKey(passkey.id, encode_cbor(passkey.cose_key()), sign_count, backup_eligible=passkey.synced)


def sign_in(
    passkey: SoftwarePasskey, change: Callable[[Json], Json] = unchanged, *, key: PasskeyKey | None = None
) -> Assertion | None:
    ceremony, options = begin_sign_in()
    return verify_assertion(PARTY, ceremony, change(passkey.get(options)), key or key_of(passkey))


def with_members(members: Json) -> Callable[[Json], Json]:
    """Set members of the answer by their path: {"response.signature": "AA"}; None removes one."""

    def change(answer: Json) -> Json:
        answer = copy.deepcopy(answer)
        for path, value in members.items():
            *parents, name = path.split(".")
            target = answer
            for parent in parents:
                target = target[parent]
            if value is None:
                del target[name]
            else:
                target[name] = value
        return answer

    return change


def with_attestation(**members: Any) -> Callable[[Json], Json]:
    """Set members of the attestation object."""

    def change(answer: Json) -> Json:
        attestation = parse_cbor(base64url_to_bytes(answer["response"]["attestationObject"])) | members
        return with_members({"response.attestationObject": bytes_to_base64url(encode_cbor(attestation))})(answer)

    return change


def with_data(change_data: Callable[[bytes], bytes]) -> Callable[[Json], Json]:
    """Change the authenticator data of a registration."""

    def change(answer: Json) -> Json:
        data = parse_cbor(base64url_to_bytes(answer["response"]["attestationObject"]))["authData"]
        return with_attestation(authData=change_data(data))(answer)

    return change


def with_appended(content: bytes) -> Callable[[Json], Json]:
    """Append to the authenticator data of a registration, as extensions are."""
    return with_data(lambda data: data + content)


def with_key(key: object) -> Callable[[Json], Json]:
    """Register another public key; bytes are encoded already."""
    encoded = key if isinstance(key, bytes) else encode_cbor(key)
    return with_data(lambda data: data[: 55 + int.from_bytes(data[53:55])] + encoded)
