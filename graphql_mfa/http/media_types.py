"""Reading `Accept` and `Content-Type` (RFC 9110, 8.3.1 and 12.5.1)."""

import re

# A quote that never ends is taken to reach to the end; looking for its end again and again would take quadratic time.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)', re.DOTALL)


def accepted(header: str) -> dict[str, float]:
    """The media types that a client accepts, in lower case, with their weights; those of weight 0 are left out."""
    weights = {}
    # Quoted strings may hold separators, and none that matters here is quoted.
    for part in _QUOTED.sub("", header).split(","):
        media_type, parameters = parse(part)
        weight = _weight(parameters.get("q", "1"))
        if weight > 0:
            weights[media_type] = weight
    return weights


def parse(text: str) -> tuple[str, dict[str, str]]:
    """A media type in lower case, and its parameters."""
    media_type, *parameters = text.split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    return media_type.strip().lower(), {name.strip().lower(): value.strip(' \t"') for name, _, value in pairs}


def _weight(text: str) -> float:
    return float(text) if re.fullmatch(r"0(\.\d{0,3})?|1(\.0{0,3})?", text) else 1.0
