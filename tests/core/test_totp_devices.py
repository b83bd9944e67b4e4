# ruff: noqa: RUF001 - names in other scripts are what these tests are about

import pytest
from hypothesis import given

from graphql_mfa.core.inputs import FieldErrorCode, Problem, parse_factor_name
from graphql_mfa.core.totp import DEFAULT_DEVICE_NAME
from tests.core.texts import any_text


def refusal(name: str) -> FieldErrorCode | None:
    problem = parse_factor_name(name)
    if not isinstance(problem, Problem):
        return None
    assert not name.strip() or name not in problem.message
    return problem.code


@pytest.mark.parametrize(
    "name",
    [
        *(
            DEFAULT_DEVICE_NAME,
            "x",
            "work: phone",
            "Zoë's téléphone",
            "花子の携帯",
            "📱",
            "a\u00a0b",
            "x" * 64,
            "📱" * 64,
        ),
        *("❤\ufe0f phone", "my ❤\ufe0f", "1\ufe0f\u20e3", "👩\u200d💻 laptop", "👁\ufe0f\u200d🗨\ufe0f", "👋🏽", "🇨🇭"),
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        *("می\u200cخواهم", "क्\u200dष", "葛\U000e0100城"),
    ],
    ids=ascii,
)
def test_a_visible_name_is_kept_as_typed(name: str) -> None:
    assert parse_factor_name(name) == name


@pytest.mark.parametrize(
    "typed", ["iPhone ", "\tiPhone", "\u3000iPhone\u00a0", "iPhone\n", "\u200eiPhone\u200c"], ids=ascii
)
def test_spaces_at_the_ends_are_removed(typed: str) -> None:
    assert parse_factor_name(typed) == "iPhone"


def test_removed_spaces_do_not_count_towards_the_length() -> None:
    assert parse_factor_name(" " * 100 + "x" * 64 + " ") == "x" * 64


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *((blank, FieldErrorCode.TOO_SHORT) for blank in ("", " ", "\n\u3000", "\u200d", "\u202e")),
        ("x" * 65, FieldErrorCode.TOO_LONG),
        ("📱" * 65, FieldErrorCode.TOO_LONG),
        *(
            (f"work{character}phone", FieldErrorCode.INVALID_CHARACTERS)
            for character in (
                "\0",
                "\n",
                "\x7f",
                "\u202e",
                "\u200b",
                "\u3164",
                "\u2800",
                "\u2028",
                "\ud800",
                "\U000e0067",
            )
        ),
        *(
            (name, FieldErrorCode.INVALID_CHARACTERS)
            for name in (
                "\ufe0f",
                "\ufe0fphone",
                "work \ufe0fphone",
                "work\u200d phone",
                "work \u200cphone",
                "\u3164\ufe0f",
            )
        ),
    ],
    ids=ascii,
)
def test_an_invalid_name_is_refused(name: str, code: FieldErrorCode) -> None:
    assert refusal(name) is code


@given(any_text)
def test_a_name_that_is_accepted_is_short_and_has_no_space_around_it(raw: str) -> None:
    name = parse_factor_name(raw)
    if isinstance(name, str):
        assert 1 <= len(name.strip()) == len(name) <= 64
        assert parse_factor_name(name) == name
