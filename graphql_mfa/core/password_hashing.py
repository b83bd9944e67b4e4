"""Hashing and verifying passwords. CPU-bound: run in the hashing pool, never on the event loop."""

import re
import secrets
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from passlib.context import CryptContext
from passlib.hash import bcrypt, bcrypt_sha256
from passlib.utils.binary import bcrypt64

from graphql_mfa.core.passwords import LONGEST_HASHED, normalize_password
from graphql_mfa.core.texts import is_text

try:
    distribution("passlib")
except PackageNotFoundError:
    pass
else:
    warnings.warn(
        "passlib and libpass are both installed and overwrite each other's files. Repair it by `pip uninstall passlib "
        "libpass`, then `pip install 'libpass[bcrypt]'`.",
        RuntimeWarning,
        stacklevel=1,
    )

# bcrypt ignores further bytes; bcrypt_sha256 hashes the whole password first.
_BCRYPT_BYTES = 72
_BCRYPT_DIGEST_BYTES = 23

_CHARACTER = "[./A-Za-z0-9]"
# Complete hashes only: passlib also parses hashes without a digest and older forms, but fails to verify them.
_STORED_HASH = re.compile(
    rf"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\${_CHARACTER}{{53}}"
    rf"|\$bcrypt-sha256\$v=2,t=2b,r=(?:[4-9]|[12][0-9]|3[01])\${_CHARACTER}{{22}}\${_CHARACTER}{{31}}"
)


@dataclass(frozen=True)
class PasswordVerdict:
    """Whether a password is right, and a new hash to store if the stored one is outdated."""

    right: bool
    new_hash: str | None = None


class PasswordHasher:
    """bcrypt_sha256 at a given cost (log2 of the rounds). Also verifies plain bcrypt, for imported users."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._context = CryptContext(
            schemes=["bcrypt_sha256", "bcrypt"],
            deprecated=["bcrypt"],
            bcrypt_sha256__rounds=rounds,
        )
        self._dummy_hash = _dummy_hash(rounds)

    def hash(self, password: str) -> str:
        """Hash a password that passed `format_problem`."""
        return str(self._context.hash(normalize_password(password)))

    def verify(self, password: str, stored_hash: str | None) -> PasswordVerdict:
        """Verify a password, with the same work for every account and password, and without a hash (unknown user).

        Length settings don't apply: the password may be imported, or older than the setting.
        """
        acceptable = _can_be_hashed(password)
        candidate = password if acceptable else ""
        stored = stored_hash or self._dummy_hash
        right = self._matches(candidate, stored)
        self._pad(stored)
        if not (right and acceptable and stored_hash):
            return PasswordVerdict(right=False)
        return PasswordVerdict(
            right=True, new_hash=self.hash(password) if self._is_outdated(stored, password) else None
        )

    def _is_outdated(self, stored: str, password: str) -> bool:
        # Plain bcrypt ignores bytes after the 72nd, so a long password may be right and mistyped: don't store its hash.
        if self._context.identify(stored) == "bcrypt" and len(password.encode()) >= _BCRYPT_BYTES:
            return False
        return bool(self._context.needs_update(stored))

    def _matches(self, candidate: str, stored: str) -> bool:
        if self._context.identify(stored) == "bcrypt":
            # The exporting system truncated and didn't normalise. bcrypt refuses NUL, so such a password is wrong.
            cut = candidate.encode()[:_BCRYPT_BYTES]
            return bool(bcrypt.verify(cut.replace(b"\0", b"?"), stored)) and b"\0" not in cut
        return bool(self._context.verify(normalize_password(candidate), stored))

    def _pad(self, stored: str) -> None:
        """Add work to a cheaper hash up to the current cost: 2^c + (2^c + … + 2^(C-1)) = 2^C.

        Otherwise timing would reveal imported accounts.
        """
        for cost in range(bcrypt_cost(stored), self._rounds):
            bcrypt.using(rounds=cost).hash("padding")


def _can_be_hashed(password: str) -> bool:
    return len(password) <= LONGEST_HASHED and is_text(password) and len(normalize_password(password)) <= LONGEST_HASHED


def _dummy_hash(rounds: int) -> str:
    """A well-formed hash with a random digest, since hashing a password would slow down the start."""
    digest = bcrypt64.encode_bytes(secrets.token_bytes(_BCRYPT_DIGEST_BYTES)).decode()
    return str(bcrypt_sha256(rounds=rounds, checksum=digest, use_defaults=True).to_string())


def stored_cost(stored: str) -> int | None:
    """The cost of a hash that `verify` supports; None for any other text."""
    return bcrypt_cost(stored) if _STORED_HASH.fullmatch(stored) else None


def bcrypt_cost(stored: str) -> int:
    """The cost of a hash of either scheme."""
    if stored.startswith("$bcrypt-sha256$"):
        return int(stored.split("r=", 1)[1].split("$", 1)[0])
    return int(stored.split("$", 3)[2])
