"""The key ring, from which every other key of a deployment is derived, and the encryption of stored secrets."""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PREFIX = "mfak_"
_ENTRY = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{48}}")
_DECRYPT_ONLY = "decrypt-only:"
_KEY_BYTES = 32
_CHECKSUM_BYTES = 4
_P256_ORDER = SECP256R1.group_order


class InvalidKeyError(ValueError):
    """An entry of the key ring is malformed. The message does not repeat it."""


def new_key() -> str:
    """Generate an entry for the key ring: 256 random bits with a checksum."""
    key = secrets.token_bytes(_KEY_BYTES)
    return _PREFIX + base64.urlsafe_b64encode(key + _checksum(key)).decode()


def _checksum(key: bytes) -> bytes:
    return hashlib.sha256(b"graphql-mfa key checksum\0" + key).digest()[:_CHECKSUM_BYTES]


def derive(key: bytes, purpose: str, length: int = 32) -> bytes:
    """Derive a key by HKDF-SHA-256 (RFC 5869), one label per purpose."""
    return HKDF(SHA256(), length, salt=None, info=f"graphql-mfa {purpose}".encode()).derive(key)


@dataclass(frozen=True)
class Key:
    """One entry of the ring. A decrypt-only key has leaked: it still decrypts, but its signatures are not accepted."""

    material: bytes = field(repr=False)
    decrypt_only: bool = False

    @classmethod
    def parse(cls, entry: str) -> "Key":
        """Parse an entry as `new_key` returns it, after `decrypt-only:` if the key has leaked. Raises InvalidKeyError.

        Passphrases are refused: the public signing keys would allow guessing them offline.
        """
        text = entry.strip()
        decrypt_only = text.startswith(_DECRYPT_ONLY)
        text = text.removeprefix(_DECRYPT_ONLY)
        blob = base64.urlsafe_b64decode(text.removeprefix(_PREFIX)) if _ENTRY.fullmatch(text) else b""
        key, checksum = blob[:_KEY_BYTES], blob[_KEY_BYTES:]
        if not key or checksum != _checksum(key):
            raise InvalidKeyError("A key was not printed by `graphql-mfa new-key`, or it was cut or mistyped.")
        return cls(key, decrypt_only)

    @cached_property
    def id(self) -> bytes:
        """Four public bytes that identify the key in encrypted columns and token headers."""
        return derive(self.material, "key id", 4)

    @cached_property
    def sealing(self) -> bytes:
        """The key from which those of encrypted columns are derived."""
        return derive(self.material, "sealed columns")

    @cached_property
    def refresh(self) -> bytes:
        """The HMAC key that derives a refresh token from the one before it."""
        return derive(self.material, "refresh tokens")

    @cached_property
    def signing(self) -> Ed25519PrivateKey:
        """The Ed25519 key that signs access tokens."""
        return Ed25519PrivateKey.from_private_bytes(derive(self.material, "access tokens"))

    @cached_property
    def signing_p256(self) -> EllipticCurvePrivateKey:
        """The P-256 key that signs access tokens if the algorithm is ES256.

        48 bytes reduced modulo n - 1, plus 1 (FIPS 186-5 A.2.1): 128 bits more than n, so the bias is 2^-128.
        """
        drawn = int.from_bytes(derive(self.material, "access tokens ES256", 48))
        return derive_private_key(drawn % (_P256_ORDER - 1) + 1, SECP256R1())


class KeyRing:
    """Keys in order: the first encrypts and signs, all decrypt."""

    def __init__(self, keys: list[Key]) -> None:
        if not keys or keys[0].decrypt_only:
            raise InvalidKeyError("The key ring needs a first key that is not decrypt-only: it encrypts and signs.")
        self._by_id = {key.id: key for key in keys}
        if len(self._by_id) != len(keys):
            raise InvalidKeyError("The key ring names a key twice.")
        self.current = keys[0]

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Parse entries separated by commas or white space. Raises InvalidKeyError."""
        return cls([Key.parse(entry) for entry in text.replace(",", " ").split()])

    def get(self, key_id: bytes) -> Key | None:
        """The key with this id, decrypt-only or not."""
        return self._by_id.get(key_id)

    @property
    def keys(self) -> list[Key]:
        return list(self._by_id.values())

    @property
    def public(self) -> list[Key]:
        """The keys whose signatures are accepted."""
        return [key for key in self.keys if not key.decrypt_only]


_ID_BYTES = 4
_NONCE_BYTES = 12


class SealBrokenError(Exception):
    """A column was encrypted with a key that the ring lacks or for another row, or was altered."""


def sealed_by(blob: bytes) -> bytes:
    """The id of the key that encrypted it."""
    return blob[:_ID_BYTES]


def seal(ring: KeyRing, row: str, secret: bytes) -> bytes:
    """Encrypt a secret for one row (`table.column:id`) by AES-256-GCM, to key id, nonce, and ciphertext with tag."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return ring.current.id + nonce + _cipher(ring.current, row).encrypt(nonce, secret, row.encode())


def unseal(ring: KeyRing, row: str, blob: bytes) -> bytes:
    """Decrypt what `seal` encrypted for the same row. Raises SealBrokenError."""
    key = ring.get(sealed_by(blob))
    if key is None:
        raise SealBrokenError(f"The key ring lacks key {sealed_by(blob).hex()}, which encrypted {row}.")
    nonce, ciphertext = blob[_ID_BYTES : _ID_BYTES + _NONCE_BYTES], blob[_ID_BYTES + _NONCE_BYTES :]
    try:
        return _cipher(key, row).decrypt(nonce, ciphertext, row.encode())
    except (InvalidTag, ValueError) as error:
        raise SealBrokenError(f"{row} was altered, or encrypted for another row.") from error


def _cipher(key: Key, row: str) -> AESGCM:
    return AESGCM(derive(key.sealing, row))
