"""Answers of passkeys that no authenticator gives: nothing raises, and each is refused or read in bounded time.

They are well-formed up to one layer, so that the next one gets hostile content: JSON, members, client data, CBOR,
authenticator data, keys.
"""

import json
from datetime import UTC, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from webauthn.helpers import (
    bytes_to_base64url,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    encode_cbor,
)

from graphql_mfa.core.passkeys import (
    Assertion,
    CredentialRecord,
    credential_id_of,
    decoy_key,
    user_handle_of,
    verify_assertion,
    verify_registration,
)
from tests.core.ceremonies import (
    ED,
    PARTY,
    HostilePasskey,
    Json,
    begin_registration,
    begin_sign_in,
    key_of,
    register,
    sign_in,
    with_appended,
    with_attestation,
    with_data,
    with_key,
    with_members,
)
from tests.slow.fuzz.answers import FUZZ
from tests.slow.fuzz.texts import TEXTS

# They take milliseconds.
BOUNDED = settings(FUZZ, deadline=timedelta(seconds=5))

PASSKEY = HostilePasskey()
REGISTRATION, CREATION_OPTIONS = begin_registration()
SIGN_IN, REQUEST_OPTIONS = begin_sign_in()
ANSWERS = (PASSKEY.create(CREATION_OPTIONS), PASSKEY.get(REQUEST_OPTIONS))

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
untagged: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | st.text() | st.binary(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.integers(-9, 9) | st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)
# CBOR has at least a byte for each item, of which 256 are accepted.
few = untagged.filter(lambda value: len(encode_cbor(value)) < 100)
tagged = st.recursive(
    untagged | st.integers() | st.datetimes(timezones=st.just(UTC)) | st.fractions() | st.sets(st.integers()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(-9, 9), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn, contents: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of which some were replaced, and something was cut off or appended."""
    content = bytearray(draw(contents))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, 2**12), st.integers(0, 255)), max_size=4)):
        content[at % len(content)] = byte
    return bytes(content[: draw(st.integers(1, 2**12))]) + draw(st.binary(max_size=9))


cbor = mutated(tagged.map(encode_cbor)) | st.binary(max_size=300)


def assert_no_exception(answer: object) -> None:
    """Whatever the answer is, each function returns what its type says."""
    credential_id = credential_id_of(answer)
    assert credential_id is None or 0 < len(credential_id) <= 1023
    assert isinstance(user_handle_of(answer), bytes | None)
    assert isinstance(verify_registration(PARTY, REGISTRATION, answer), CredentialRecord | None)
    assert isinstance(verify_assertion(PARTY, SIGN_IN, answer, key_of(PASSKEY)), Assertion | None)
    assert verify_assertion(PARTY, SIGN_IN, answer, decoy_key(credential_id or b"")) is None


@BOUNDED
@given(json_values)
def test_json_of_any_shape_is_refused(answer: Any) -> None:
    assert_no_exception(answer)
    assert verify_registration(PARTY, REGISTRATION, answer) is None
    assert verify_assertion(PARTY, SIGN_IN, answer, key_of(PASSKEY)) is None


@BOUNDED
@given(
    st.dictionaries(st.sampled_from(sorted(ANSWERS[0])), json_values, max_size=3),
    st.dictionaries(
        st.sampled_from(sorted(ANSWERS[0]["response"] | ANSWERS[1]["response"])),
        json_values | cbor.map(bytes_to_base64url),
        max_size=3,
    ),
)
def test_members_of_any_content_raise_nothing(members: Json, of_response: Json) -> None:
    for answer in ANSWERS:
        assert_no_exception(answer | {"response": answer["response"] | of_response} | members)


@BOUNDED
@given(
    st.dictionaries(
        st.sampled_from(["type", "challenge", "origin", "crossOrigin", "topOrigin", "tokenBinding", "x"]),
        json_values.filter(lambda value: value is not None),
    )
)
def test_client_data_of_any_content_is_refused_if_a_member_that_counts_is_wrong(members: Json) -> None:
    passkey = HostilePasskey(client_members=members)
    results = [register(passkey), sign_in(passkey)]
    is_in_frame = "topOrigin" in members or members.get("crossOrigin", False) is not False
    if is_in_frame or not members.keys().isdisjoint({"type", "challenge", "origin"}):
        assert results == [None, None]
    elif "tokenBinding" not in members:
        assert all(results)


@BOUNDED
@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_client_data_of_any_bytes_is_refused(client_data: bytes) -> None:
    change = with_members({"response.clientDataJSON": bytes_to_base64url(client_data)})
    assert register(PASSKEY, change) is None
    assert sign_in(PASSKEY, change) is None


@BOUNDED
@given(cbor)
def test_cbor_of_any_content_is_refused_where_a_registration_has_some(content: bytes) -> None:
    assert register(PASSKEY, with_members({"response.attestationObject": bytes_to_base64url(content)})) is None
    assert register(PASSKEY, with_attestation(authData=content)) is None
    assert register(PASSKEY, with_key(content)) is None


@BOUNDED
@given(few)
def test_a_statement_of_any_content_is_not_read(statement: Any) -> None:
    assert register(PASSKEY, with_attestation(fmt=statement, attStmt=statement))


@BOUNDED
@given(
    st.sampled_from(["ES256", "EdDSA"]),
    st.dictionaries(
        st.sampled_from([1, 3, -1, -2, -3]), st.integers(-300, 9) | st.binary(max_size=600) | tagged, max_size=3
    ),
)
def test_a_key_with_members_of_any_content_is_refused_or_can_be_loaded(algorithm: str, members: Json) -> None:
    passkey = HostilePasskey(algorithm=algorithm)
    new = register(passkey, with_key(passkey.cose_key() | members))
    if new:
        assert decoded_public_key_to_cryptography(decode_credential_public_key(new.public_key))


@BOUNDED
@given(st.data())
def test_registration_data_with_changed_bytes_is_refused_or_has_the_same_id(data: st.DataObject) -> None:
    new = register(PASSKEY, with_data(lambda content: data.draw(mutated(st.just(content)))))
    assert new is None or new.credential_id == PASSKEY.id


@BOUNDED
@given(cbor)
def test_extensions_of_any_bytes_are_refused_or_ignored(content: bytes) -> None:
    passkey = HostilePasskey(flipped=ED, appended=content)
    assert isinstance(sign_in(passkey), Assertion | None)
    passkey.appended = b""
    assert isinstance(register(passkey, with_appended(content)), CredentialRecord | None)


@BOUNDED
@given(st.dictionaries(st.text(max_size=9), few, max_size=2))
def test_extensions_of_any_values_are_ignored(extensions: Json) -> None:
    assert sign_in(HostilePasskey(flipped=ED, appended=encode_cbor(extensions)))
