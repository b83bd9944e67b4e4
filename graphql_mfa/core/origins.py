"""Web origins, as operators list them and browsers send them in `Origin` (RFC 6454 6.2)."""

import re
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

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
    found = _match(text)
    if found is None:
        raise ValueError(
            "must list origins as browsers send them: https://example.com, http://localhost:5173, capacitor://localhost"
        )
    if found["domain"] and not _is_registered(found["domain"]):
        raise ValueError(
            "can have a wildcard only below a domain of your own, as in https://*.preview.example.com: below a public "
            "suffix anyone can register a name"
        )
    return text


def _match(text: str) -> "re.Match[str] | None":
    found = _ORIGIN.fullmatch(text)
    if found and (found.group("web", "port") in _DEFAULT_PORTS or int(found["port"] or 0) > _MAX_PORT):
        return None
    return found


def is_wildcard(origin: str) -> bool:
    """Whether it matches several origins."""
    return "*" in origin


def wildcard_pattern(origins: Iterable[str]) -> str | None:
    """A regular expression for entries such as `https://*.example.com`; None if there are none."""
    wildcards = [origin for origin in origins if is_wildcard(origin) and origin != "*"]
    return "|".join(re.escape(origin).replace(r"\*", _LABEL) for origin in wildcards) or None


_RP_ID = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*")
_ANDROID_APP = re.compile(r"android:apk-key-hash:[A-Za-z0-9_-]{43}")


def passkey_problem(rp_id: str, origins: Collection[str]) -> str | None:
    """Why browsers would refuse passkeys of that domain at these origins (WebAuthn L3 5.1.3 and 5.11).

    At least one origin must be at the domain or below it; others are related origins.
    """
    if not _RP_ID.fullmatch(rp_id) or not (rp_id == "localhost" or _is_registered(rp_id)):
        return (
            "GRAPHQL_MFA_PASSKEY_RP_ID must be a registered domain in lower case, such as example.com, or localhost: "
            "no address, no scheme and no port"
        )
    hosts = []
    for origin in origins:
        if _ANDROID_APP.fullmatch(origin):
            continue
        found = _match(origin)
        host = (urlsplit(origin).hostname or "") if found else ""
        is_secure = found and (found["web"] == "https" or (found["web"] and _is_at(host, "localhost")))
        if not is_secure or "*" in origin:
            return (
                f"GRAPHQL_MFA_PASSKEY_ORIGINS: {origin} can't use passkeys. Name each origin, as in "
                "https://app.example.com or http://localhost:5173"
            )
        hosts.append(host)
    if not any(_is_at(host, rp_id) for host in hosts):
        return (
            f"GRAPHQL_MFA_PASSKEY_ORIGINS: no origin is at {rp_id} or a subdomain of it, as GRAPHQL_MFA_PASSKEY_RP_ID "
            "requires"
        )
    return None


def _is_at(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _is_registered(domain: str) -> bool:
    """Whether a single owner controls all names below the domain."""
    if domain.rpartition(".")[2].isdigit():  # the end of an IPv4 address
        return False
    from publicsuffixlist import PublicSuffixList  # reads 300 kB

    # A rule such as `*.example` makes each name below it a public suffix, so look up one below the domain.
    below = f"any.{domain}"
    return PublicSuffixList().privatesuffix(below) not in {None, below}
