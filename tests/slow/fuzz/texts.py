"""Text that layers interpret differently, and secrets and JSON that contain it."""

from hypothesis import strategies as st

from tests.slow.fuzz.answers import MARKER

HOSTILE = [
    "",
    "\0",
    "\ud800",
    "\udc00\ud800",
    "\uffff",
    "\u202eevil\u2066",
    "\u0645\u0631\u062d\u0628\u0627",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\ufdfa" * 200,
    "a" + "\u0301" * 500,
    "x" * 4_000,
    "9" * 4_000,
    "'; DROP TABLE mfa_users; --",
    "%s%n%x{0}{}${7*7}{{7*7}}",
    "<script>alert(1)</script>",
    '{"__typename": "SignedIn"}',
    "null",
    "NaN",
    "1e999",
    "\r\nSet-Cookie: a=b",
    "../../etc/passwd",
]

# Any character, lone surrogates too: JSON's escapes can say them.
TEXTS = st.text(st.characters(), max_size=40) | st.sampled_from(HOSTILE)
SECRETS = st.builds("{}{}{}".format, TEXTS, st.just(MARKER), TEXTS)
# Well-formed, so that they reach the store.
TOKENS = SECRETS | st.from_regex(rf"\Amfa[crp]_{MARKER}[A-Za-z0-9_-]{{35}}\Z")
CODES = SECRETS | st.from_regex(r"\A[0-9 ]{6,9}\Z") | st.from_regex(r"\A[0-9]{6}\Z")
RECOVERY_CODES = SECRETS | st.from_regex(rf"\A{MARKER}(-?[0-9A-TV-Z]{{4}}){{4}}\Z")

MEMBERS = [
    *("id", "rawId", "type", "authenticatorAttachment", "clientExtensionResults", "credProps", "rk", "response"),
    *("clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle", "transports"),
]
"""Of what `toJSON()` of a passkey returns."""
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, 2**63, -(2**64), 10**400])
    | st.floats(allow_nan=False, allow_infinity=False)
    | SECRETS
    | st.sampled_from(["public-key", "AA", "A", "====", "e30", "oA"])
)
CREDENTIALS: st.SearchStrategy[object] = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=6),
    max_leaves=20,
).filter(lambda value: value is not None)
