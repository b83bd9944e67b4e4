"""Origins of web pages, as the operator lists them and as browsers send them in `Origin` (RFC 6454 6.2)."""

import re
from collections.abc import Iterable

# Pages of web views and browser extensions have schemes of their own, and hosts whose case is kept.
_ORIGIN = re.compile(
    r"(?:(?P<web>https?)://(?:\*\.(?P<domain>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)|[a-z0-9._-]+|\[[0-9a-f:.]+\])"
    r"|(?!https?:|wss?:|file:)[a-z][a-z0-9+.-]*://[A-Za-z0-9._-]+)"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_OWN_PORTS = {("http", "80"), ("https", "443")}
_LAST_PORT = 65_535
_LABEL = "[a-z0-9_-]+"


def parse_origin(text: str) -> str:
    """Check an origin. `*` is any origin, `https://*.example.com` any with one label in place of the `*`.

    Raises ValueError for what no browser sends, and for a wildcard below a public suffix (publicsuffix.org), where
    anyone may have a name.
    """
    if text == "*":
        return text
    found = _ORIGIN.fullmatch(text)
    # Browsers leave out the scheme's own port.
    if not found or found.group("web", "port") in _OWN_PORTS or int(found["port"] or 0) > _LAST_PORT:
        raise ValueError(
            "an origin is as browsers send it: https://example.com, http://localhost:5173 or capacitor://localhost"
        )
    if found["domain"] and not _is_registered(found["domain"]):
        raise ValueError(
            "a wildcard needs a domain of your own, as in https://*.preview.example.com: below a public suffix anyone "
            "may have a name"
        )
    return text


def is_wildcard(origin: str) -> bool:
    """Whether it stands for several origins."""
    return "*" in origin


def wildcard_pattern(origins: Iterable[str]) -> str | None:
    """A regular expression for the origins that `https://*.example.com` stands for; None without such an entry."""
    wildcards = [origin for origin in origins if is_wildcard(origin) and origin != "*"]
    return "|".join(re.escape(origin).replace(r"\*", _LABEL) for origin in wildcards) or None


def _is_registered(domain: str) -> bool:
    """Whether one owner controls all names below the domain."""
    if domain.rpartition(".")[2].isdigit():  # the end of an IPv4 address
        return False
    from publicsuffixlist import PublicSuffixList  # reads 300 kB, so only where it is needed

    # Asked of a name below the domain, since a rule such as `*.example` makes each of those a public suffix.
    below = f"any.{domain}"
    return PublicSuffixList().privatesuffix(below) not in {None, below}
