import base64
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from graphql_mfa.core.totp import (
    Accepted,
    AlreadyUsed,
    ClockBehind,
    CodeVerdict,
    Malformed,
    TotpParameters,
    Wrong,
    new_secret,
    provisioning_uri,
    seconds_until_step,
    time_step,
    verify_code,
)
from tests.authenticator import code_of_step
from tests.core.texts import any_text

RFC_SECRET = base64.b32encode(b"12345678901234567890").decode()
EPOCH = datetime.fromtimestamp(0, UTC)
NOW = datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)
STEP = 58_907_520  # of NOW
PARAMETERS = TotpParameters()

secrets = st.binary(min_size=20, max_size=20).map(lambda key: base64.b32encode(key).decode())
times = st.timedeltas(timedelta(days=1), timedelta(days=80_000)).map(lambda since: EPOCH + since)


def judge(
    code: str, *, now: datetime = NOW, last_step: int | None = None, parameters: TotpParameters = PARAMETERS
) -> CodeVerdict:
    return verify_code(RFC_SECRET, code, now, last_step=last_step, parameters=parameters)


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (59, "94287082"),
        (1_111_111_109, "07081804"),
        (1_111_111_111, "14050471"),
        (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"),
        (20_000_000_000, "65353130"),
    ],
)
def test_the_vectors_of_rfc_6238_are_accepted(second: int, code: str) -> None:
    now = datetime.fromtimestamp(second, UTC)
    assert judge(code, now=now, parameters=TotpParameters(digits=8)) == Accepted(second // 30)


@pytest.mark.parametrize("into_the_step", [timedelta(0), timedelta(seconds=30, microseconds=-1)])
@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        (-12, Wrong()),
        (-11, Wrong()),
        (-10, ClockBehind(300)),
        (-3, ClockBehind(90)),
        (-2, ClockBehind(60)),
        (-1, Accepted(STEP - 1)),
        (0, Accepted(STEP)),
        (1, Accepted(STEP + 1)),
        (2, Wrong()),
        (3, Wrong()),
        (10, Wrong()),
    ],
)
def test_one_step_either_side_is_accepted_and_only_a_slow_clock_is_reported(
    steps: int, verdict: CodeVerdict, into_the_step: timedelta
) -> None:
    now = NOW - timedelta(seconds=10) + into_the_step
    assert judge(code_of_step(RFC_SECRET, STEP + steps), now=now) == verdict


@pytest.mark.parametrize(
    ("steps", "last", "verdict"),
    [
        (0, 0, AlreadyUsed(STEP)),
        (-1, -1, AlreadyUsed(STEP - 1)),
        (1, 1, AlreadyUsed(STEP + 1)),
        (-3, -3, AlreadyUsed(STEP - 3)),
        (-11, -11, Wrong()),
        (-1, 0, Wrong()),
        (0, 1, Wrong()),
        (-2, -1, Wrong()),
        (-3, -2, Wrong()),
        (-3, -4, ClockBehind(90)),
        (-1, -2, Accepted(STEP - 1)),
        (0, -1, Accepted(STEP)),
        (1, 0, Accepted(STEP + 1)),
    ],
)
def test_a_step_is_accepted_once_and_never_after_a_newer_one(steps: int, last: int, verdict: CodeVerdict) -> None:
    assert judge(code_of_step(RFC_SECRET, STEP + steps), last_step=STEP + last) == verdict


def test_step_zero_is_used_once_like_any_other() -> None:
    code = code_of_step(RFC_SECRET, 0)
    assert judge(code, now=EPOCH) == Accepted(0)
    assert judge(code, now=EPOCH, last_step=0) == AlreadyUsed(0)
    assert judge(code_of_step(RFC_SECRET, 99), now=EPOCH) == Wrong()  # no earlier step is compared


@pytest.mark.parametrize(("window", "lookback"), [(0, 0), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1), (2, 5)])
def test_the_whole_window_is_accepted_however_short_the_lookback(window: int, lookback: int) -> None:
    parameters = TotpParameters(window=window, lookback=lookback)
    steps = range(STEP - window, STEP + window + 1)
    verdicts = [judge(code_of_step(RFC_SECRET, step), parameters=parameters) for step in steps]
    assert verdicts == [Accepted(step) for step in steps]


RIGHT = code_of_step(RFC_SECRET, STEP)


@pytest.mark.parametrize(
    "zero", ["0", "\uff10", "\u0660", "\u06f0", "\u0966", "\u07c0", "\U0001d7ce", "\U0001d7d8"], ids=ascii
)
def test_a_code_is_right_in_the_digits_of_any_script(zero: str) -> None:
    assert judge("".join(chr(ord(zero) + int(digit)) for digit in RIGHT)) == Accepted(STEP)


@pytest.mark.parametrize(
    "typed",
    [
        *("{0} {1}", " {0}{1}\n", "{0}\u00a0{1}", "{0}\u3000{1}", "{0}\t{1}", "{0}    {1}"),
        *("{0}-{1}", "{0}\u2011{1}", "\u2013{0}{1}", "{0}\u2212{1}", "{0}\u30fc{1}"),
        *("{0}.{1}", "{0}{1}.", "{0}\u00b7{1}", "{0}{1}\u3002"),
        *('"{0}{1}"', "'{0}{1}'", "\u201c{0}{1}\u201d", "\u00ab{0}{1}\u00bb", "\u201e{0}{1}\u201c", "`{0}{1}`"),
        *("{0}\u200b{1}", "\u200e{0}{1}", "\u202a{0}{1}\u202c", "\ufeff{0}{1}", "{0}{1}\ufe0f"),
        "{0}{1}" + "\u200b" * 250,
    ],
    ids=ascii,
)
def test_separators_and_invisible_characters_in_a_code_are_ignored(typed: str) -> None:
    assert judge(typed.format(RIGHT[:3], RIGHT[3:])) == Accepted(STEP)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("", id="empty"),
        pytest.param(RIGHT[:-1], id="a digit short"),
        pytest.param(f"0{RIGHT}", id="a leading zero too many"),
        pytest.param(f"{RIGHT}0", id="a digit too many"),
        pytest.param(f"{RIGHT}{RIGHT}", id="twice"),
        pytest.param(f"+{RIGHT}", id="plus"),
        pytest.param(f"{RIGHT}.0", id="decimal"),
        pytest.param(f"{RIGHT[:3]}_{RIGHT[3:]}", id="underscore"),
        pytest.param(f"{RIGHT}\0", id="NUL"),
        pytest.param(f"{RIGHT}\ud800", id="lone surrogate"),
        pytest.param(f"{RIGHT[:3]},{RIGHT[3:]}", id="comma"),
        pytest.param(hex(int(RIGHT)), id="hexadecimal"),
        pytest.param("abcdef", id="letters"),
        pytest.param(RIGHT[:-1] + "l", id="a letter for a digit"),
        pytest.param("".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in RIGHT), id="superscript"),
        pytest.param("".join(chr(0x2080 + int(digit)) for digit in RIGHT), id="subscript"),
        pytest.param("".join("⓪①②③④⑤⑥⑦⑧⑨"[int(digit)] for digit in RIGHT), id="circled"),
        pytest.param(RIGHT + "\u200b" * 251, id="a code in 257 code points"),
    ],
)
def test_malformed_codes_are_wrong(code: str) -> None:
    assert judge(code) == Malformed(6)


@given(any_text)
def test_any_text_without_six_digits_is_wrong(text: str) -> None:
    assume(sum(map(str.isdecimal, text)) != 6)
    assert judge(text) == Malformed(6)


@given(secrets, times, st.integers(-1, 1), st.one_of(st.none(), st.integers(-20, 20)))
def test_an_authenticator_within_a_step_is_accepted_unless_its_step_is_used_up(
    secret: str, now: datetime, steps: int, last: int | None
) -> None:
    current = int(now.timestamp()) // 30
    last_step = None if last is None else current + last
    code = code_of_step(secret, current + steps)
    verdict = verify_code(secret, code, now, last_step=last_step, parameters=PARAMETERS)
    if last_step is not None and last_step >= current + steps:
        assert not isinstance(verdict, Accepted)
    else:
        assume(last_step is None or code != code_of_step(secret, last_step))
        assert isinstance(verdict, Accepted)


@given(secrets, times, st.integers(-15, 15), st.one_of(st.none(), st.integers(-15, 15)))
def test_an_accepted_step_is_new_in_the_window_and_matches_the_code(
    secret: str, now: datetime, steps: int, last: int | None
) -> None:
    current = int(now.timestamp()) // 30
    last_step = None if last is None else current + last
    code = code_of_step(secret, current + steps)
    verdict = verify_code(secret, code, now, last_step=last_step, parameters=PARAMETERS)
    if isinstance(verdict, Accepted):
        assert verdict.step > (-1 if last_step is None else last_step)
        assert abs(verdict.step - current) <= 1
        assert code_of_step(secret, verdict.step) == code
    elif isinstance(verdict, ClockBehind):
        assert 2 * 30 <= verdict.seconds <= 10 * 30
        assert code_of_step(secret, current - verdict.seconds // 30) == code


def test_a_secret_is_160_random_bits() -> None:
    drawn = {base64.b32decode(new_secret()) for _ in range(100)}
    assert len(drawn) == 100
    assert {len(secret) for secret in drawn} == {20}


@pytest.mark.parametrize("account", ["alice", "Anna Bell", "Zoë", "花子", "a@b.example", "100% & more?", "a/b#c+d"])
@pytest.mark.parametrize("issuer", ["GraphQL MFA", "Größe & Söhne", "a/b?c#d"])
def test_the_uri_can_be_parsed_by_an_authenticator_app(account: str, issuer: str) -> None:
    uri = provisioning_uri(RFC_SECRET, account=account, issuer=issuer, parameters=PARAMETERS)
    assert uri.isascii()
    parts = urlsplit(uri)
    query = parse_qs(parts.query, strict_parsing=True)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("otpauth", "totp", "")
    assert unquote(parts.path) == f"/{issuer}:{account}"
    assert (query.pop("secret"), query.pop("issuer")) == ([RFC_SECRET], [issuer])
    # Key Uri Format: these are the defaults, so that they may be left out.
    assert query.items() <= {"algorithm": ["SHA1"], "digits": ["6"], "period": ["30"]}.items()


def test_the_uri_names_digits_and_period_that_are_not_the_default() -> None:
    parameters = TotpParameters(digits=8, period=60)
    uri = provisioning_uri(RFC_SECRET, account="alice", issuer="GraphQL MFA", parameters=parameters)
    query = parse_qs(urlsplit(uri).query)
    assert (query["digits"], query["period"]) == (["8"], ["60"])


@pytest.mark.parametrize(
    ("steps", "microseconds", "period", "seconds"),
    [
        (1, 0, 30, 20),
        (1, 1, 30, 20),
        (1, -1, 30, 21),
        (2, 0, 30, 50),
        (1, 19_000_000, 30, 1),
        (1, 19_999_999, 30, 1),
        (1, 20_000_000, 30, 1),
        (0, 0, 30, 1),
        (-5, 0, 30, 1),
        (1, 0, 60, 50),
    ],
)
def test_the_wait_for_a_step_is_whole_seconds_and_at_least_one(
    steps: int, microseconds: int, period: int, seconds: int
) -> None:
    step = int(NOW.timestamp()) // period + steps
    assert seconds_until_step(step, NOW + timedelta(microseconds=microseconds), period) == seconds


@given(times, st.integers(1, 20), st.integers(15, 120))
def test_the_wait_ends_exactly_when_the_device_shows_the_step(now: datetime, steps: int, period: int) -> None:
    step = time_step(now, period) + steps
    wait = seconds_until_step(step, now, period)
    assert time_step(now + timedelta(seconds=wait), period) == step
    assert time_step(now + timedelta(seconds=wait - 1), period) < step
