# ruff: noqa: RUF001 - look-alike characters are what these tests are about

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_mfa.core.recovery_codes import new_recovery_code, parse_recovery_code
from tests.core.texts import any_text

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TYPED = {character: character + character.lower() for character in CROCKFORD}
TYPED |= {digit: digit + chr(0xFF10 + int(digit)) + chr(0x0660 + int(digit)) for digit in "23456789"}
TYPED |= {"0": "0Oo０٠", "1": "1IiLl１١"}
SEPARATORS = st.sampled_from(["", "", "-", " ", "--", "\t", "\u2013", ".", "\u201c", "\u200b", "\ufe0f"])
CANONICAL = "0123456789ABCDEFGHJKMNPQ"


@st.composite
def codes_as_people_type_them(draw: st.DrawFn) -> tuple[str, str]:
    """A canonical code, and a text that someone made of it."""
    canonical = draw(st.text(CROCKFORD, min_size=24, max_size=24))
    hands = draw(st.lists(st.tuples(st.integers(0, 9), SEPARATORS), min_size=24, max_size=24))
    written = (
        TYPED[character][choice % len(TYPED[character])] + separator
        for character, (choice, separator) in zip(canonical, hands, strict=True)
    )
    return canonical, draw(SEPARATORS) + "".join(written)


def test_a_code_is_six_groups_of_four_and_120_random_bits() -> None:
    drawn = [new_recovery_code() for _ in range(200)]
    assert len(set(drawn)) == 200
    for code in drawn:
        assert [len(group) for group in code.split("-")] == [4] * 6
    # 24 characters of 5 bits each: none of the 32 is missing.
    assert set("".join(drawn)) == {*CROCKFORD, "-"}


def test_the_shown_code_is_the_canonical_form_in_groups() -> None:
    code = new_recovery_code()
    assert parse_recovery_code(code) == code.replace("-", "")


@given(codes_as_people_type_them())
def test_case_digits_separators_and_lookalikes_are_normalised(code: tuple[str, str]) -> None:
    canonical, typed = code
    assert parse_recovery_code(typed) == canonical


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("", id="empty"),
        pytest.param("-" * 24, id="hyphens"),
        pytest.param(CANONICAL[:-1], id="a character short"),
        pytest.param(f"{CANONICAL}0", id="a character too many"),
        pytest.param(f"{CANONICAL[:-1]}U", id="U, which Crockford left out"),
        pytest.param(f"{CANONICAL[:-1]}_", id="underscore"),
        pytest.param(f"{CANONICAL[:-1]}\0", id="NUL"),
        pytest.param(f"{CANONICAL[:-1]}\ud800", id="surrogate"),
        pytest.param(f"{CANONICAL[:-1]}①", id="circled digit"),
        pytest.param(f"{CANONICAL[:-1]}Ｑ", id="full-width letter"),
        pytest.param(f"{CANONICAL[:-2]}ß", id="a character whose capital is two"),
        pytest.param(f"{CANONICAL[:-1]}ı", id="a character whose capital is I"),
        pytest.param(f"{CANONICAL}{' ' * 100_000}", id="long"),
        pytest.param("123456", id="a one-time code"),
    ],
)
def test_malformed_recovery_codes_parse_to_none(raw: str) -> None:
    assert parse_recovery_code(raw) is None


@given(any_text)
def test_text_shorter_than_a_code_is_not_a_code(raw: str) -> None:
    assert parse_recovery_code(raw[:23]) is None
