"""Single-use recovery codes: look-up secrets in the words of NIST SP 800-63B-4, 3.1.2."""

import secrets

from graphql_mfa.core.texts import plain_code

# Crockford's base32: no I, L, O, which people take for digits, and no U.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOKALIKES = str.maketrans("OIL", "011")
_LENGTH = 24  # of 5 bits: 120 bits, beyond the 64 from which NIST 3.1.2.2 asks for no throttling
_GROUP = 4
FEW_RECOVERY_CODES = 3
"""With so many left, a user is told to make new ones."""


def new_recovery_code() -> str:
    """A fresh code of 120 random bits, in groups for reading aloud and typing."""
    # 32 divides 256: every character is as likely as any other.
    characters = "".join([_ALPHABET[byte % len(_ALPHABET)] for byte in secrets.token_bytes(_LENGTH)])
    return "-".join([characters[i : i + _GROUP] for i in range(0, _LENGTH, _GROUP)])


def parse_recovery_code(raw: str) -> str | None:
    """The code in its one canonical form, whatever case, digits, separators or look-alike letters were typed.

    None for what is no recovery code.
    """
    code = plain_code(raw)
    # Some letters outside of ASCII have ASCII capitals.
    canonical = code.upper().translate(_LOOKALIKES) if code.isascii() else ""
    return canonical if len(canonical) == _LENGTH and set(canonical) <= set(_ALPHABET) else None
