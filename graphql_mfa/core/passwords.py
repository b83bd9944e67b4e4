"""Which passwords an account can have (NIST SP 800-63B-4, 3.1.1.2)."""

import unicodedata

from graphql_mfa.core.inputs import FieldErrorCode, Problem
from graphql_mfa.core.texts import is_text
from graphql_mfa.core.usernames import username_key

# zxcvbn takes seconds for long adversarial input; these bound it to some 45 ms of processor time.
_SCORED_LENGTH = 24
_LEET_SYMBOLS = "@({[<!|$+%"
_UNREADABLE = str.maketrans(_LEET_SYMBOLS, "~`^&*_=;:,")
_READABLE_SYMBOLS = 4
# A shorter name is found inside ordinary words ("ian" in "radiant").
_NAME_LENGTH_THAT_COUNTS = 4
LONGEST_HASHED = 4096
"""Characters, before and after NFKC, beyond which passlib hashes no password. More than any setting allows."""


def normalize_password(raw: str) -> str:
    """The form that is hashed: NFKC, so that a password typed on another keyboard is the same password."""
    return unicodedata.normalize("NFKC", raw)


def format_problem(raw: str, *, shortest: int, longest: int) -> Problem | None:
    """Judge length and text. The longest is checked before NFKC, which can expand a text 18 times.

    Any character is allowed and none is demanded. Lengths are in code points.
    """
    if len(raw) > longest:
        return Problem(FieldErrorCode.TOO_LONG, f"A password has at most {longest} characters.")
    if not is_text(raw):
        return Problem(FieldErrorCode.INVALID_CHARACTERS, "This is not valid Unicode text.")
    normalized = normalize_password(raw)
    if len(normalized) > LONGEST_HASHED:
        return Problem(FieldErrorCode.TOO_LONG, "This password has too many ligatures: use fewer.")
    # One character that normalises to eighteen is still one, and eight that compose to four are four.
    if min(len(raw), len(normalized)) < shortest:
        return Problem(FieldErrorCode.TOO_SHORT, f"A password has at least {shortest} characters.")
    return None


def guessability_problem(raw: str, *, name_key: str, fewest_guesses: float) -> Problem | None:
    """Judge how easily the password is guessed: its owner's name in it, word lists, patterns.

    `fewest_guesses` is the decimal logarithm of the guesses that zxcvbn must expect. Only the start is scored: what is
    strong enough at its start is strong enough. CPU-bound, up to some 45 ms: not for the event loop.
    """
    from zxcvbn import zxcvbn  # its word lists take a while to load, and only registration needs them

    password = normalize_password(raw)
    if len(name_key) >= _NAME_LENGTH_THAT_COUNTS and name_key in username_key(password):
        return Problem(FieldErrorCode.CONTAINS_USERNAME, "A password does not contain the username.")
    # No `user_inputs`: zxcvbn keeps them in a module global, where another thread's call would see them.
    verdict = zxcvbn(_scored_part(password))
    if verdict["guesses_log10"] >= fewest_guesses:
        return None
    feedback = verdict["feedback"]
    advice = feedback["suggestions"] or ["Add another word or two. Uncommon words are better."]
    why = feedback["warning"].rstrip(".") or "This password is easy to guess"
    return Problem(FieldErrorCode.TOO_COMMON, f"{why}. {' '.join(advice)}")


def unchanged_problem(raw: str, current: str) -> Problem | None:
    """Judge whether a new password is the current one, however either was typed."""
    if normalize_password(raw) != normalize_password(current):
        return None
    return Problem(FieldErrorCode.UNCHANGED, "This is your password already. Choose another one.")


def _scored_part(password: str) -> str:
    """The start of the password, in a form on which zxcvbn does not spend more than some 45 ms."""
    # Of a text that is repeated, once: zxcvbn would see the repetition only if nothing were cut.
    periods = (period for period in range(1, len(password) // 2 + 1) if password.startswith(password[period:]))
    start = password[: next(periods, len(password))][:_SCORED_LENGTH]
    # It tries every reading of every symbol that may stand for letters, one pass over the word lists for each
    # combination; nobody spells a word with five of these.
    return start.translate(_UNREADABLE) if len(set(start) & set(_LEET_SYMBOLS)) > _READABLE_SYMBOLS else start
