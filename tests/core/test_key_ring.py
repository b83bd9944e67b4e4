import hmac
import string
import traceback

import pytest
from hypothesis import given

from graphql_mfa.core.keys import InvalidKeyError, Key, KeyRing, new_key
from tests.core.texts import any_text

# Both have the characters in which the two base64 alphabets differ.
ENTRY = "mfak_S7KDkfGiHP2QGgHR0l-ZshdNP1hrc3gMqyOuPCb3ROURu_N9"
OTHER = "mfak_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-zmLND"
VISIBLE = sorted(set(string.printable) - set(string.whitespace))


def accepted(entries: list[str]) -> list[str]:
    """Those that are taken for keys."""
    taken = []
    for entry in entries:
        try:
            Key.parse(entry)
        except InvalidKeyError:
            continue
        taken.append(entry)
    return taken


def test_a_new_key_is_256_random_bits_that_the_ring_reads_back() -> None:
    entries = [new_key() for _ in range(100)]
    keys = {Key.parse(entry) for entry in entries}
    assert len(keys) == 100
    assert {len(key.material) for key in keys} == {32}
    assert KeyRing.parse(entries[0]).current == Key.parse(entries[0])


def test_a_key_with_any_character_mistyped_is_refused() -> None:
    mistyped = [
        ENTRY[:place] + character + ENTRY[place + 1 :]
        for place in range(len(ENTRY))
        for character in VISIBLE
        if character != ENTRY[place]
    ]
    assert accepted(mistyped) == []


def test_a_key_with_a_character_lost_or_added_is_refused() -> None:
    lost = [ENTRY[:place] + ENTRY[place + 1 :] for place in range(len(ENTRY))]
    added = [ENTRY[:place] + "A" + ENTRY[place:] for place in range(len(ENTRY) + 1)]
    cut = [ENTRY[:end] for end in range(len(ENTRY))]
    assert accepted(lost + added + cut) == []


@pytest.mark.parametrize(
    "entry",
    [
        "correct-horse-battery-staple",
        "mfak_",
        "mfak_correct-horse-battery-staple",
        "decrypt-only:correct-horse-battery-staple",
        "mfak_" + "A" * 43,  # 32 bytes without a checksum
        "mfak_" + "A" * 48,  # 36 bytes with a wrong one
        ENTRY.removeprefix("mfak_"),
        ENTRY.upper(),
        f"{ENTRY}=",
        f"{ENTRY}\u00e9",
        f"{ENTRY}\ud800",
        f"Decrypt-Only:{ENTRY}",
        f"decrypt-only:decrypt-only:{ENTRY}",
    ],
    ids=ascii,
)
def test_a_malformed_key_is_refused_without_repeating_it(entry: str) -> None:
    with pytest.raises(InvalidKeyError) as failure:
        KeyRing.parse(f"{OTHER},{entry}")
    shown = "".join(traceback.format_exception(failure.value))
    assert entry.rpartition(":")[2] not in shown
    assert OTHER not in shown


@given(any_text)
def test_arbitrary_text_is_not_a_key(text: str) -> None:
    with pytest.raises(InvalidKeyError):
        Key.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(" , ", id="separators"),
        pytest.param(f"decrypt-only:{ENTRY}", id="decrypt-only"),
        pytest.param(f"decrypt-only:{ENTRY},{OTHER}", id="decrypt-only first"),
        pytest.param(f"{ENTRY},{ENTRY}", id="one key twice"),
        pytest.param(f"{ENTRY},decrypt-only:{ENTRY}", id="one key, and the same as leaked"),
        pytest.param(f"{ENTRY},{OTHER},{OTHER}", id="one key twice behind another"),
    ],
)
def test_a_ring_without_one_key_to_sign_or_with_one_twice_is_refused(text: str) -> None:
    with pytest.raises(InvalidKeyError) as failure:
        KeyRing.parse(text)
    assert "mfak_" not in str(failure.value)


@pytest.mark.parametrize("separator", [",", ", ", " ", "\n", "\r\n", ",\n\t"], ids=ascii)
def test_entries_are_separated_by_commas_or_white_space(separator: str) -> None:
    ring = KeyRing.parse(f"{separator}{ENTRY}{separator}decrypt-only:{OTHER}{separator}")
    assert ring.current == Key.parse(ENTRY)
    assert ring.get(Key.parse(OTHER).id) == Key(Key.parse(OTHER).material, decrypt_only=True)


def test_a_decrypt_only_key_decrypts_and_does_not_sign() -> None:
    ring = KeyRing.parse(f"{ENTRY} decrypt-only:{OTHER}")
    current, leaked = Key.parse(ENTRY), Key.parse(f"decrypt-only:{OTHER}")
    assert leaked.decrypt_only
    assert (ring.get(current.id), ring.get(leaked.id)) == (current, leaked)
    assert ring.public == [current]
    assert ring.keys == [current, leaked]


def test_the_first_key_encrypts_and_all_keys_are_published_in_order() -> None:
    first, second = Key.parse(ENTRY), Key.parse(OTHER)
    for keys in ([first, second], [second, first]):
        ring = KeyRing(keys)
        assert ring.current is keys[0]
        assert ring.public == ring.keys == keys


def test_an_unknown_id_has_no_key() -> None:
    ring = KeyRing.parse(ENTRY)
    for key_id in (b"", b"\0" * 4, Key.parse(OTHER).id, Key.parse(ENTRY).id + b"\0"):
        assert ring.get(key_id) is None


def test_the_keys_derived_from_one_entry_are_unrelated() -> None:
    one, other = Key.parse(ENTRY), Key.parse(OTHER)
    derived = [
        secret
        for key in (one, other)
        for secret in (
            *(key.material, key.sealing, key.refresh, key.signing.private_bytes_raw()),
            key.signing_p256.private_numbers().private_value.to_bytes(32),
        )
    ]
    assert len(set(derived)) == 10
    assert {len(secret) for secret in derived} == {32}
    assert not any(one.id in secret for secret in derived)
    assert one.id != other.id


def test_derived_keys_are_those_of_rfc_5869_under_labels_that_every_version_shares() -> None:
    key = Key.parse(ENTRY)
    extracted = hmac.digest(bytes(32), key.material, "sha256")

    def expanded(label: bytes) -> bytes:
        return hmac.digest(extracted, label + b"\x01", "sha256")

    assert key.id == expanded(b"graphql-mfa key id")[:4]
    assert key.sealing == expanded(b"graphql-mfa sealed columns")
    assert key.refresh == expanded(b"graphql-mfa refresh tokens")
    assert key.signing.private_bytes_raw() == expanded(b"graphql-mfa access tokens")


def test_the_p256_key_is_the_extra_random_bits_method_of_fips_186_5_on_rfc_5869() -> None:
    key = Key.parse(ENTRY)
    order = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551  # SP 800-186 3.2.1.3
    extracted = hmac.digest(bytes(32), key.material, "sha256")
    label = b"graphql-mfa access tokens ES256"
    first = hmac.digest(extracted, label + b"\x01", "sha256")
    drawn = (first + hmac.digest(extracted, first + label + b"\x02", "sha256"))[:48]

    assert key.signing_p256.private_numbers().private_value == int.from_bytes(drawn) % (order - 1) + 1


def test_a_key_is_not_shown_in_tracebacks_and_logs() -> None:
    key = Key.parse(ENTRY)
    assert repr(key.material) not in repr(key)
    assert ENTRY not in repr(key)
