"""Web origins, as operators list them and browsers send them in `Origin` (RFC 6454 6.2)."""

import re
from collections.abc import Iterable

# Web views and browser extensions have custom schemes, and hosts whose case is preserved.
_ORIGIN = re.compile(
    r"(?:(?P<web>https?)://(?:\*\.(?P<domain>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)|[a-z0-9._-]+|\[[0-9a-f:.]+\])"
    r"|(?!https?:|wss?:|file:)[a-z][a-z0-9+.-]*://[A-Za-z0-9._-]+)"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_DEFAULT_PORTS = {("http", "80"), ("https", "443")}
_MAX_PORT = 65_535
_LABEL = "[a-z0-9_-]+"


def parse_origin(text: str) -> str:
    """Validate an origin. `*` is any origin; in `https://*.example.com` it stands for one label.

    Raises ValueError for an origin that browsers never send, and for a wildcard below a public suffix
    (publicsuffix.org), where anyone can register a name.
    """
    if text == "*":
        return text
    found = _ORIGIN.fullmatch(text)
    if not found or found.group("web", "port") in _DEFAULT_PORTS or int(found["port"] or 0) > _MAX_PORT:
        raise ValueError(
            "an origin is as browsers send it: https://example.com, http://localhost:5173 or capacitor://localhost"
        )
    if found["domain"] and not _is_registered(found["domain"]):
        raise ValueError(
            "a wildcard needs a domain of your own, as in https://*.preview.example.com: below a public suffix anyone "
            "can register a name"
        )
    return text


def is_wildcard(origin: str) -> bool:
    """Whether it matches several origins."""
    return "*" in origin


def wildcard_pattern(origins: Iterable[str]) -> str | None:
    """A regular expression for entries such as `https://*.example.com`; None if there are none."""
    wildcards = [origin for origin in origins if is_wildcard(origin) and origin != "*"]
    return "|".join(re.escape(origin).replace(r"\*", _LABEL) for origin in wildcards) or None


def _is_registered(domain: str) -> bool:
    """Whether a single owner controls all names below the domain."""
    if domain.rpartition(".")[2].isdigit():  # the end of an IPv4 address
        return False
    from publicsuffixlist import PublicSuffixList  # reads 300 kB

    # A rule such as `*.example` makes each name below it a public suffix, so look up one below the domain.
    below = f"any.{domain}"
    return PublicSuffixList().privatesuffix(below) not in {None, below}
