"""Single-use recovery codes ("look-up secrets" in NIST SP 800-63B-4, 3.1.2)."""

import secrets

from graphql_mfa.core.inputs import plain_code

# Crockford's base32: without I, L and O, which look like digits, and U.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOKALIKES = str.maketrans("OIL", "011")
_LENGTH = 24  # 120 bits; from 64 bits NIST 3.1.2.2 requires no throttling
_GROUP = 4
RECOVERY_CODE_COUNT = 10
"""Codes in a set."""
FEW_RECOVERY_CODES = 3
"""With this many left, users are advised to regenerate them."""


def new_recovery_code() -> str:
    """Generate a code of 120 random bits, in groups for reading and typing."""
    # 32 divides 256, so characters are uniformly distributed.
    characters = "".join([_ALPHABET[byte % len(_ALPHABET)] for byte in secrets.token_bytes(_LENGTH)])
    return "-".join([characters[i : i + _GROUP] for i in range(0, _LENGTH, _GROUP)])


def parse_recovery_code(raw: str) -> str | None:
    """The canonical form of a typed code: upper case, no separators, no look-alike letters. None if malformed."""
    code = plain_code(raw)
    # Some letters outside ASCII have ASCII capitals.
    canonical = code.upper().translate(_LOOKALIKES) if code.isascii() else ""
    return canonical if len(canonical) == _LENGTH and set(canonical) <= set(_ALPHABET) else None
