"""How passwords are hashed and compared. CPU-bound: run it in the hashing pool, never on the event loop."""

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
        "passlib and libpass are both installed, and both are the package `passlib`: their files are mixed. Repair it "
        "by `pip uninstall passlib libpass`, then `pip install 'libpass[bcrypt]'`.",
        RuntimeWarning,
        stacklevel=1,
    )

# bcrypt reads no more than this many bytes; bcrypt_sha256 hashes the whole password first.
_BCRYPT_BYTES = 72
_BCRYPT_DIGEST_BYTES = 23

_CHARACTER = "[./A-Za-z0-9]"
# Whole hashes only: passlib also parses one without its digest, and older forms, with which it then can't compare.
_STORED_HASH = re.compile(
    rf"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\${_CHARACTER}{{53}}"
    rf"|\$bcrypt-sha256\$v=2,t=2b,r=(?:[4-9]|[12][0-9]|3[01])\${_CHARACTER}{{22}}\${_CHARACTER}{{31}}"
)


@dataclass(frozen=True)
class PasswordVerdict:
    """Whether a password was right, and the hash to store instead when the old one's parameters are out of date."""

    right: bool
    new_hash: str | None = None


class PasswordHasher:
    """bcrypt_sha256 at a given cost (log2 of the rounds); plain bcrypt is verified for imported users."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._context = CryptContext(
            schemes=["bcrypt_sha256", "bcrypt"],
            deprecated=["bcrypt"],
            bcrypt_sha256__rounds=rounds,
        )
        self._nobodys_hash = _nobodys_hash(rounds)

    def hash(self, password: str) -> str:
        """The hash to store for a password that passed `format_problem`."""
        return str(self._context.hash(normalize_password(password)))

    def verify(self, password: str, stored_hash: str | None) -> PasswordVerdict:
        """Compare; the work is the same for every account and every password, also for an unknown user (no hash).

        Settings bound new passwords only: an imported one may be longer, or chosen before a setting was lowered.
        """
        acceptable = _can_be_hashed(password)
        candidate = password if acceptable else ""
        stored = stored_hash or self._nobodys_hash
        right = self._matches(candidate, stored)
        self._pad(stored)
        if not (right and acceptable and stored_hash):
            return PasswordVerdict(right=False)
        return PasswordVerdict(
            right=True, new_hash=self.hash(password) if self._is_outdated(stored, password) else None
        )

    def _is_outdated(self, stored: str, password: str) -> bool:
        # Imported bcrypt compares 72 bytes, so of a longer password any end is right: one that was mistyped, or left
        # out, must not become the password.
        if self._context.identify(stored) == "bcrypt" and len(password.encode()) >= _BCRYPT_BYTES:
            return False
        return bool(self._context.needs_update(stored))

    def _matches(self, candidate: str, stored: str) -> bool:
        if self._context.identify(stored) == "bcrypt":
            # As its origin did: cut, not normalised. A NUL, which bcrypt refuses, was never part of such a password.
            cut = candidate.encode()[:_BCRYPT_BYTES]
            return bool(bcrypt.verify(cut.replace(b"\0", b"?"), stored)) and b"\0" not in cut
        return bool(self._context.verify(normalize_password(candidate), stored))

    def _pad(self, stored: str) -> None:
        """Bring a cheaper hash to the work of the current cost: 2^c + (2^c + … + 2^(C-1)) = 2^C.

        Otherwise the time of a wrong password would tell imported accounts from others.
        """
        for cost in range(bcrypt_cost(stored), self._rounds):
            bcrypt.using(rounds=cost).hash("padding")


def _can_be_hashed(password: str) -> bool:
    return len(password) <= LONGEST_HASHED and is_text(password) and len(normalize_password(password)) <= LONGEST_HASHED


def _nobodys_hash(rounds: int) -> str:
    """A hash at that cost of which nobody knows a password: drawn by lot, since to make one takes its time at start."""
    digest = bcrypt64.encode_bytes(secrets.token_bytes(_BCRYPT_DIGEST_BYTES)).decode()
    return str(bcrypt_sha256(rounds=rounds, checksum=digest, use_defaults=True).to_string())


def stored_cost(stored: str) -> int | None:
    """The cost of a hash that `verify` can compare with; None for anything else."""
    return bcrypt_cost(stored) if _STORED_HASH.fullmatch(stored) else None


def bcrypt_cost(stored: str) -> int:
    """The cost parameter of a stored hash of either scheme."""
    if stored.startswith("$bcrypt-sha256$"):
        return int(stored.split("r=", 1)[1].split("$", 1)[0])
    return int(stored.split("$", 3)[2])
