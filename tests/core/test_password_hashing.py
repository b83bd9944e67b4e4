# ruff: noqa: RUF001 - look-alike characters are what these tests are about

import runpy
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from passlib.hash import bcrypt_sha256

from graphql_mfa.core import passwords
from graphql_mfa.core.passwords import PasswordHasher, PasswordVerdict, stored_cost

ROUNDS = 5
LONGEST = 128
PASSWORD = "correct horse battery staple"
WRONG = PasswordVerdict(right=False)

HASHER = PasswordHasher(ROUNDS)
CHEAPER = PasswordHasher(4)
DEARER = PasswordHasher(6)


def verify(password: str, stored_hash: str | None) -> PasswordVerdict:
    return HASHER.verify(password, stored_hash)


def plain_bcrypt(password: str, rounds: int = 4) -> str:
    """A hash as other systems store it: of the password's first 72 bytes."""
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(rounds)).decode()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The work of each bcrypt call from now on: two to the power of its cost."""
    done: list[int] = []
    hashpw = bcrypt.hashpw

    def counted(password: bytes, salt: bytes) -> bytes:
        done.append(2 ** int(salt.split(b"$")[2]))
        return hashpw(password, salt)

    monkeypatch.setattr(bcrypt, "hashpw", counted)
    return done


@pytest.mark.parametrize(
    ("password", "other"),
    [
        pytest.param(PASSWORD, "Correct horse battery staple", id="case"),
        pytest.param(PASSWORD, f"{PASSWORD} ", id="trailing space"),
        pytest.param(PASSWORD, "", id="empty"),
        pytest.param("a" * 72 + "b", "a" * 72 + "c", id="beyond bcrypt's 72 bytes"),
        pytest.param("a" * 72 + "b", "a" * 72, id="cut to 72 bytes"),
        pytest.param("ﷺ" * 127 + "b", "ﷺ" * 127 + "c", id="2287th character once normalised"),
        pytest.param("correct\0horse", "correct\0mouse", id="after a NUL"),
        pytest.param("correct\0horse", "correct", id="cut at a NUL"),
        pytest.param("\0" * 8, "\0" * 9, id="NULs"),
    ],
)
def test_every_character_of_a_password_counts(password: str, other: str) -> None:
    stored = HASHER.hash(password)
    assert verify(password, stored) == PasswordVerdict(right=True)
    assert verify(other, stored) == WRONG


@settings(max_examples=25)
@given(st.text(min_size=1, max_size=LONGEST))
def test_any_password_is_right_for_its_own_hash_only(password: str) -> None:
    stored = HASHER.hash(password)
    assert verify(password, stored) == PasswordVerdict(right=True)
    assert verify(password[:-1], stored) == WRONG


@pytest.mark.parametrize(
    ("stored", "typed"), [("p\u00e4ss", "pa\u0308ss"), ("pass1234", "ｐａｓｓ１２３４"), ("x²", "x2")]
)
def test_a_password_is_normalised_before_it_is_compared(stored: str, typed: str) -> None:
    assert verify(typed, HASHER.hash(stored)).right


def test_a_hash_is_salted() -> None:
    assert HASHER.hash(PASSWORD) != HASHER.hash(PASSWORD)


@pytest.mark.parametrize("length", [129, 180, 4096])
def test_a_password_above_the_maximum_length_is_compared_in_full(length: int) -> None:
    stored = HASHER.hash("a" * length)
    assert verify("a" * length, stored) == PasswordVerdict(right=True)
    assert verify("a" * (length - 1), stored) == WRONG


@pytest.mark.parametrize(
    "password",
    ["a" * 4097, "ﷺ" * 228, "12345678\ud800"],
    ids=["too long", "too long once normalised", "surrogate"],
)
def test_the_decoy_hashed_for_a_refused_password_is_not_accepted(password: str) -> None:
    assert verify(password, HASHER.hash("")) == WRONG


@pytest.mark.parametrize("stored", [None, ""])
@pytest.mark.parametrize("password", ["", PASSWORD, "None"])
def test_no_password_matches_the_decoy_hash_of_an_unknown_user(password: str, stored: str | None) -> None:
    assert verify(password, stored) == WRONG


@pytest.mark.parametrize(
    "password",
    [
        pytest.param("wrong", id="wrong"),
        pytest.param("", id="empty"),
        pytest.param("a" * 60_000, id="too long"),
        pytest.param("ﷺ" * 228, id="too long once normalised"),
        pytest.param("12345678\ud800", id="surrogate"),
        pytest.param("1234\x005678", id="NUL"),
        pytest.param("é" * 60, id="more than 72 bytes"),
    ],
)
@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(None, id="unknown user"),
        pytest.param(HASHER.hash(PASSWORD), id="current"),
        pytest.param(CHEAPER.hash(PASSWORD), id="cheaper"),
        pytest.param(plain_bcrypt(PASSWORD), id="imported, cheaper"),
        pytest.param(plain_bcrypt(PASSWORD, ROUNDS), id="imported"),
    ],
)
def test_every_wrong_password_takes_the_same_work(stored: str | None, password: str, work: list[int]) -> None:
    assert verify(password, stored) == WRONG
    assert sum(work) == 2**ROUNDS


def test_a_right_password_takes_as_much_work_as_a_wrong_one(work: list[int]) -> None:
    stored = HASHER.hash(PASSWORD)
    work.clear()
    assert verify(PASSWORD, stored).right
    assert work == [2**ROUNDS]


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_an_imported_hash_is_verified_and_replaced(prefix: str) -> None:
    verdict = verify(PASSWORD, plain_bcrypt(PASSWORD).replace("$2b$", prefix))
    assert verdict.right
    assert verdict.new_hash is not None
    assert verdict.new_hash.startswith("$bcrypt-sha256$")
    assert verify(PASSWORD, verdict.new_hash) == PasswordVerdict(right=True)
    assert verify(f"{PASSWORD}!", plain_bcrypt(PASSWORD)) == WRONG


def test_an_imported_hash_of_the_current_cost_is_replaced_too() -> None:
    assert verify(PASSWORD, plain_bcrypt(PASSWORD, ROUNDS)).new_hash is not None


@pytest.mark.parametrize("password", ["a" * 71, "é" * 35], ids=["ASCII", "é"])
def test_an_imported_hash_of_a_password_under_72_bytes_is_replaced(password: str) -> None:
    new_hash = verify(password, plain_bcrypt(password)).new_hash
    assert new_hash is not None
    assert verify(f"{password}!", new_hash) == WRONG


@pytest.mark.parametrize(
    "password", ["a" * 72, "a" * 180, "é" * 40, "a" + "é" * 40], ids=["72", "ASCII", "é", "cut inside a character"]
)
def test_an_imported_hash_of_72_bytes_is_not_replaced(password: str) -> None:
    imported = plain_bcrypt(password)
    for typed in (password, f"{password} mistyped"):
        assert verify(typed, imported) == PasswordVerdict(right=True)
    assert verify("b" + password[1:], imported) == WRONG


@pytest.mark.parametrize("password", ["geheim²", "50½ Äpfel", "pa\u0308sswort", "ﬁsherman"], ids=ascii)
def test_an_imported_hash_is_compared_without_normalising_the_password(password: str) -> None:
    """Its origin did not normalise, and ² or ½ is a key of many keyboards."""
    assert verify(password, plain_bcrypt(password)).right


@pytest.mark.parametrize("original", ["abc", "abc?def", "abc\ufffddef"])
def test_a_password_with_a_nul_never_matches_an_imported_hash(original: str) -> None:
    assert verify("abc\0def", plain_bcrypt(original)) == WRONG


@pytest.mark.parametrize("hasher", [CHEAPER, DEARER], ids=["cheaper", "dearer"])
def test_a_hash_of_another_cost_is_replaced_after_a_right_password(hasher: PasswordHasher) -> None:
    stored = hasher.hash(PASSWORD)
    new_hash = verify(PASSWORD, stored).new_hash
    assert new_hash is not None
    assert verify(PASSWORD, new_hash) == PasswordVerdict(right=True)
    assert verify("wrong", stored) == WRONG


PLAIN = plain_bcrypt(PASSWORD)
OWN = CHEAPER.hash(PASSWORD)


@pytest.mark.parametrize(
    "stored",
    [PLAIN, PLAIN.replace("$2b$", "$2a$"), PLAIN.replace("$2b$", "$2y$"), OWN],
    ids=["2b", "2a", "2y", "our own"],
)
def test_every_hash_with_a_known_cost_can_be_verified(stored: str) -> None:
    assert stored_cost(stored) == 4
    assert verify(PASSWORD, stored).right
    assert verify("wrong", stored) == WRONG


@pytest.mark.parametrize(
    "stored",
    [
        PLAIN[:29],
        OWN.rpartition("$")[0],
        PLAIN.replace("$2b$", "$2x$"),
        PLAIN.replace("$2b$", "$2$"),
        PLAIN.replace("$04$", "$03$"),
        PLAIN.replace("$04$", "$32$"),
        PLAIN.replace("$04$", "$4$"),
        bcrypt_sha256.using(rounds=4, version=1).hash(PASSWORD),
        PLAIN + "\n",
        PLAIN[:-1] + "\ud800",
        "",
    ],
    ids=[
        *("without a digest", "of our own without a digest", "2x", "2", "too cheap", "too dear", "one digit"),
        *("the first version of our own", "line feed", "lone surrogate", "empty"),
    ],
)
def test_an_unusable_hash_has_no_cost(stored: str) -> None:
    assert stored_cost(stored) is None


def test_passlib_beside_libpass_warns_at_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "passlib-1.7.4.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: passlib\nVersion: 1.7.4\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(RuntimeWarning, match="pip uninstall passlib libpass") as warned:
        runpy.run_path(passwords.__file__)
    assert len(warned) == 1
