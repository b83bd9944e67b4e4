# ruff: noqa: RUF001 - look-alike characters are what these tests are about

import pytest

from graphql_mfa.core.accounts import Username, parse_new_username, parse_username
from graphql_mfa.core.inputs import FieldErrorCode, Problem


def parse(raw: str) -> Username:
    name = parse_username(raw, shortest=1, longest=64)
    assert isinstance(name, Username)
    return name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("paypal", "pаypаl", id="some letters of another script"),
        pytest.param("coca", "соса", id="all letters of another script"),
        pytest.param("paypal", "ᏢᎪᎩᏢᎪᏞ", id="capitals of another script"),
        pytest.param("coca", "СОСА", id="another case"),
        pytest.param("ТОМ", "TOM", id="capitals whose small letters differ"),
        pytest.param("paypal", "PaypaI", id="I for l"),
        pytest.param("paypal", "paypa1", id="1 for l"),
        pytest.param("google", "g00gle", id="0 for o"),
        pytest.param("microsoft", "rnicrosoft", id="rn for m"),
        pytest.param("ivan", "ıvan", id="dotless i"),
        pytest.param("anna-bell", "anna‐bell", id="another hyphen"),
        pytest.param("Zoë", "Zoe\u0308", id="composition"),
    ],
)
def test_names_that_look_alike_have_one_skeleton(one: str, other: str) -> None:
    assert parse(one).skeleton == parse(other).skeleton


@pytest.mark.parametrize(
    ("one", "other"), [("alice", "alicia"), ("ali", "all"), ("Zoë", "Zoe"), ("иван", "ivan"), ("花子", "花于")]
)
def test_names_that_look_different_have_different_skeletons(one: str, other: str) -> None:
    assert parse(one).skeleton != parse(other).skeleton


@pytest.mark.parametrize(
    "name",
    [
        *("alice", "Zoë", "o'neill", "user_42", "a.b-c_d+e@example.org", "cat🐈", "12345"),
        *("иван@example.com", "мария.smith", "user-имя", "анна bell", "Ελένη", "محمد", "नमस्ते", "ᏣᎳᎩ", "Zoe\u0308"),
        *("花子さん", "ラーメン", "한글漢字", "ㄅㄆ漢", "tokyo東京", "トムtom", "tomトム花さ", "abc한글"),
    ],
)
def test_a_new_name_may_be_in_any_script(name: str) -> None:
    assert isinstance(parse_new_username(name, shortest=1, longest=64), Username)


@pytest.mark.parametrize(
    "name",
    ["pаypаl", "alice@pаypal.com", "αlice", "иvan", "abcمحمد", "한글さん", "ᏢaypaᏞ", "𝐩аypal", "tokyo東京а"],
)
def test_a_new_name_that_mixes_scripts_in_a_part_is_refused(name: str) -> None:
    problem = parse_new_username(name, shortest=1, longest=64)
    assert isinstance(problem, Problem)
    assert problem.code is FieldErrorCode.INVALID_CHARACTERS
    assert parse(name).mixes_scripts, "an account may have it already, and is found"
