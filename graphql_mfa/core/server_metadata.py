"""Authorization server metadata (RFC 8414), by which other services find the public keys from the issuer alone."""

import re

JWKS_PATH = "/.well-known/jwks.json"
_METADATA_PATH = "/.well-known/oauth-authorization-server"
# No query and no fragment (RFC 8414 2), and no path that a router would read as a pattern.
_ISSUER = re.compile(r"https://[^/?#@\s]+((?:/[\w.~-]+)*)/?", re.ASCII)


def server_metadata(issuer: str) -> tuple[str, dict[str, object]] | None:
    """The path of an issuer's metadata, and the document. None unless the issuer is an https URL.

    The path of the issuer follows the well-known one (RFC 8414 3.1). The keys are below the issuer's URL, where the
    deployment is expected.
    """
    found = _ISSUER.fullmatch(issuer)
    if found is None:
        return None
    document: dict[str, object] = {
        "issuer": issuer,
        "jwks_uri": issuer.removesuffix("/") + JWKS_PATH,
        # There is no authorization or token endpoint. RFC 8414 requires the first member; without the second, clients
        # assume the grants authorization_code and implicit. So both stay, although 3.2 leaves empty arrays out.
        "response_types_supported": [],
        "grant_types_supported": [],
    }
    return _METADATA_PATH + found[1], document
