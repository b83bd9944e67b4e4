"""What is text at all."""


def is_text(raw: str) -> bool:
    """False for lone surrogates, which JSON can carry and UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in raw)
