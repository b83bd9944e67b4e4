"""Origins of web pages, as the operator lists them and as browsers send them in `Origin` (RFC 6454 6.2)."""

import re
from collections.abc import Iterable

# Pages of web views and browser extensions have schemes of their own, and hosts whose case is kept.
_ORIGIN = re.compile(
    r"(?:(?P<web>https?)://(?:\*\.(?P<domain>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)|[a-z0-9._-]+|\[[0-9a-f:.]+\])"
    r"|(?!https?:|wss?:|file:)[a-z][a-z0-9+.-]*://[A-Za-z0-9._-]+)"
    r"(?::(?P<port>[1-9]\d{0,4}))?"
)
_OWN_PORTS = {("http", "80"), ("https", "443")}
_LAST_PORT = 65_535
_LABEL = "[a-z0-9_-]+"


def parse_origin(text: str) -> str:
    """An origin, `*` for any, or `https://*.` and a domain for those with one label before it.

    Raises ValueError for what no browser sends, and for a wildcard below which anyone may have a name: the domain must
    belong to somebody by the Public Suffix List.
    """
    if text == "*":
        return text
    found = _ORIGIN.fullmatch(text)
    # Browsers leave out the scheme's own port.
    if not found or found.group("web", "port") in _OWN_PORTS or int(found["port"] or 0) > _LAST_PORT:
        raise ValueError(
            "an origin is as browsers send it: https://example.com, http://localhost:5173 or capacitor://localhost"
        )
    if found["domain"] and not _belongs_to_somebody(found["domain"]):
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


def _belongs_to_somebody(domain: str) -> bool:
    if domain.rpartition(".")[2].isdigit():  # the end of an IPv4 address
        return False
    from publicsuffixlist import PublicSuffixList  # parsing the list takes longer than starting without it

    # Asked of a name below the domain, since a rule such as `*.example` makes each of those a public suffix.
    below = f"any.{domain}"
    return PublicSuffixList().privatesuffix(below) not in {None, below}
