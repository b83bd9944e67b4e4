"""How another service checks an access token: `python verify_access_token.py [SERVER]`, with the token on stdin."""

import json
import os
import sys
from typing import Any

import jwt

ISSUER = os.environ.get("GRAPHQL_MFA_TOKEN_ISSUER", "graphql-mfa")
AUDIENCE = os.environ.get("GRAPHQL_MFA_TOKEN_AUDIENCE", "graphql-mfa")


def verify(token: str, keys: jwt.PyJWKClient) -> dict[str, Any]:
    """The claims of a token that is valid now; raises jwt.PyJWTError for any other."""
    checked = jwt.decode_complete(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=["EdDSA", "ES256"],  # never the token's own `alg` (RFC 8725 3.1); each key has one of them
        issuer=ISSUER,
        audience=AUDIENCE,
        options={"require": ["exp", "sub", "sid"]},
    )
    if checked["header"].get("typ") != "at+jwt":  # the same key may sign tokens of other kinds (RFC 9068 4)
        raise jwt.InvalidTokenError("This is no access token.")
    claims: dict[str, Any] = checked["payload"]
    return claims


if __name__ == "__main__":
    server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    # Create it once: it caches the keys for five minutes, and fetches them again for a key that it does not know.
    client = jwt.PyJWKClient(f"{server}/.well-known/jwks.json")
    try:
        print(json.dumps(verify(sys.stdin.read().strip(), client), indent=2))
    except jwt.PyJWTError as error:
        sys.exit(f"Refused: {error}")
