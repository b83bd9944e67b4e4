# ruff: noqa: RUF001 - look-alike characters are what these tests are about

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphql_mfa.core.accounts import username_key
from graphql_mfa.core.inputs import FieldErrorCode, Problem
from graphql_mfa.core.passwords import format_problem, guessability_problem, unchanged_problem

STRONG = "kV9#tLq2!xRw"


def format_refusal(password: str) -> FieldErrorCode | None:
    problem = format_problem(password, shortest=8, longest=128)
    return problem.code if problem else None


def judge(password: str, name: str = "alice") -> Problem | None:
    return guessability_problem(password, name_key=username_key(name), fewest_guesses=8)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", FieldErrorCode.TOO_SHORT),
        ("1234567", FieldErrorCode.TOO_SHORT),
        ("12345678", None),
        ("🐈" * 7, FieldErrorCode.TOO_SHORT),
        ("🐈" * 8, None),
        ("e\u0301" * 7, FieldErrorCode.TOO_SHORT),  # seven characters, although fourteen code points
        ("e\u0301" * 8, None),
        pytest.param("ﷺ", FieldErrorCode.TOO_SHORT, id="one character that normalises to 18"),
        pytest.param("a" * 128, None, id="128"),
        pytest.param("a" * 129, FieldErrorCode.TOO_LONG, id="129"),
        pytest.param("🐈" * 128, None, id="128 beyond the BMP"),
        pytest.param("ﷺ" * 128, None, id="128 that normalise to 2304"),
        pytest.param("ﷺ" * 129, FieldErrorCode.TOO_LONG, id="129 that normalise to more"),
    ],
)
def test_a_password_has_8_to_128_characters(password: str, code: FieldErrorCode | None) -> None:
    assert format_refusal(password) is code


@pytest.mark.parametrize(
    "password", [" " * 8, "\0" * 8, "tab\tnew\nline", "пароль-秘密", "\u200b\u202e\ufeff" * 3], ids=ascii
)
def test_any_character_is_allowed(password: str) -> None:
    assert format_refusal(password) is None


@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC00, 0xDFFF], ids=hex)
def test_a_lone_surrogate_is_refused(code: int) -> None:
    assert format_refusal(f"12345678{chr(code)}") is FieldErrorCode.INVALID_CHARACTERS


def test_a_long_password_is_truncated_before_it_is_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphql_mfa.core.passwords.normalize_password", lambda _: pytest.fail("normalised"))
    assert format_refusal("ﷺ" * 129) is FieldErrorCode.TOO_LONG


def test_a_password_that_grows_too_long_by_normalising_is_refused() -> None:
    problems = [format_problem("ﷺ" * length, shortest=8, longest=1024) for length in (227, 228)]
    assert [problem and problem.code for problem in problems] == [None, FieldErrorCode.TOO_LONG]


@pytest.mark.parametrize(
    "password",
    [
        "Password1",
        "12345678",
        "qwertyuiop",
        "iloveyou",
        "letmein1",
        "P@ssw0rd1",
        "trustno1!",
        "aaaaaaaaaaaaaaaa",
        "abababababababab",
        "abcdefghijkl",
        "19841984",
        "24.12.2001",
        "ｑｗｅｒｔｙ１２３",
        "Passw0rd!Passw0rd!Passw0rd!",
        pytest.param("letmein" * 10, id="a common one ten times"),
        pytest.param("password" * 16, id="a common one sixteen times"),
    ],
)
def test_a_common_password_is_refused_with_reason_and_advice(password: str) -> None:
    problem = judge(password)
    assert problem is not None
    assert problem.code is FieldErrorCode.TOO_COMMON
    why, _, what_helps = problem.message.partition(". ")
    assert why
    assert what_helps.endswith(".")
    assert password.casefold() not in problem.message.casefold()


@pytest.mark.parametrize(
    "password",
    [
        STRONG,
        "x7#Kq2!v",
        "8 Tk-e)Z",
        "correct horse battery staple",
        "The eleventh walrus paints a quiet accordion before breakfast, and nobody in the village ever objects to it.",
        "vier blaue Giraffen pfeifen",
        "семь синих жирафов свистят",
        "\0" + STRONG,
        pytest.param(STRONG * 10, id="120 characters"),
        pytest.param("password1234" + STRONG, id="a weak start"),
        pytest.param(STRONG + "password1234", id="a weak end"),
    ],
)
def test_a_password_that_is_hard_to_guess_is_accepted(password: str) -> None:
    assert format_refusal(password) is None
    assert judge(password) is None


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", f"alice{STRONG}"),
        ("alice", f"{STRONG}ALICE"),
        ("Alice", "kV9#tLaLiCeq2!xRw"),
        ("alice", f"{STRONG}ａｌｉｃｅ"),
        ("Straße", f"{STRONG}STRASSE"),
        ("anna", f"{STRONG}Anna"),
        ("anna bell", f"{STRONG}Anna\u00a0Bell"),
        # Folding takes these letters apart, and the key has them composed.
        ("Ταΐς", f"{STRONG}Ταΐς"),
        ("maǰid", f"{STRONG}maǰid"),
    ],
)
def test_a_password_with_the_username_in_it_is_refused(name: str, password: str) -> None:
    problem = judge(password, name)
    assert problem is not None
    assert problem.code is FieldErrorCode.CONTAINS_USERNAME
    assert name not in problem.message


@pytest.mark.parametrize("name", ["ian", "v9#", "bob"])
def test_a_short_username_may_occur_in_the_password(name: str) -> None:
    assert judge(f"{STRONG} {name}", name) is None


@pytest.mark.parametrize(("fewest_guesses", "refused"), [(0, False), (1, False), (5, True), (20, True)])
def test_the_lowest_number_of_guesses_decides(fewest_guesses: float, refused: bool) -> None:
    problem = guessability_problem("qwertyuiop", name_key="alice", fewest_guesses=fewest_guesses)
    assert (problem is not None) is refused


@pytest.mark.parametrize(
    "password",
    [f"{STRONG}{STRONG}é", f"{STRONG * 10}é", "a" * 128, "ﷺ" * 128, "ﷺ" * 127 + "a"],
    ids=["25", "121", "one over and over", "2304 once normalised", "2287 once normalised"],
)
def test_no_more_than_24_characters_are_scored(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    def zxcvbn(text: str, **_: object) -> dict[str, Any]:
        lengths.append(len(text))
        return {"guesses_log10": 20.0}

    monkeypatch.setattr("zxcvbn.zxcvbn", zxcvbn)
    assert judge(password) is None
    assert 0 < max(lengths) <= 24


@pytest.mark.parametrize(
    "password", ["%8@(([<069!15|34/+7$!x{4", "4@8({[<369!1|/0$5+7%2xz4", "0123456789@!|$+", "0123456789@|$+4444444444"]
)
def test_characters_that_stand_for_several_letters_do_not_multiply_the_work(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """zxcvbn searches its word lists once for each substitution: 741 times (250 ms) for the first of these."""
    from zxcvbn import matching

    passes = 0
    dictionary_match = matching.dictionary_match

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal passes
        passes += 1
        return dictionary_match(*args, **kwargs)

    monkeypatch.setattr(matching, "dictionary_match", counted)
    judge(password)
    assert passes < 150


@settings(max_examples=50)
@given(st.text(min_size=1, max_size=128))
def test_any_text_can_be_checked(password: str) -> None:
    problem = judge(password)
    assert problem is None or problem.code in {FieldErrorCode.TOO_COMMON, FieldErrorCode.CONTAINS_USERNAME}


@pytest.mark.parametrize("raw", [STRONG, "\uff4bV9#tLq2!xRw"], ids=["as it is", "in full width"])
def test_the_current_password_is_not_a_new_one(raw: str) -> None:
    problem = unchanged_problem(raw, STRONG)
    assert problem is not None
    assert problem.code is FieldErrorCode.UNCHANGED
    assert STRONG not in problem.message


@pytest.mark.parametrize("raw", [STRONG.lower(), f"{STRONG} ", STRONG[:-1]])
def test_any_other_password_counts_as_new(raw: str) -> None:
    assert unchanged_problem(raw, STRONG) is None
