"""What is text at all."""

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def is_text(raw: str) -> bool:
    """False for lone surrogates, which JSON can carry and UTF-8 cannot."""
    return _SURROGATE.search(raw) is None
