"""Rules for passwords (NIST SP 800-63B-4, 3.1.1.2)."""

import unicodedata

from graphql_mfa.core.inputs import FieldErrorCode, Problem
from graphql_mfa.core.texts import is_text
from graphql_mfa.core.usernames import username_key

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
