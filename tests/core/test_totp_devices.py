import pytest
from hypothesis import given

from graphql_mfa.core.problems import FieldErrorCode
from graphql_mfa.core.totp_devices import DEFAULT_DEVICE_NAME, device_name_problem
from tests.core.texts import any_text


def refusal(name: str) -> FieldErrorCode | None:
    problem = device_name_problem(name)
    if problem is None:
        return None
    assert problem.field == "name"
    assert not name.strip() or name not in problem.message
    return problem.code


@pytest.mark.parametrize(
    "name",
    [DEFAULT_DEVICE_NAME, "x", "work: phone", "Zoë's téléphone", "花子の携帯", "📱", "a\u00a0b", "x" * 64, "📱" * 64],
)
def test_a_name_that_can_be_seen_is_accepted(name: str) -> None:
    assert refusal(name) is None


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", FieldErrorCode.TOO_SHORT),
        ("x" * 65, FieldErrorCode.TOO_LONG),
        ("📱" * 65, FieldErrorCode.TOO_LONG),
        *(
            (name, FieldErrorCode.INVALID_CHARACTERS)
            for character in ("\0", "\n", "\x7f", "\u202e", "\u200b", "\u3164", "\u2800", "\ufe0f", "\u2028", "\ud800")
            for name in (character, f"work{character}phone")
        ),
        *(
            (name, FieldErrorCode.INVALID_CHARACTERS)
            for space in (" ", "\t", "\u00a0", "\u3000")
            for name in (space, f"{space}phone", f"phone{space}")
        ),
    ],
)
def test_another_name_is_refused(name: str, code: FieldErrorCode) -> None:
    assert refusal(name) is code


@given(any_text)
def test_a_name_that_is_accepted_is_short_and_has_no_space_around_it(name: str) -> None:
    if refusal(name) is None:
        assert 1 <= len(name.strip()) == len(name) <= 64
