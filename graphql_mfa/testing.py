"""A software authenticator, for tests of applications that use passkeys."""

import json
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from webauthn.helpers import bytes_to_base64url, encode_cbor

_UP, _UV, _BE, _BS, _AT = 0x01, 0x04, 0x08, 0x10, 0x40  # WebAuthn L3 6.1
_UNKNOWN_KIND = UUID(int=0)
_ALGORITHMS = {"ES256": -7, "EdDSA": -8}  # RFC 9053 2


class SoftwarePasskey:
    """A passkey in memory. It answers the options of a ceremony with the JSON that a browser would send.

    It answers any options: `allowCredentials`, `excludeCredentials` and `pubKeyCredParams` are not compared, so a test
    can send what a hostile client would. The attributes can be changed between ceremonies, and `copy.copy` clones the
    passkey with its counter.

    origin: the origin of the page that it answers for.
    algorithm: the algorithm of its key.
    discoverable: whether it returns the user handle, which a sign-in without a username needs.
    verifies_user: whether a PIN or a biometric unlocks it.
    synced: whether its provider keeps copies (the flags BE and BS).
    counter: how often it signed; None for a counter that stays 0, as most synced passkeys have.
    present: whether the user touches it, as in every ceremony except a conditional create.
    aaguid: the kind of authenticator; 0 if it doesn't say.
    """

    def __init__(
        self,
        origin: str = "http://localhost:8000",
        *,
        algorithm: Literal["ES256", "EdDSA"] = "ES256",
        discoverable: bool = True,
        verifies_user: bool = True,
        synced: bool = False,
        counter: int | None = None,
        present: bool = True,
        aaguid: UUID = _UNKNOWN_KIND,
    ) -> None:
        self.origin, self.discoverable, self.verifies_user, self.synced = origin, discoverable, verifies_user, synced
        self.counter, self.present, self.aaguid = counter, present, aaguid
        self.algorithm = _ALGORITHMS[algorithm]
        self.key: EllipticCurvePrivateKey | Ed25519PrivateKey = (
            generate_private_key(SECP256R1()) if algorithm == "ES256" else Ed25519PrivateKey.generate()
        )
        self.id = secrets.token_bytes(32)
        self.user_handle: str | None = None

    def create(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the options of a registration: RegistrationResponseJSON (WebAuthn L3 5.1)."""
        self.user_handle = options["user"]["id"]
        attested = self.aaguid.bytes + len(self.id).to_bytes(2) + self.id + encode_cbor(self.cose_key())
        data = self.authenticator_data(options["rp"]["id"], _AT) + attested
        public_key = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        response = {
            "clientDataJSON": bytes_to_base64url(self.client_data("webauthn.create", options["challenge"])),
            "authenticatorData": bytes_to_base64url(data),
            "transports": ["hybrid", "internal"],
            "publicKey": bytes_to_base64url(public_key),
            "publicKeyAlgorithm": self.algorithm,
            "attestationObject": bytes_to_base64url(encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})),
        }
        is_asked = "credProps" in options.get("extensions", {})
        return self._credential(response, {"credProps": {"rk": self.discoverable}} if is_asked else {})

    def get(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the options of a sign-in or a step-up: AuthenticationResponseJSON (WebAuthn L3 5.1)."""
        if self.counter is not None:
            self.counter += 1
        client_data = self.client_data("webauthn.get", options["challenge"])
        data = self.authenticator_data(options["rpId"])
        response = {
            "clientDataJSON": bytes_to_base64url(client_data),
            "authenticatorData": bytes_to_base64url(data),
            "signature": bytes_to_base64url(self.sign(data + sha256(client_data).digest())),
        }
        return self._credential(response | ({"userHandle": self.user_handle} if self.discoverable else {}), {})

    def client_data(self, type: str, challenge: str) -> bytes:
        """The client data that is signed. A test of what the server refuses overrides it."""
        data = {"type": type, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(data).encode()

    def authenticator_data(self, rp_id: str, flags: int = 0) -> bytes:
        """The authenticator data that is signed, without the new key. A test of what the server refuses overrides it.

        flags: further ones to set (WebAuthn L3 6.1).
        """
        flags |= _UP * self.present | _UV * self.verifies_user | (_BE | _BS) * self.synced
        return sha256(rp_id.encode()).digest() + bytes([flags]) + (self.counter or 0).to_bytes(4)

    def cose_key(self) -> dict[int, Any]:
        """The public key (RFC 9052 7, RFC 9053 7)."""
        if isinstance(self.key, Ed25519PrivateKey):
            return {1: 1, 3: self.algorithm, -1: 6, -2: self.key.public_key().public_bytes_raw()}
        numbers = self.key.public_key().public_numbers()
        return {1: 2, 3: self.algorithm, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(data)
        return self.key.sign(data, ECDSA(SHA256()))

    def _credential(self, response: dict[str, Any], extensions: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": bytes_to_base64url(self.id),
            "rawId": bytes_to_base64url(self.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "response": response,
            "clientExtensionResults": extensions,
        }
