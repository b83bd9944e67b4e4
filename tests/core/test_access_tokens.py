import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives import hmac
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.types import Options

from graphql_mfa.core.access_tokens import (
    AccessTokens,
    Grant,
    InvalidClaimsError,
    TokenSubject,
)
from graphql_mfa.core.accounts import FactorKind, NotAuthenticatedReason, Proof
from graphql_mfa.core.keys import Key, KeyRing
from tests.core.texts import any_text

KEY, SECOND_KEY, LEAKED_KEY, STRANGE_KEY = (Key(byte * 32, byte == b"l") for byte in (b"k", b"2", b"l", b"s"))
RING = KeyRing([KEY, SECOND_KEY, LEAKED_KEY])
TOKENS = AccessTokens(RING, issuer="our issuer", audience="our audience")
ES256_TOKENS = AccessTokens(RING, issuer="our issuer", audience="our audience", algorithm="ES256")
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
GRANT = Grant(
    user_id=UUID("00000000-0000-4000-8000-000000000001"),
    session_id=UUID("00000000-0000-4000-8000-000000000002"),
    generation=3,
    authenticated_at=NOW - timedelta(minutes=5),
    methods=("pwd", "otp"),
    issued_at=NOW,
    expires_at=NOW + timedelta(minutes=10),
)
SUBJECT = TokenSubject(GRANT.user_id, GRANT.session_id)
TOKEN = TOKENS.sign(GRANT, KEY)


def sign(key: Key = KEY, **changes: Any) -> str:
    return TOKENS.sign(replace(GRANT, **changes), key)


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = token.split(".")
    return json.loads(decode(header)), json.loads(decode(claims))


HEADER, CLAIMS = parts(TOKEN)
ES256_KID = f"{KEY.id.hex()}-ES256"
HEADER_JSON, CLAIMS_JSON = json.dumps(HEADER), json.dumps(CLAIMS)


def forge(header: str = HEADER_JSON, claims: str = CLAIMS_JSON, key: Key = KEY) -> str:
    """A token of any header and claims, JSON or not, that the key really signed."""
    signed = f"{encode(header.encode())}.{encode(claims.encode())}"
    return f"{signed}.{encode(key.signing.sign(signed.encode()))}"


def forge_es256(key: Key = KEY, **header: object) -> str:
    """A token that the key's P-256 half really signed."""
    head = HEADER | {"alg": "ES256", "kid": ES256_KID} | header
    signed = f"{encode(json.dumps(head).encode())}.{encode(CLAIMS_JSON.encode())}"
    r, s = decode_dss_signature(key.signing_p256.sign(signed.encode(), ECDSA(SHA256())))
    return f"{signed}.{encode(r.to_bytes(32) + s.to_bytes(32))}"


def with_header(key: Key = KEY, **changes: object) -> str:
    return forge(header=json.dumps(HEADER | changes), key=key)


def with_claims(**changes: object) -> str:
    return forge(claims=json.dumps(CLAIMS | changes))


def without_claim(name: str) -> str:
    return forge(claims=json.dumps({claim: value for claim, value in CLAIMS.items() if claim != name}))


def mac_with(
    public: Ed25519PublicKey | EllipticCurvePublicKey, kid: str, encoding: Encoding, form: PublicFormat
) -> str:
    """HS256 with the public key as secret, accepted by libraries that let the token choose the algorithm."""
    signed = f"{encode(json.dumps(HEADER | {'alg': 'HS256', 'kid': kid}).encode())}.{encode(CLAIMS_JSON.encode())}"
    mac = hmac.HMAC(public.public_bytes(encoding, form), SHA256())
    mac.update(signed.encode())
    return f"{signed}.{encode(mac.finalize())}"


def test_the_claims_are_those_of_rfc_9068_and_openid_connect() -> None:
    header, claims = parts(TOKEN)
    assert header == {"alg": "EdDSA", "typ": "at+jwt", "kid": KEY.id.hex()}
    assert isinstance(claims.pop("jti"), str)
    assert claims == {
        "iss": "our issuer",
        "aud": "our audience",
        "client_id": "our audience",
        "sub": "00000000-0000-4000-8000-000000000001",
        "sid": "00000000-0000-4000-8000-000000000002",
        "iat": 1_767_268_800,
        "exp": 1_767_269_400,
        "auth_time": 1_767_268_500,
        "amr": ["pwd", "otp", "mfa"],
        "acr": "aal2",
    }


def test_claims_of_the_host_are_signed_beside_ours() -> None:
    host_claims = {"roles": ["admin"], "https://shop.example/tenant": {"id": 7}}
    token = TOKENS.sign(GRANT, KEY, host_claims)
    claims = parts(token)[1]
    assert claims == CLAIMS | host_claims | {"jti": claims["jti"]}
    assert claims["jti"] != CLAIMS["jti"]
    assert TOKENS.check(token, NOW) == SUBJECT


def test_the_host_can_set_no_registered_claim_and_none_that_the_server_sets() -> None:
    for name in {*CLAIMS, "iss", "sub", "aud", "exp", "nbf", "iat", "jti"}:  # RFC 7519 4.1
        with pytest.raises(InvalidClaimsError, match=f"can't set {name}:"):
            TOKENS.sign(GRANT, KEY, {"role": "admin", name: 1})


def test_claims_of_the_host_that_do_not_fit_into_a_token_are_refused(subtests: pytest.Subtests) -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for claims in (None, "role", [("role", 1)], {1: "one"}, {"at": NOW}, {"share": float("nan")}, {"deep": deep}):
        with subtests.test(repr(type(claims))), pytest.raises(InvalidClaimsError) as failure:
            TOKENS.sign(GRANT, KEY, claims)  # type: ignore[arg-type]
        assert "2026" not in str(failure.value)


def test_a_token_fits_into_the_8_kib_header_limit_of_proxies() -> None:
    room = 4096 - len('{"groups":""}')
    assert len(TOKENS.sign(GRANT, KEY, {"groups": "x" * room})) < 7 * 1024
    with pytest.raises(InvalidClaimsError, match="4097 bytes of JSON; 4096 are allowed"):
        TOKENS.sign(GRANT, KEY, {"groups": "x" * (room + 1)})


def amr_of(*proofs: Proof, by_password: bool = True) -> object:
    """The claim of a session in which these factors were verified."""
    methods = ("pwd",) * by_password + tuple(method for proof in proofs for method in proof.methods)
    return parts(sign(methods=methods))[1]["amr"]


def test_amr_does_not_call_a_recovery_code_a_one_time_code() -> None:
    assert amr_of(Proof(FactorKind.RECOVERY_CODE)) == ["pwd", "recovery_code", "mfa"]


def test_amr_lists_all_factors_that_the_session_verified() -> None:
    proofs = (Proof(FactorKind.TOTP), Proof(FactorKind.RECOVERY_CODE))
    assert amr_of(*proofs) == ["pwd", "otp", "recovery_code", "mfa"]


def test_amr_says_whether_a_passkey_is_a_copy_and_whether_it_verified_its_user() -> None:
    """RFC 8176 2."""
    assert amr_of(Proof(FactorKind.PASSKEY)) == ["pwd", "hwk", "mfa"]
    assert amr_of(Proof(FactorKind.PASSKEY, synced=True)) == ["pwd", "swk", "mfa"]
    alone = Proof(FactorKind.PASSKEY, user_verified=True)
    assert amr_of(alone, by_password=False) == ["hwk", "user", "mfa"]


def test_every_factor_has_an_amr_value() -> None:
    assert all(Proof(factor).methods for factor in FactorKind)


def test_the_same_grant_and_key_give_the_same_token() -> None:
    assert TOKENS.sign(GRANT, KEY) == TOKEN
    assert TOKENS.sign(GRANT, SECOND_KEY) != TOKEN


@pytest.mark.parametrize(
    "change", [{"generation": 4}, {"session_id": UUID(int=9)}, {"issued_at": NOW + timedelta(seconds=1)}]
)
def test_another_issue_or_session_has_another_token_id(change: dict[str, Any]) -> None:
    _, claims = parts(sign(**change))
    assert claims["jti"] != CLAIMS["jti"]


@pytest.mark.parametrize("key", [KEY, SECOND_KEY])
def test_a_token_of_any_trusted_key_identifies_its_user_and_session(key: Key) -> None:
    assert TOKENS.check(TOKENS.sign(GRANT, key), NOW) == SUBJECT


@pytest.mark.parametrize("year", [2001, 2200])
def test_expiry_is_checked_with_the_given_time_not_the_system_clock(year: int) -> None:
    issued_at = NOW.replace(year=year)
    expires_at = issued_at + timedelta(minutes=10)
    token = sign(issued_at=issued_at, expires_at=expires_at)
    assert TOKENS.check(token, issued_at) == SUBJECT
    assert TOKENS.check(token, expires_at - timedelta(microseconds=1)) == SUBJECT
    assert TOKENS.check(token, expires_at) == NotAuthenticatedReason.TOKEN_EXPIRED
    assert TOKENS.check(token, expires_at + timedelta(days=1)) == NotAuthenticatedReason.TOKEN_EXPIRED


def test_a_token_never_outlives_the_expiry_told_to_the_client() -> None:
    expires_at = NOW + timedelta(seconds=600, microseconds=999_999)
    assert TOKENS.check(sign(expires_at=expires_at), expires_at) == NotAuthenticatedReason.TOKEN_EXPIRED


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: forge(key=STRANGE_KEY), id="signed by another key"),
        pytest.param(lambda: with_header(STRANGE_KEY, kid=STRANGE_KEY.id.hex()), id="unknown kid"),
        pytest.param(lambda: with_header(LEAKED_KEY, kid=LEAKED_KEY.id.hex()), id="decrypt-only key"),
        pytest.param(lambda: with_header(kid=SECOND_KEY.id.hex()), id="another key's kid"),
        pytest.param(lambda: with_header(kid=KEY.id.hex().upper()), id="kid in capitals"),
        pytest.param(lambda: with_header(kid=f"{KEY.id.hex()}\n"), id="kid with a line feed"),
        pytest.param(lambda: with_header(kid=None), id="kid null"),
        pytest.param(lambda: with_header(kid=[KEY.id.hex()]), id="kid a list"),
        pytest.param(lambda: with_header(kid="../../etc/passwd"), id="kid a path"),
        pytest.param(lambda: with_header(typ="JWT"), id="typ JWT"),
        pytest.param(lambda: with_header(typ=None), id="typ null"),
        pytest.param(lambda: with_header(typ=["at+jwt"]), id="typ a list"),
        pytest.param(lambda: with_header(alg="none"), id="alg none, signed"),
        pytest.param(lambda: with_header(alg="none").rpartition(".")[0] + ".", id="alg none, unsigned"),
        pytest.param(lambda: with_header(alg="HS256"), id="alg HS256, signed"),
        pytest.param(
            lambda: mac_with(KEY.signing.public_key(), KEY.id.hex(), Encoding.Raw, PublicFormat.Raw),
            id="HS256, raw public key",
        ),
        pytest.param(
            lambda: mac_with(KEY.signing.public_key(), KEY.id.hex(), Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            id="HS256, public key in PEM",
        ),
        pytest.param(
            lambda: mac_with(KEY.signing_p256.public_key(), ES256_KID, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            id="HS256, P-256 public key in PEM",
        ),
        pytest.param(lambda: with_header(kid=ES256_KID), id="signed with Ed25519, P-256 kid"),
        pytest.param(lambda: with_header(kid=ES256_KID, alg="ES256"), id="signed with Ed25519, P-256 kid and alg"),
        pytest.param(lambda: with_header(alg="ES256"), id="signed with Ed25519, alg ES256"),
        pytest.param(lambda: forge_es256(kid=KEY.id.hex()), id="signed with P-256, Ed25519 kid"),
        pytest.param(lambda: forge_es256(kid=KEY.id.hex(), alg="EdDSA"), id="signed with P-256, Ed25519 kid and alg"),
        pytest.param(lambda: forge_es256(alg="EdDSA"), id="signed with P-256, alg EdDSA"),
        pytest.param(lambda: forge_es256(alg="ES384"), id="signed with P-256, alg ES384"),
        pytest.param(lambda: forge_es256(STRANGE_KEY), id="signed by another P-256 key"),
        pytest.param(lambda: forge_es256(LEAKED_KEY, kid=f"{LEAKED_KEY.id.hex()}-ES256"), id="decrypt-only key, ES256"),
        pytest.param(lambda: forge_es256().rpartition(".")[0] + "." + encode(bytes(64)), id="ES256, r and s of zero"),
        pytest.param(lambda: with_header(alg=["EdDSA"]), id="alg a list"),
        pytest.param(lambda: with_header(crit=["exp"]), id="an extension that must be understood"),
        pytest.param(lambda: with_header(b64=False, crit=["b64"]), id="detached payload"),
        pytest.param(lambda: forge(header="[]"), id="header a list"),
        pytest.param(lambda: forge(header="null"), id="header null"),
        pytest.param(lambda: forge(header="{"), id="header not JSON"),
        pytest.param(lambda: forge(header='{"alg": ' + "9" * 5000 + "}"), id="header with 5,000 digits"),
        pytest.param(lambda: forge(header='{"alg": ' + "[" * 100_000), id="header nested deeply"),
        pytest.param(lambda: forge(claims="[]"), id="claims a list"),
        pytest.param(lambda: forge(claims="null"), id="claims null"),
        pytest.param(lambda: forge(claims="{"), id="claims not JSON"),
        pytest.param(lambda: forge(claims=CLAIMS_JSON[:-1] + ', "x": ' + "[" * 100_000), id="claims nested deeply"),
        pytest.param(lambda: forge(claims=f'{CLAIMS_JSON[:-1]}, "exp": {"9" * 5000}}}'), id="exp with 5,000 digits"),
        pytest.param(lambda: with_claims(iss="other"), id="another issuer"),
        pytest.param(lambda: with_claims(iss=["our issuer"]), id="iss a list"),
        pytest.param(lambda: with_claims(aud="other"), id="another audience"),
        pytest.param(lambda: with_claims(aud=["other"]), id="other audiences"),
        pytest.param(lambda: with_claims(aud=5), id="aud a number"),
        pytest.param(lambda: with_claims(sub="alice"), id="sub no id"),
        pytest.param(lambda: with_claims(sub=5), id="sub a number"),
        pytest.param(lambda: with_claims(sid="1"), id="sid no id"),
        pytest.param(lambda: with_claims(sid=None), id="sid null"),
        pytest.param(lambda: with_claims(sid={}), id="sid an object"),
        pytest.param(lambda: with_claims(exp="soon"), id="exp a word"),
        pytest.param(lambda: with_claims(exp=str(CLAIMS["exp"])), id="exp a string"),
        pytest.param(lambda: with_claims(exp=None), id="exp null"),
        pytest.param(lambda: with_claims(exp=[]), id="exp a list"),
        pytest.param(lambda: with_claims(exp=float("nan")), id="exp not a number"),
        pytest.param(lambda: with_claims(exp=float("inf")), id="exp never"),
        pytest.param(lambda: with_claims(exp=10**400), id="exp beyond any date"),
        *(
            pytest.param(lambda name=name: without_claim(name), id=f"no {name}")
            for name in ("iss", "aud", "sub", "sid", "exp")
        ),
        pytest.param(lambda: "", id="empty"),
        pytest.param(lambda: "..", id="dots"),
        pytest.param(lambda: f"{TOKEN}.", id="a part too many"),
        pytest.param(lambda: f"{TOKEN}=", id="padding"),
        pytest.param(lambda: f" {TOKEN}", id="space"),
        pytest.param(lambda: f"{TOKEN}\ud800", id="surrogate"),
        pytest.param(lambda: f"{TOKEN}é", id="not ASCII"),
        pytest.param(lambda: f"{TOKEN}\0", id="NUL"),
    ],
)
def test_a_token_that_is_not_ours_is_invalid_now_and_later(make: Callable[[], str]) -> None:
    token = make()
    assert TOKENS.check(token, NOW) == NotAuthenticatedReason.TOKEN_INVALID
    assert TOKENS.check(token, NOW + timedelta(days=1)) == NotAuthenticatedReason.TOKEN_INVALID


def test_the_forger_makes_a_valid_token_when_nothing_is_changed() -> None:
    """The forger's own check: with nothing changed its token is good."""
    assert TOKENS.check(forge(), NOW) == SUBJECT
    assert TOKENS.check(forge_es256(), NOW) == SUBJECT


def test_a_token_cut_anywhere_is_invalid() -> None:
    assert {TOKENS.check(TOKEN[:end], NOW) for end in range(len(TOKEN))} == {NotAuthenticatedReason.TOKEN_INVALID}


def test_a_token_with_a_part_of_another_token_is_invalid() -> None:
    other = sign(SECOND_KEY, user_id=UUID(int=9)).split(".")
    for place in range(3):
        mixed = TOKEN.split(".")
        mixed[place] = other[place]
        assert TOKENS.check(".".join(mixed), NOW) == NotAuthenticatedReason.TOKEN_INVALID


@given(st.one_of(any_text, st.lists(st.binary().map(encode), min_size=3, max_size=3).map(".".join)))
def test_arbitrary_text_is_not_a_token(text: str) -> None:
    assert TOKENS.check(text, NOW) == NotAuthenticatedReason.TOKEN_INVALID


@given(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.lists(st.text()) | st.just({"a": [{}]}),
    st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "x5c"]),
)
def test_arbitrary_token_headers_do_not_raise(value: object, name: str) -> None:
    checked = TOKENS.check(forge(header=json.dumps(HEADER | {name: value})), NOW)
    assert checked == NotAuthenticatedReason.TOKEN_INVALID or isinstance(checked, TokenSubject)


@pytest.mark.parametrize("key", [KEY, SECOND_KEY])
def test_tokens_of_both_algorithms_are_accepted_while_the_algorithm_is_changed(key: Key) -> None:
    token = ES256_TOKENS.sign(GRANT, key)
    assert parts(token) == ({"alg": "ES256", "typ": "at+jwt", "kid": f"{key.id.hex()}-ES256"}, CLAIMS)
    for tokens in (TOKENS, ES256_TOKENS):
        assert tokens.check(token, NOW) == SUBJECT
        assert tokens.check(TOKENS.sign(GRANT, key), NOW) == SUBJECT


def test_the_key_set_contains_only_public_parts_of_trusted_keys() -> None:
    keys = TOKENS.jwks()["keys"]
    assert [key["kid"] for key in keys] == [
        *(KEY.id.hex(), SECOND_KEY.id.hex()),
        *(f"{KEY.id.hex()}-ES256", f"{SECOND_KEY.id.hex()}-ES256"),
    ]
    for key in keys[:2]:
        assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
        assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("OKP", "Ed25519", "sig", "EdDSA")
    for key in keys[2:]:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "sig", "ES256")


def test_the_keys_that_sign_come_first_for_clients_that_take_the_first_key() -> None:
    eddsa, es256 = TOKENS.jwks()["keys"], ES256_TOKENS.jwks()["keys"]
    assert es256 == eddsa[2:] + eddsa[:2]


def test_a_token_can_be_verified_with_the_key_set_alone() -> None:
    published = json.loads(json.dumps(TOKENS.jwks()))
    signed, _, signature = TOKENS.sign(GRANT, SECOND_KEY).rpartition(".")
    header, _ = parts(f"{signed}.{signature}")
    (key,) = [key for key in published["keys"] if key["kid"] == header["kid"]]
    Ed25519PublicKey.from_public_bytes(decode(key["x"])).verify(decode(signature), signed.encode())


def test_the_key_set_can_be_read_by_a_jose_library() -> None:
    keys = jwt.PyJWKSet.from_dict(TOKENS.jwks())
    for token, kid in ((TOKEN, KEY.id.hex()), (ES256_TOKENS.sign(GRANT, KEY), ES256_KID)):
        options: Options = {"verify_exp": False, "verify_iat": False}
        assert jwt.decode(token, keys[kid], audience="our audience", options=options) == CLAIMS
