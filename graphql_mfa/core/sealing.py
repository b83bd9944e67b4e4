"""Columns that hold a secret which is needed again in clear: AES-256-GCM with a key per row."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from graphql_mfa.core.key_ring import Key, KeyRing, derive

_ID_BYTES = 4
_NONCE_BYTES = 12


class SealBrokenError(Exception):
    """The column was written with a key that the ring lacks, was altered, or belongs to another row."""


def sealed_by(blob: bytes) -> bytes:
    """The id of the key that sealed it."""
    return blob[:_ID_BYTES]


def seal(ring: KeyRing, row: str, secret: bytes) -> bytes:
    """Encrypt for one row (`table.column:id`): key id, nonce, ciphertext with tag."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return ring.current.id + nonce + _cipher(ring.current, row).encrypt(nonce, secret, row.encode())


def unseal(ring: KeyRing, row: str, blob: bytes) -> bytes:
    """Decrypt what `seal` made for the same row.

    Raises SealBrokenError.
    """
    key = ring.get(sealed_by(blob))
    if key is None:
        raise SealBrokenError(f"The key ring lacks key {sealed_by(blob).hex()}, which sealed {row}.")
    nonce, ciphertext = blob[_ID_BYTES : _ID_BYTES + _NONCE_BYTES], blob[_ID_BYTES + _NONCE_BYTES :]
    try:
        return _cipher(key, row).decrypt(nonce, ciphertext, row.encode())
    except (InvalidTag, ValueError) as error:
        raise SealBrokenError(f"{row} was altered, or sealed for another row.") from error


def _cipher(key: Key, row: str) -> AESGCM:
    return AESGCM(derive(key.sealing, row))
