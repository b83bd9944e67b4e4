"""Passwords: the rules for new ones (NIST SP 800-63B-4, 3.1.1.2), hashing, and verifying."""

import re
import secrets
import unicodedata
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from passlib.context import CryptContext
from passlib.hash import bcrypt, bcrypt_sha256
from passlib.utils.binary import bcrypt64

from graphql_mfa.core.accounts import username_key
from graphql_mfa.core.inputs import FieldErrorCode, Problem, is_text

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

# zxcvbn takes seconds for long adversarial input. These constants bound it to about 45 ms of processor time.
_SCORED_LENGTH = 24
_LEET_SYMBOLS = "@({[<!|$+%"
_UNREADABLE = str.maketrans(_LEET_SYMBOLS, "~`^&*_=;:,")
_READABLE_SYMBOLS = 4
# Shorter names occur in ordinary words ("ian" in "radiant").
_MIN_CHECKED_NAME = 4
LONGEST_HASHED = 4096
"""Maximum characters that passlib hashes, before and after NFKC. More than any setting allows."""


def normalize_password(raw: str) -> str:
    """The form that is hashed: NFKC, since keyboards differ in the form they produce."""
    return unicodedata.normalize("NFKC", raw)


def format_problem(raw: str, *, shortest: int, longest: int) -> Problem | None:
    """Check length and encoding. Any character is allowed and none is required. Lengths are in code points.

    The longest is checked before NFKC, which can expand a text 18 times.
    """
    if len(raw) > longest:
        return Problem(FieldErrorCode.TOO_LONG, f"A password has at most {longest} characters.")
    if not is_text(raw):
        return Problem(FieldErrorCode.INVALID_CHARACTERS, "This is not valid Unicode text.")
    normalized = normalize_password(raw)
    if len(normalized) > LONGEST_HASHED:
        return Problem(FieldErrorCode.TOO_LONG, "This password has too many ligatures: use fewer.")
    # NFKC can turn one character into 18, which still count as one; and eight into four, which count as four.
    if min(len(raw), len(normalized)) < shortest:
        return Problem(FieldErrorCode.TOO_SHORT, f"A password has at least {shortest} characters.")
    return None


def guessability_problem(raw: str, *, name_key: str, fewest_guesses: float) -> Problem | None:
    """Check how easily the password is guessed: the owner's name in it, word lists, patterns.

    fewest_guesses: minimum log10 of the guesses that zxcvbn estimates. Only the start is scored: the rest could only
    raise the estimate. CPU-bound, about 45 ms at most: not for the event loop.
    """
    from zxcvbn import zxcvbn  # loads word lists

    password = normalize_password(raw)
    if len(name_key) >= _MIN_CHECKED_NAME and name_key in username_key(password):
        return Problem(FieldErrorCode.CONTAINS_USERNAME, "A password must not contain the username.")
    # No `user_inputs`: zxcvbn stores them in a module global, which threads would share.
    verdict = zxcvbn(_scored_part(password))
    if verdict["guesses_log10"] >= fewest_guesses:
        return None
    feedback = verdict["feedback"]
    advice = feedback["suggestions"] or ["Add another word or two. Uncommon words are better."]
    why = feedback["warning"].rstrip(".") or "This password is easy to guess"
    return Problem(FieldErrorCode.TOO_COMMON, f"{why}. {' '.join(advice)}")


def unchanged_problem(raw: str, current: str) -> Problem | None:
    """Check that a new password differs from the current one."""
    if normalize_password(raw) != normalize_password(current):
        return None
    return Problem(FieldErrorCode.UNCHANGED, "This is already your password. Choose another one.")


def _scored_part(password: str) -> str:
    """The part of the password that zxcvbn scores in about 45 ms at most."""
    # A repeated text once: zxcvbn detects repetition only in the whole password.
    periods = (period for period in range(1, len(password) // 2 + 1) if password.startswith(password[period:]))
    start = password[: next(periods, len(password))][:_SCORED_LENGTH]
    # zxcvbn passes over its word lists once per combination of readings of these symbols. Real words have few of them.
    return start.translate(_UNREADABLE) if len(set(start) & set(_LEET_SYMBOLS)) > _READABLE_SYMBOLS else start


_BCRYPT_BYTES = 72  # it ignores further bytes
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
            schemes=["bcrypt_sha256", "bcrypt"], deprecated=["bcrypt"], bcrypt_sha256__rounds=rounds
        )
        self._dummy_hash = _dummy_hash(rounds)

    def hash(self, password: str) -> str:
        """Hash a password that passed `format_problem`."""
        return str(self._context.hash(normalize_password(password)))

    def verify(self, password: str, stored_hash: str | None) -> PasswordVerdict:
        """Verify a password, with the same work for every account and password, and without a hash (unknown user).

        Length settings don't apply: the password may be imported, or older than the setting.
        """
        acceptable = (
            len(password) <= LONGEST_HASHED
            and is_text(password)
            and len(normalize_password(password)) <= LONGEST_HASHED
        )
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
