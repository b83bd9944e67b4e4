"""Passkeys: the options of a WebAuthn ceremony, and the checks of its answer (WebAuthn Level 3)."""

import base64
import json
import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, generate_private_key
from pydantic import ConfigDict, TypeAdapter

from graphql_mfa.core.keys import KeyRing, SealBrokenError, seal, sealed_by, unseal

CEREMONY_LIFETIME = timedelta(minutes=5)  # WebAuthn L3 15.1
_TIMEOUT = CEREMONY_LIFETIME // timedelta(milliseconds=1)
PASSKEYS_PER_ACCOUNT = 10
HANDLE_BYTES = 64  # WebAuthn L3 14.6.1
_CHALLENGE_BYTES = 32  # at least 16: WebAuthn L3 13.4.3
_LONGEST_CREDENTIAL_ID = 1023  # WebAuthn L3 6.5.1
_TRANSPORTS = ("ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb")
_CEREMONY_PREFIX = "mfap_"
_SEALED_AS = "passkeys.ceremony_token"
_EDDSA, _ES256, _RS256 = -8, -7, -257
_STRINGS, _TAG = (2, 3), 6  # major types of CBOR: RFC 8949 3.1
_LONGEST_ARGUMENT = 27  # higher values are reserved, or of indefinite length: RFC 8949 3
_LONGEST_ATTESTATION = 16_384  # bytes; a TPM's has about 5,000
_MOST_ITEMS = 256  # of CBOR; a TPM's attestation has about 40, and decoding 40,000 can take 150 ms
_EXTENSIONS_FLAG, _CREDENTIAL_FLAG = 0x80, 0x40  # ED and AT: WebAuthn L3 6.1
_FLAGS_AT, _EXTENSIONS_AT = 32, 37  # offsets in authenticator data: WebAuthn L3 6.1
_ID_LENGTH_AT, _ID_AT = 53, 55  # WebAuthn L3 6.5.1
_ED25519_PRIME = 2**255 - 19
_ED25519_D = -121665 * pow(121666, -1, _ED25519_PRIME) % _ED25519_PRIME  # RFC 8032 5.1
# Hostile input made releases of the library raise KeyError, TypeError and IndexError, besides its own exceptions.
_suppress_errors_of_library = suppress(Exception)


class CeremonyPurpose(StrEnum):
    """The purpose of a ceremony. Its answer is accepted for no other purpose."""

    SIGN_IN = "sign in"
    SECOND_FACTOR = "second factor"
    STEP_UP = "step up"
    ADD = "add"
    ENROLL = "enroll"

    @property
    def registers(self) -> bool:
        """Whether it creates a passkey."""
        return self in {CeremonyPurpose.ADD, CeremonyPurpose.ENROLL}


@dataclass(frozen=True)
class RelyingParty:
    """The domain that passkeys belong to, its shown name, and the origins at which they may be used."""

    id: str
    name: str
    origins: tuple[str, ...]


@dataclass(frozen=True)
class Ceremony:
    """A ceremony that began. user_id, bound_to: the account, and the challenge or session; None at a sign-in by passkey
    alone. conditional: whether the browser adds the passkey without a dialogue.
    """

    purpose: CeremonyPurpose
    challenge: bytes
    expires_at: datetime
    user_id: UUID | None = None
    bound_to: bytes | None = None
    conditional: bool = False

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    @classmethod
    def begin(
        cls,
        purpose: CeremonyPurpose,
        now: datetime,
        user_id: UUID | None = None,
        bound_to: bytes | None = None,
        *,
        conditional: bool = False,
    ) -> "Ceremony":
        """A ceremony with a random challenge."""
        expires_at = now + CEREMONY_LIFETIME
        return cls(purpose, secrets.token_bytes(_CHALLENGE_BYTES), expires_at, user_id, bound_to, conditional)

    def token(self, ring: KeyRing) -> str:
        """The ceremony, encrypted, for the client to return."""
        return _CEREMONY_PREFIX + _encode(seal(ring, _SEALED_AS, _CEREMONY_JSON.dump_json(self)))

    @classmethod
    def of_token(cls, ring: KeyRing, token: str) -> "Ceremony | None":
        """The ceremony of a token; None for any other text.

        A decrypt-only key has leaked: a thief could encrypt a ceremony that has the challenge of an old answer.
        """
        sealed = _decode(token.removeprefix(_CEREMONY_PREFIX)) if token.startswith(_CEREMONY_PREFIX) else None
        if sealed is None or sealed_by(sealed) not in {key.id for key in ring.public}:
            return None
        try:
            return _CEREMONY_JSON.validate_json(unseal(ring, _SEALED_AS, sealed))
        except SealBrokenError:
            return None

    @property
    def digest(self) -> bytes:
        """The digest that is stored with the first answer, so that a second one is refused."""
        return sha256(b"graphql-mfa passkey ceremony\0" + self.challenge).digest()


_CEREMONY_JSON = TypeAdapter(Ceremony)


@dataclass(frozen=True)
class PasskeyKey:
    """The stored values that an answer of a passkey is checked with. public_key: a COSE key."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    backup_eligible: bool


@dataclass(frozen=True)
class CredentialRecord(PasskeyKey):
    """A passkey (WebAuthn L3 4). user_verified: at its last answer. discoverable: None if the client didn't say."""

    user_verified: bool
    backed_up: bool
    discoverable: bool | None
    aaguid: UUID
    transports: tuple[str, ...]


@dataclass(frozen=True)
class Assertion:
    """A right answer of a passkey. counter_went_back: whether the sign counter did, so that there may be a copy."""

    sign_count: int
    user_verified: bool
    backed_up: bool
    counter_went_back: bool


def registration_options(
    party: RelyingParty,
    ceremony: Ceremony,
    *,
    handle: bytes,
    username: str,
    existing: Collection[CredentialRecord],
) -> dict[str, Any]:
    """PublicKeyCredentialCreationOptionsJSON (WebAuthn L3 5.1.8). existing: the account's passkeys."""
    return {
        "rp": {"id": party.id, "name": party.name},
        "user": {"id": _encode(handle), "name": username, "displayName": username},
        "challenge": _encode(ceremony.challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in (_EDDSA, _ES256, _RS256)],
        "timeout": _TIMEOUT,
        "excludeCredentials": _descriptors(existing),
        # "required" would refuse security keys without a PIN, or without a free slot.
        "authenticatorSelection": {
            "residentKey": "preferred",
            "requireResidentKey": False,
            "userVerification": "preferred",
        },
        "attestation": "none",
        "extensions": {"credProps": True},
    }


def authentication_options(
    party: RelyingParty, ceremony: Ceremony, *, allowed: Collection[CredentialRecord], verification: bool
) -> dict[str, Any]:
    """PublicKeyCredentialRequestOptionsJSON (WebAuthn L3 5.1.9). allowed: empty only where no account is named."""
    return {
        "challenge": _encode(ceremony.challenge),
        "timeout": _TIMEOUT,
        "rpId": party.id,
        "allowCredentials": _descriptors(allowed),
        "userVerification": "required" if verification else "preferred",
    }


def unknown_credential_signal(party: RelyingParty, credential_id: bytes) -> dict[str, object]:
    """UnknownCredentialOptions (WebAuthn L3 5.1.10.1)."""
    return {"rpId": party.id, "credentialId": _encode(credential_id)}


def accepted_credentials_signal(
    party: RelyingParty, handle: bytes, credential_ids: Collection[bytes]
) -> dict[str, object]:
    """AllAcceptedCredentialsOptions (WebAuthn L3 5.1.10.2). credential_ids: all, since the browser hides the others."""
    ids = [_encode(credential_id) for credential_id in credential_ids]
    return {"rpId": party.id, "userId": _encode(handle), "allAcceptedCredentialIds": ids}


def user_details_signal(party: RelyingParty, handle: bytes, username: str) -> dict[str, object]:
    """CurrentUserDetailsOptions (WebAuthn L3 5.1.10.3)."""
    return {"rpId": party.id, "userId": _encode(handle), "name": username, "displayName": username}


def credential_id_of(credential: object) -> bytes | None:
    """The id of the passkey that answers; None if it is malformed, empty, or longer than 1,023 bytes."""
    encoded = _member(credential, "id")
    credential_id = _decode(encoded)
    if not credential_id or len(credential_id) > _LONGEST_CREDENTIAL_ID or encoded != _member(credential, "rawId"):
        return None
    return credential_id


def user_handle_of(credential: object) -> bytes | None:
    """The handle of the account that the authenticator names."""
    return _decode(_member(credential, "response", "userHandle"))


def is_of_unlisted_origin(party: RelyingParty, credential: object) -> bool:
    """Whether an answer names the origin of a page that is not one of the party's origins."""
    (client_data,) = _response(credential, "clientDataJSON")
    origin = _member(_parse_json(client_data), "origin")
    return isinstance(origin, str) and origin not in party.origins


def verify_registration(party: RelyingParty, ceremony: Ceremony, credential: object) -> CredentialRecord | None:
    """Check the answer to `registration_options` (WebAuthn L3 7.1); None if it is refused."""
    from webauthn import verify_registration_response
    from webauthn.helpers import structs

    credential_id = credential_id_of(credential)
    client_data, attestation = _response(credential, "clientDataJSON", "attestationObject")
    checked = _rebuild_attestation(attestation)
    if credential_id is None or checked is None or not _is_of_ceremony(client_data, ceremony):
        return None
    verified = None
    with _suppress_errors_of_library:
        verified = verify_registration_response(
            credential=structs.RegistrationCredential(
                id=_encode(credential_id),
                raw_id=credential_id,
                response=structs.AuthenticatorAttestationResponse(client_data, checked),
            ),
            expected_challenge=ceremony.challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            require_user_presence=not ceremony.conditional,
        )
    if verified is None or verified.credential_id != credential_id:
        return None
    discoverable = _member(credential, "clientExtensionResults", "credProps", "rk")
    transports = _member(credential, "response", "transports")
    return CredentialRecord(
        credential_id=credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        user_verified=verified.user_verified and not ceremony.conditional,
        backup_eligible=verified.credential_device_type is structs.CredentialDeviceType.MULTI_DEVICE,
        backed_up=verified.credential_backed_up,
        discoverable=discoverable if isinstance(discoverable, bool) else None,
        aaguid=UUID(verified.aaguid),
        transports=tuple(name for name in _TRANSPORTS if isinstance(transports, list) and name in transports),
    )


def verify_assertion(party: RelyingParty, ceremony: Ceremony, credential: object, key: PasskeyKey) -> Assertion | None:
    """Check the answer to `authentication_options` of that passkey (WebAuthn L3 7.2); None if it is refused."""
    from webauthn import verify_authentication_response
    from webauthn.helpers import structs

    client_data, data, signature = _response(credential, "clientDataJSON", "authenticatorData", "signature")
    if (
        credential_id_of(credential) != key.credential_id
        or not _is_of_ceremony(client_data, ceremony)
        or not _is_assertion_data(data)
    ):
        return None
    verified = None
    with _suppress_errors_of_library:
        verified = verify_authentication_response(
            credential=structs.AuthenticationCredential(
                id=_encode(key.credential_id),
                raw_id=key.credential_id,
                response=structs.AuthenticatorAssertionResponse(client_data, data, signature),
            ),
            expected_challenge=ceremony.challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            credential_public_key=key.public_key,
            # The library compares the counter before the signature, and can't tell a copy from a wrong answer.
            credential_current_sign_count=0,
        )
    if verified is None:
        return None
    backup_eligible = verified.credential_device_type is structs.CredentialDeviceType.MULTI_DEVICE
    if backup_eligible != key.backup_eligible:
        return None
    return Assertion(
        sign_count=verified.new_sign_count,
        user_verified=verified.user_verified,
        backed_up=verified.credential_backed_up,
        counter_went_back=key.sign_count > 0 and verified.new_sign_count <= key.sign_count,
    )


def _response(credential: object, *names: str) -> list[bytes]:
    """Members of the response, decoded; empty where they are malformed. Others are ignored: browsers add some."""
    passkey = credential if _member(credential, "type") == "public-key" else None
    return [_decode(_member(passkey, "response", name)) or b"" for name in names]


def _is_of_ceremony(client_data: bytes, ceremony: Ceremony) -> bool:
    """Whether client data has the ceremony's type and challenge, and the page was no frame in a page of another origin
    (WebAuthn L3 7.1 and 7.2, steps on `crossOrigin` and `topOrigin`).
    """
    data = _parse_json(client_data)
    return (
        isinstance(data, dict)
        and data.get("type") == ("webauthn.create" if ceremony.purpose.registers else "webauthn.get")
        and data.get("challenge") == _encode(ceremony.challenge)
        and data.get("crossOrigin", False) is False
        and "topOrigin" not in data
    )


def _parse_json(text: bytes) -> object:
    """The value; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _rebuild_attestation(attestation: bytes) -> bytes | None:
    """Build an attestation object of the checked parts: the authenticator data without extensions, with a sound key.

    Attestation statements are not read, so their parsers don't run. CBOR with references is refused: decoding or
    encoding 150 bytes whose references multiply their content takes seconds, and twice as long for each 6 bytes more.
    """
    from webauthn.helpers import encode_cbor, exceptions, parse_cbor

    if len(attestation) > _LONGEST_ATTESTATION or not _is_plain(attestation):
        return None
    try:
        data = _member(parse_cbor(attestation), "authData")
        if not isinstance(data, bytes):
            return None
        key_at = _ID_AT + int.from_bytes(data[_ID_LENGTH_AT:_ID_AT])
        key = _sound_key(parse_cbor(data[key_at:])) if _is_plain(data[key_at:]) else None
    except exceptions.InvalidCBORData:
        return None
    if key is None:
        return None
    flags = bytes([data[_FLAGS_AT] & ~_EXTENSIONS_FLAG])
    rebuilt = data[:_FLAGS_AT] + flags + data[_FLAGS_AT + 1 : key_at] + encode_cbor(key)
    encoded: bytes = encode_cbor({"fmt": "none", "attStmt": {}, "authData": rebuilt})
    return encoded


def _sound_key(key: object) -> Mapping[int, int | bytes] | None:
    """The required members of a COSE key of an algorithm that is offered; None if it can't be used or trusted.

    kty is 1, alg 3 (RFC 9052 7.1); crv, x and y are -1, -2 and -3 (RFC 9053 7); n and e are -1 and -2 (RFC 8230 4).
    """
    match key:
        case {1: 1, 3: -8, -1: 6, -2: bytes(x)} if _is_ed25519_point(x):
            return {1: 1, 3: _EDDSA, -1: 6, -2: x}
        case {1: 2, 3: -7, -1: 1, -2: bytes(x), -3: bytes(y)} if _is_p256_point(x, y):
            return {1: 2, 3: _ES256, -1: 1, -2: x, -3: y}
        case {1: 3, 3: -257, -1: bytes(n), -2: bytes(e)} if _is_rsa_key(n, e):
            return {1: 3, 3: _RS256, -1: n, -2: e}
    return None


def _is_ed25519_point(encoded: bytes) -> bool:
    """Whether it is a point of the curve (RFC 8032 5.1.3), but not one of the eight whose order divides 8: anyone can
    sign for those. Of their coordinates y, one is 0, two are 1 and -1, and at the others d * y^4 + 2 * y^2 is 1.
    """
    p, d = _ED25519_PRIME, _ED25519_D
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    if len(encoded) != 32 or y >= p or y * (y**2 - 1) * (d * y**4 + 2 * y**2 - 1) % p == 0:
        return False
    x_squared = (y**2 - 1) * pow(d * y**2 + 1, -1, p)
    return pow(x_squared, (p - 1) // 2, p) == 1


def _is_p256_point(x: bytes, y: bytes) -> bool:
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), b"\x04" + x + y)  # SEC 1 2.3.4
    except ValueError:
        return False
    return len(x) == len(y)


def _is_rsa_key(modulus: bytes, exponent: bytes) -> bool:
    """Whether an odd modulus has 2,048 bits (RFC 8812 2) to 4,096, and the exponent 17 to 64 (FIPS 186-5 A.1.1 allows
    256, but verifying takes longer with each bit).
    """
    n, e = int.from_bytes(modulus), int.from_bytes(exponent)
    return len(modulus) <= 512 and n.bit_length() >= 2048 and n % 2 == 1 and 2**16 < e < 2**64 and e % 2 == 1


def _is_assertion_data(data: bytes) -> bool:
    """Whether authenticator data has no attested credential data, which only registrations have (WebAuthn L3 6.1), and
    plain extensions, if any: see `_rebuild_attestation`.
    """
    is_complete = len(data) >= _EXTENSIONS_AT
    return is_complete and not data[_FLAGS_AT] & _CREDENTIAL_FLAG and _is_plain(data[_EXTENSIONS_AT:])


def _is_plain(cbor: bytes) -> bool:
    """Whether CBOR has no tags, such as references, and no items of indefinite length: CTAP 2.1 8 forbids both. Nor has
    it many items: the keys of a map may be lists whose hashes are equal, and each is compared with the others.

    Reads the head of each item in turn (RFC 8949 3).
    """
    at = items = 0
    while at < len(cbor):
        items += 1
        major, short = divmod(cbor[at], 32)
        if major == _TAG or short > _LONGEST_ARGUMENT or items > _MOST_ITEMS:
            return False
        size = {24: 1, 25: 2, 26: 4, 27: 8}.get(short, 0)
        argument = int.from_bytes(cbor[at + 1 : at + 1 + size]) if size else short
        at += 1 + size + (argument if major in _STRINGS else 0)
    return True


def decoy_key(credential_id: bytes) -> PasskeyKey:
    """A dummy key with that id. Checking an answer with it takes as long as with a real one."""
    return PasskeyKey(credential_id, _decoy_public_key(), 0, backup_eligible=False)


@cache
def _decoy_public_key() -> bytes:
    from webauthn.helpers import encode_cbor

    numbers = generate_private_key(SECP256R1()).public_key().public_numbers()
    point = {-2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
    encoded: bytes = encode_cbor({1: 2, 3: _ES256, -1: 1} | point)
    return encoded


@cache
def _authenticators() -> Mapping[str, str]:
    text = files("graphql_mfa.core").joinpath("authenticators.json").read_text("utf-8")
    names: Mapping[str, str] = json.loads(text)["names"]
    return names


def authenticator_name(aaguid: UUID) -> str | None:
    """The name of a kind of authenticator; None if it is not known."""
    return _authenticators().get(str(aaguid))


def _descriptors(passkeys: Collection[CredentialRecord]) -> list[dict[str, Any]]:
    return [
        {"type": "public-key", "id": _encode(passkey.credential_id)}
        | ({"transports": list(passkey.transports)} if passkey.transports else {})
        for passkey in passkeys
    ]


def _member(value: object, *path: str) -> object:
    """The value at that path of nested objects; None if there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(text: object) -> bytes | None:
    """Base64url without padding (RFC 7515 2); None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    return value if _encode(value) == text else None
