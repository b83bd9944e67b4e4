"""Which passwords an account can have (NIST SP 800-63B-4, 3.1.1.2)."""

import unicodedata

from graphql_mfa.core.problems import Problem, ProblemCode

# zxcvbn takes seconds for long adversarial input; 24 characters bound it to some 20 ms.
_SCORED_LENGTH = 24
# A shorter name is found inside ordinary words ("ian" in "radiant").
_NAME_LENGTH_THAT_COUNTS = 4


def normalize_password(raw: str) -> str:
    """The form that is hashed: NFKC, so that a password typed on another keyboard is the same password."""
    return unicodedata.normalize("NFKC", raw)


def is_text(raw: str) -> bool:
    """False for lone surrogates, which JSON can carry and UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in raw)


def format_problem(raw: str, *, shortest: int, longest: int, field: str = "password") -> Problem | None:
    """Judge length and text. The longest is checked before NFKC, which can expand a text 18 times.

    Any character is allowed and none is demanded. Lengths are in code points.
    """
    if len(raw) > longest:
        return Problem(field, ProblemCode.TOO_LONG, f"A password has at most {longest} characters.")
    if not is_text(raw):
        return Problem(field, ProblemCode.INVALID_CHARACTERS, "This is not valid Unicode text.")
    if len(normalize_password(raw)) < shortest:
        return Problem(field, ProblemCode.TOO_SHORT, f"A password has at least {shortest} characters.")
    return None


def guessability_problem(raw: str, *, name_key: str, lowest_score: int, field: str = "password") -> Problem | None:
    """Judge how easily the password is guessed: its owner's name in it, word lists, patterns.

    `lowest_score` is on zxcvbn's scale (0 to 4). Of a long password the first and the last characters are scored, so
    that neither a weak start nor a weak end decides alone. CPU-bound, up to some 20 ms: not for the event loop.
    """
    from zxcvbn import zxcvbn

    password = normalize_password(raw)
    if len(name_key) >= _NAME_LENGTH_THAT_COUNTS and name_key in password.casefold():
        return Problem(field, ProblemCode.CONTAINS_USERNAME, "A password does not contain the username.")
    half = _SCORED_LENGTH // 2
    scored = password if len(password) <= _SCORED_LENGTH else password[:half] + password[-half:]
    # No `user_inputs`: zxcvbn keeps them in a module global, where another thread's call would see them.
    verdict = zxcvbn(scored)
    if verdict["score"] >= lowest_score:
        return None
    feedback = verdict["feedback"]
    advice = feedback["suggestions"] or ["Add another word or two. Uncommon words are better."]
    why = feedback["warning"].rstrip(".") or "This password is easy to guess"
    return Problem(field, ProblemCode.TOO_COMMON, f"{why}. {' '.join(advice)}")
