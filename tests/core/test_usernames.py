# ruff: noqa: RUF001 - look-alike characters are what these tests are about

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_mfa.core.accounts import Username, lookup_key, parse_username, username_key
from graphql_mfa.core.inputs import FieldErrorCode, Problem
from tests.core.texts import any_text

# DerivedCoreProperties.txt, Default_Ignorable_Code_Point.
DEFAULT_IGNORABLE = [
    *(0x00AD, 0x034F, 0x061C, 0x3164, 0xFEFF, 0xFFA0),
    *range(0x115F, 0x1161),
    *range(0x17B4, 0x17B6),
    *range(0x180B, 0x1810),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    *range(0xFFF0, 0xFFF9),
    *range(0x1BCA0, 0x1BCA4),
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE1000),
]


def parse(raw: str) -> Username | Problem:
    return parse_username(raw, shortest=3, longest=64)


def refusal(raw: str) -> FieldErrorCode | None:
    result = parse(raw)
    if isinstance(result, Username):
        return None
    return result.code


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("Alice", "aLICE", id="case"),
        pytest.param("Alice", "Ａｌｉｃｅ", id="full width"),
        pytest.param("Straße", "STRASSE", id="sharp s"),
        pytest.param("STRAẞE", "strasse", id="capital sharp s"),
        pytest.param("Zo\u00eb", "Zoe\u0308", id="composed and decomposed"),
        pytest.param("ﬁona", "FIONA", id="ligature"),
        pytest.param("ΣΊΣΥΦΟΣ", "σίσυφος", id="final sigma"),
        pytest.param("\u212aelvin", "kelvin", id="Kelvin sign"),
        pytest.param("\u212bngström", "ångström", id="Ångström sign"),
        pytest.param("user①", "user1", id="circled digit"),
        pytest.param("Anna\u00a0Bell", "Anna Bell", id="no-break space"),
        pytest.param("İstanbul", "i\u0307stanbul", id="Turkish capital dotted I"),
        pytest.param("Ταΐς", "ΤΑΪ́Σ", id="letter without a composed capital"),
    ],
)
def test_spellings_of_one_name_have_one_key(one: str, other: str) -> None:
    assert username_key(one) == username_key(other)
    assert refusal(one) is refusal(other) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [("alice", "alicia"), ("Zoë", "Zoe"), ("anna bell", "annabell"), ("ılgaz", "ilgaz"), ("user1", "user2")],
)
def test_different_names_have_different_keys(one: str, other: str) -> None:
    assert username_key(one) != username_key(other)


@given(any_text)
def test_making_a_key_is_idempotent(name: str) -> None:
    assert username_key(username_key(name)) == username_key(name)


@given(st.text(min_size=3, max_size=64))
def test_an_accepted_name_is_kept_as_typed_and_its_key_is_normalised(name: str) -> None:
    result = parse(name)
    if isinstance(result, Username):
        assert result.shown == name
        assert result.key == username_key(name) == result.key.strip()
        assert ":" not in result.key
        assert parse_username(result.key, shortest=3, longest=10_000) == Username(result.key, result.key)


@given(any_text)
def test_checking_a_name_never_raises(name: str) -> None:
    assert isinstance(parse(name), Username | Problem)


@pytest.mark.parametrize(
    "name",
    [
        "alice",
        "Zoë",
        "花子さん",
        "anna bell",
        "o'neill",
        "a.b-c_d+e@example.org",
        "cat🐈",
        "ＡＬＩＣＥ",
        "محمد",
        "İstanbul",
        "123",
    ],
)
def test_a_name_is_shown_as_it_was_typed(name: str) -> None:
    assert parse(name) == Username(name, username_key(name))


@pytest.mark.parametrize(
    "character",
    [
        *("\0", "\t", "\n", "\r", "\x1f", "\x7f", "\x85"),  # control
        *("\u200e", "\u202e", "\u2066", "\u2069", "\u061c"),  # bidirectional
        *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad"),  # zero width
        *("\u3164", "\u115f", "\uffa0", "\u2800", "\ufe0f", "\U000e0100"),  # blank letters, variation selectors
        *("\u2028", "\u2029", "\ud800", "\udfff", "\ue000", "\uffff", "\u0378"),  # separators to unassigned
        *(":", "\uff1a", "\ufe55", "\u2a74"),  # colons, also those that only normalising shows
    ],
    ids=ascii,
)
def test_an_invisible_or_misleading_character_is_refused(character: str) -> None:
    assert refusal(f"al{character}ice") is FieldErrorCode.INVALID_CHARACTERS


def test_no_default_ignorable_character_of_unicode_is_accepted() -> None:
    accepted = [hex(code) for code in DEFAULT_IGNORABLE if refusal(f"al{chr(code)}ice") is None]
    assert accepted == []


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u1680", "\u2003", "\u202f", "\u3000"], ids=ascii)
@pytest.mark.parametrize("place", ["{}alice", "alice{}", "{}"])
def test_a_space_at_an_end_is_refused(place: str, space: str) -> None:
    assert refusal(place.format(space * 3)) is FieldErrorCode.INVALID_CHARACTERS


@pytest.mark.parametrize("name", ["´alice", "¨alice"])
def test_a_character_that_normalises_to_a_leading_space_is_refused(name: str) -> None:
    assert refusal(name) is FieldErrorCode.INVALID_CHARACTERS


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", FieldErrorCode.TOO_SHORT),
        ("ab", FieldErrorCode.TOO_SHORT),
        ("abc", None),
        ("🐈" * 2, FieldErrorCode.TOO_SHORT),
        ("🐈" * 3, None),
        ("ﬃ", FieldErrorCode.TOO_SHORT),  # one character, although three once normalised
        ("e\u0301a\u0301", FieldErrorCode.TOO_SHORT),  # two characters, although four code points
        ("a" * 64, None),
        ("a" * 65, FieldErrorCode.TOO_LONG),
        ("🐈" * 64, None),
        ("🐈" * 65, FieldErrorCode.TOO_LONG),
        ("ﷺ" * 64, None),
    ],
)
def test_a_name_has_3_to_64_characters(name: str, code: FieldErrorCode | None) -> None:
    assert refusal(name) is code


def test_a_length_of_one_is_in_the_singular() -> None:
    problems = [parse_username(name, shortest=1, longest=1) for name in ("", "ab")]
    assert [problem.message for problem in problems if isinstance(problem, Problem)] == [
        "A username has at least 1 character.",
        "A username has at most 1 character.",
    ]


def test_a_long_name_is_truncated_before_it_is_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """U+FDFA becomes 18 characters: a megabyte of it would keep a core busy."""
    assert len(unicodedata.normalize("NFKC", "ﷺ")) == 18
    monkeypatch.setattr("graphql_mfa.core.accounts.username_key", lambda _: pytest.fail("normalised"))
    assert refusal("ﷺ" * 65) is FieldErrorCode.TOO_LONG


@pytest.mark.parametrize(
    ("raw", "key"),
    [("ALICE", "alice"), ("a", "a"), ("n" * 255, "n" * 255), ("n" * 256, ""), ("al:ice", ""), ("", ""), (" \n", "")],
)
def test_only_names_that_an_account_can_have_are_looked_up(raw: str, key: str) -> None:
    """Also one that is shorter or longer than those of new accounts."""
    assert lookup_key(raw) == key
