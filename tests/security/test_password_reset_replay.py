"""Attack: reset a password with codes that reset it before, or with one of them many times at once."""

import pytest

from graphql_mfa.services import Services
from tests.api.scenarios import reset_password, reset_with_both_codes
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import on_each_engine
from tests.security.attacks import at_once, kinds, real_member, scalar

PARALLEL = 8  # fewer than an address may try for one name
PASSWORDS = [f"{number} otters row upstream" for number in range(PARALLEL)]
ONE_WINS = {"PasswordChanged": 1, "ResetRejected": PARALLEL - 1}


async def recovery_codes_left(services: Services) -> int:
    left: int = await scalar(services, "SELECT count(*) FROM mfa_recovery_codes")
    return left


async def assert_one_password(api: Api, answers: list[str], username: str = "alice") -> None:
    """The account has the password whose reset was acknowledged."""
    winner = PASSWORDS[answers.index("PasswordChanged")]
    assert (await api.login(username, winner))["__typename"] == "OtpRequired"


async def test_reset_again_with_the_codes_of_a_reset(api: Api, services: Services) -> None:
    member = await api.member()
    assert (await reset_with_both_codes(api, member))["__typename"] == "PasswordChanged"

    again = await reset_with_both_codes(api, member, new_password=PASSWORDS[0])

    assert again["__typename"] == "ResetRejected"
    assert await recovery_codes_left(services) == 9
    assert (await api.login(password=PASSWORDS[0]))["__typename"] == "InvalidCredentials"


async def test_reset_again_with_one_of_the_codes_of_a_reset(api: Api, services: Services, clock: Clock) -> None:
    member = await api.member()
    assert (await reset_with_both_codes(api, member))["__typename"] == "PasswordChanged"
    used, next_one = code_at(member.secret, clock()), code_at(member.secret, clock(), 1)

    tries = [
        await reset_password(api, used, member.recovery_codes[1]),
        await reset_password(api, next_one, member.recovery_codes[0]),
    ]

    assert kinds(tries) == {"ResetRejected": 2}
    assert await recovery_codes_left(services) == 9
    # Neither the recovery code of the first try nor the one-time code of the second is used up.
    assert (await reset_password(api, next_one, member.recovery_codes[1]))["__typename"] == "PasswordChanged"


@on_each_engine
@pytest.mark.parametrize("recovery_codes", ["one", "a different one each"])
async def test_parallel_resets_with_one_one_time_code(api: Api, services: Services, recovery_codes: str) -> None:
    member = await api.member()
    code = code_at(member.secret, api.clock())
    proofs = member.recovery_codes[:1] * PARALLEL if recovery_codes == "one" else member.recovery_codes

    answers = await at_once(
        reset_password(api, code, proof, new_password=password)
        for proof, password in zip(proofs, PASSWORDS, strict=False)
    )

    assert kinds(answers) == ONE_WINS
    assert await recovery_codes_left(services) == 9
    await assert_one_password(api, [answer["__typename"] for answer in answers])


@on_each_engine
async def test_parallel_resets_with_one_recovery_code(api: Api, services: Services, clock: Clock) -> None:
    """Three one-time codes are right at once; the recovery code still counts once, and no other step is used up."""
    member = await api.member()
    clock.advance(30)
    codes = [code_at(member.secret, clock(), steps) for steps in (-1, 0, 1)]

    answers = await at_once(reset_password(api, code, member.recovery_codes[0]) for code in codes)

    assert kinds(answers) == {"PasswordChanged": 1, "ResetRejected": 2}
    assert await recovery_codes_left(services) == 9
    claimed = await scalar(services, "SELECT last_step FROM mfa_totp_devices")
    assert claimed == int(clock().timestamp()) // 30 + [a["__typename"] for a in answers].index("PasswordChanged") - 1


@on_each_engine
async def test_parallel_resets_at_two_processes(processes: list[Api], username: str) -> None:
    member = await real_member(processes[0], username)
    code = code_at(member.secret, processes[0].clock(), 1)

    answers = await at_once(
        reset_password(api, code, member.recovery_codes[0], username, password)
        for api, password in zip(processes * (PARALLEL // 2), PASSWORDS, strict=True)
    )

    assert kinds(answers) == ONE_WINS
    await assert_one_password(processes[1], [answer["__typename"] for answer in answers], username)


@on_each_engine
async def test_parallel_reset_and_sign_in_with_one_code(api: Api, services: Services, clock: Clock) -> None:
    """One of the two; and if the sign-in was first, its session is alive only if there was no reset."""
    member = await api.member()
    challenge, code = await api.challenge(), code_at(member.secret, clock())

    answers = await at_once([api.verify_otp(challenge, code), reset_password(api, code, member.recovery_codes[0])])

    signed_in, reset = (answer["__typename"] for answer in answers)
    assert (signed_in, reset) in {
        ("SignedIn", "ResetRejected"),
        ("ChallengeExpired", "PasswordChanged"),
        ("OtpAlreadyUsed", "PasswordChanged"),
    }
    assert await scalar(services, "SELECT count(*) FROM mfa_sessions") == (2 if signed_in == "SignedIn" else 0)
