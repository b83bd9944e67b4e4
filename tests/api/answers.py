"""Answers as tests expect them."""

import re

from tests.api_client import Result


class _Sentence:
    """Equal to any message for a person, which is for the product to word, but for a plural of one."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str) or re.search(r"\b1 (more )?\w+s\b", other):
            return False
        return re.fullmatch(r"[A-Z].+\.", other) is not None

    def __repr__(self) -> str:
        return "a sentence"


SENTENCE = _Sentence()


def failure(typename: str, **fields: object) -> Result:
    """A failure of that type with exactly these fields."""
    return {"__typename": typename, "message": SENTENCE, **fields}


CHALLENGE_EXPIRED = failure("ChallengeExpired")


def rate_limited(retry_after: int) -> Result:
    return failure("RateLimited", retryAfter=retry_after)
