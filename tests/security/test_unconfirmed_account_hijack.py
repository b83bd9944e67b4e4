"""Attack: a password alone, against an account whose second factor was never confirmed, or was reset."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI

from graphql_mfa.flows.totp import enrollment_code_digest
from graphql_mfa.services import Services
from tests.api_client import RESTART_ENROLLMENT, Api, Result
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.security.attacks import at_once, attempts_counted, execute, guess, kinds, scalar, sessions_of

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

DAY = 86_400
OPERATORS_CODE = "FJ4K-99QP-TX2M-W7RD-1BVC-60HN"


# ------------------------------------------------------------------------------------------------ never confirmed


async def test_unconfirmed_account_opens_no_session_by_password_alone(api: Api, services: Services) -> None:
    await api.register()
    required = await api.login()
    challenge = required["challenge"]

    assert required["__typename"] == "OtpRequired"
    assert required["enrollmentPending"] is True
    assert await api.me(challenge["token"]) is None
    assert (await api.refresh(challenge["token"]))["__typename"] == "SessionExpired"
    assert (await api.verify_recovery_code(challenge, ""))["__typename"] == "InvalidRecoveryCode"
    assert (await guess(api, (await api.restart_enrollment(challenge))["enrollment"]["secret"]))[
        "__typename"
    ] == "InvalidOtp"
    assert await sessions_of(services) == 0


async def test_unconfirmed_account_expires_after_a_day(api: Api, clock: Clock, services: Services) -> None:
    """At once, before any purge: its login, its challenges, its device."""
    registered = await api.register()
    secret = registered["enrollment"]["secret"]
    clock.advance(DAY - 1)
    challenges = [await api.challenge() for _ in range(3)]
    clock.advance(1)

    assert (await api.login())["__typename"] == "InvalidCredentials"
    assert (await api.verify_otp(challenges[0], code_at(secret, clock())))["__typename"] == "ChallengeExpired"
    assert (await api.verify_recovery_code(challenges[1], ""))["__typename"] == "ChallengeExpired"
    assert (await api.restart_enrollment(challenges[2]))["__typename"] == "ChallengeExpired"
    assert await sessions_of(services) == 0
    assert await scalar(services, "SELECT count(*) FROM mfa_users") == 1  # nothing has purged it


async def test_unconfirmed_account_is_valid_within_a_day(api: Api, clock: Clock) -> None:
    registered = await api.register()
    clock.advance(DAY - 1)

    confirmed = await api.verify_otp(await api.challenge(), code_at(registered["enrollment"]["secret"], clock()))

    assert confirmed["__typename"] == "EnrollmentConfirmed"
    clock.advance(DAY * 400)
    assert (await api.login())["__typename"] == "OtpRequired"


async def test_unconfirmed_account_reserves_its_name_for_a_day_only(api: Api, clock: Clock) -> None:
    """The next owner of the name inherits nothing: neither password, nor secret, nor challenge."""
    squatted = await api.register(password="squatters-otter-rows-upstream")
    clock.advance(DAY - 1)
    old_challenge = await api.challenge(password="squatters-otter-rows-upstream")
    assert (await api.register())["__typename"] == "UsernameTaken"
    clock.advance(1)

    owned = await api.register()

    assert owned["__typename"] == "RegisterUserSuccess"
    assert owned["user"]["id"] != squatted["user"]["id"]
    old_code = code_at(squatted["enrollment"]["secret"], clock())
    assert (await api.login(password="squatters-otter-rows-upstream"))["__typename"] == "InvalidCredentials"
    for challenge in (old_challenge, squatted["challenge"]):
        assert (await api.verify_otp(challenge, old_code))["__typename"] == "ChallengeExpired"
    assert (await api.verify_otp(owned["challenge"], old_code))["__typename"] == "InvalidOtp"
    confirmed = await api.verify_otp(owned["challenge"], code_at(owned["enrollment"]["secret"], clock()))
    assert confirmed["__typename"] == "EnrollmentConfirmed"


async def test_unconfirmed_account_is_not_kept_alive_by_restarts(api: Api, clock: Clock) -> None:
    """The day starts at the registration, so restarts don't keep a name reserved."""
    await api.register()
    for _ in range(23):
        clock.advance(3600)
        assert (await api.restart_enrollment(await api.challenge()))["__typename"] == "EnrollmentRestarted"
    clock.advance(3600)

    assert (await api.login())["__typename"] == "InvalidCredentials"
    assert (await api.register())["__typename"] == "RegisterUserSuccess"


# ----------------------------------------------------------------------------------------------- restartEnrollment


async def test_restart_invalidates_the_old_secret_and_every_challenge(
    api: Api, clock: Clock, services: Services
) -> None:
    registered = await api.register()
    old_secret = registered["enrollment"]["secret"]
    challenges = [registered["challenge"], *[await api.challenge() for _ in range(3)]]

    restarted = await api.restart_enrollment(challenges[-1])

    assert restarted["__typename"] == "EnrollmentRestarted"
    assert restarted["enrollment"]["secret"] != old_secret
    for challenge in challenges:
        assert (await api.verify_otp(challenge, code_at(old_secret, clock())))["__typename"] == "ChallengeExpired"
        assert (await api.restart_enrollment(challenge))["__typename"] == "ChallengeExpired"
    for fresh in (restarted["challenge"], await api.challenge()):
        assert (await api.verify_otp(fresh, code_at(old_secret, clock())))["__typename"] == "InvalidOtp"
    assert await scalar(services, "SELECT count(*) FROM mfa_totp_devices") == 1
    assert await sessions_of(services) == 0


@on_each_engine
@pytest.mark.parametrize("first", ["code", "restart"])
async def test_restart_races_with_a_code_for_the_old_secret(
    api: Api, clock: Clock, services: Services, first: str
) -> None:
    """One of them wins; never is a secret confirmed that the other has just replaced."""
    registered = await api.register()
    old_secret = registered["enrollment"]["secret"]
    challenges = [registered["challenge"], *[await api.challenge() for _ in range(9)]]
    codes = [api.verify_otp(challenge, code_at(old_secret, clock())) for challenge in challenges[:5] * 5]
    restarts = [api.restart_enrollment(challenge) for challenge in challenges[5:] * 5]
    mixed = [one for pair in zip(codes, restarts, strict=True) for one in (pair if first == "code" else pair[::-1])]

    answers = kinds(await at_once(mixed))

    assert answers["EnrollmentConfirmed"] + answers["EnrollmentRestarted"] == 1
    enabled = await scalar(services, "SELECT count(*) FROM mfa_users WHERE mfa_enabled_at IS NOT NULL")
    assert enabled == answers["EnrollmentConfirmed"]
    assert await sessions_of(services) == answers["EnrollmentConfirmed"]
    if answers["EnrollmentRestarted"]:
        old_code = code_at(old_secret, clock())
        assert (await api.verify_otp(await api.challenge(), old_code))["__typename"] == "InvalidOtp"


@on_each_engine
async def test_restart_races_with_a_code_for_the_old_secret_in_two_processes(
    processes: list[Api], username: str
) -> None:
    api = processes[0]
    registered = await api.register(username)
    old_secret = registered["enrollment"]["secret"]
    challenges = [registered["challenge"], *[await api.challenge(username) for _ in range(9)]]
    code = code_at(old_secret, api.clock())

    answers = await at_once(
        client.verify_otp(challenge, code) if number % 2 else client.restart_enrollment(challenge)
        for number, (challenge, client) in enumerate(zip(challenges * 5, (processes * 25), strict=True))
    )

    assert kinds(answers)["EnrollmentConfirmed"] + kinds(answers)["EnrollmentRestarted"] == 1
    if kinds(answers)["EnrollmentRestarted"]:
        assert (await api.verify_otp(await api.challenge(username), code))["__typename"] == "InvalidOtp"


@on_each_engine
async def test_parallel_restarts_leave_one_secret(api: Api, clock: Clock, services: Services) -> None:
    await api.register()
    challenges = [await api.challenge() for _ in range(10)]

    answers = await at_once(api.restart_enrollment(challenge) for challenge in challenges * 5)

    assert kinds(answers)["EnrollmentRestarted"] == 1
    (restarted,) = [answer for answer in answers if answer["__typename"] == "EnrollmentRestarted"]
    assert await scalar(services, "SELECT count(*) FROM mfa_totp_devices") == 1
    code = code_at(restarted["enrollment"]["secret"], clock())
    assert (await api.verify_otp(restarted["challenge"], code))["__typename"] == "EnrollmentConfirmed"


# ------------------------------------------------------------------------------------------------------- confirmed


async def test_confirmed_account_is_not_enrolled_by_its_password(
    app: FastAPI, connect: Connect, clock: Clock, services: Services
) -> None:
    """The password was stolen; the second factor stays the owner's."""
    owner, thief = connect(app), connect(app, "203.0.113.9")
    member = await owner.member()

    for code in (None, "", OPERATORS_CODE):
        answer = await thief.restart_enrollment(await thief.challenge(), code)
        assert answer["__typename"] == "AlreadyEnrolled"
    assert (await thief.register())["__typename"] == "UsernameTaken"

    assert await scalar(services, "SELECT count(*) FROM mfa_totp_devices") == 1
    signed_in = await owner.verify_otp(await owner.challenge(), code_at(member.secret, clock()))
    assert signed_in["__typename"] == "SignedIn"


async def test_confirmed_account_is_not_enrolled_after_its_codes_were_disabled(
    run_app: RunApp, connect: Connect
) -> None:
    """Guessing until one-time codes are off is no way to enroll another device."""
    async with run_app(otp_failures_before_disabling=3) as app:
        api = connect(app)
        member = await api.member()
        for _ in range(3):
            await guess(api, member.secret)
        assert (await guess(api, member.secret))["__typename"] == "FactorDisabled"

        assert (await api.restart_enrollment(await api.challenge()))["__typename"] == "AlreadyEnrolled"


# ------------------------------------------------------------------------------------------------- operator's code


async def reset_by_operator(api: Api, services: Services, code: str = OPERATORS_CODE) -> None:
    """Alice lost her factors, her password is known to others, and an operator gave her an enrollment code."""
    await api.member()
    for table in ("mfa_totp_devices", "mfa_recovery_codes", "mfa_sessions", "mfa_challenges"):
        await execute(services, f"DELETE FROM {table}")
    await execute(
        services,
        "UPDATE mfa_users SET mfa_enabled_at = NULL, enrollment_expires_at = NULL, enrollment_code_digest = :digest",
        digest=enrollment_code_digest(code),
    )


async def restart(api: Api, code: str | None) -> Result:
    """With a fresh challenge."""
    return await api.restart_enrollment(await api.challenge(), code)


async def test_operators_code_is_needed(api: Api, clock: Clock, services: Services) -> None:
    await reset_by_operator(api, services)
    wrong = [None, "", " ", OPERATORS_CODE[:-1], OPERATORS_CODE + "0", "0", "%", "NULL"]
    for code in wrong:
        assert (await restart(api, code))["__typename"] == "EnrollmentCodeRequired"
    assert await scalar(services, "SELECT count(*) FROM mfa_totp_devices") == 0

    restarted = await restart(api, OPERATORS_CODE)

    assert restarted["__typename"] == "EnrollmentRestarted"
    secret = restarted["enrollment"]["secret"]
    confirmed = await api.verify_otp(restarted["challenge"], code_at(secret, clock()))
    assert confirmed["__typename"] == "EnrollmentConfirmed"


async def test_operators_code_is_not_skipped_by_verifying_at_once(api: Api, services: Services) -> None:
    """The account has no device, so no code can be right."""
    await reset_by_operator(api, services)
    for otp in ("000000", "", "123456"):
        challenge = await api.challenge()
        assert challenge["factors"] == []
        assert (await api.verify_otp(challenge, otp))["__typename"] == "InvalidOtp"
    assert (await api.verify_recovery_code(await api.challenge(), ""))["__typename"] == "InvalidRecoveryCode"

    assert await sessions_of(services) == 0


async def test_guesses_at_an_operators_enrollment_count_against_the_account(
    api: Api, clock: Clock, services: Services
) -> None:
    """Guesses wait from the fifth one on, as at a confirmed account; a new secret resets the count."""
    await reset_by_operator(api, services)
    for _ in range(5):
        assert (await api.verify_otp(await api.challenge(), "000000"))["__typename"] == "InvalidOtp"
    assert (await api.verify_otp(await api.challenge(), "000000"))["__typename"] == "RateLimited"

    restarted = await restart(api, OPERATORS_CODE)
    secret = restarted["enrollment"]["secret"]
    for _ in range(5):
        guessed = await api.verify_otp(await api.challenge(), wrong_code(secret, clock()))
        assert guessed["__typename"] == "InvalidOtp"

    assert (await api.verify_otp(await api.challenge(), code_at(secret, clock())))["__typename"] == "RateLimited"
    assert await scalar(services, "SELECT count(*) FROM mfa_otp_failures") == 5


async def test_operators_code_is_needed_by_an_account_that_its_owner_registered(api: Api, services: Services) -> None:
    """An operator gave out a code although the account's day is not over: then it is needed."""
    await api.register()
    await execute(
        services,
        "UPDATE mfa_users SET enrollment_code_digest = :digest",
        digest=enrollment_code_digest(OPERATORS_CODE),
    )

    assert (await restart(api, None))["__typename"] == "EnrollmentCodeRequired"
    assert (await restart(api, OPERATORS_CODE))["__typename"] == "EnrollmentRestarted"


async def test_operators_code_of_another_account(api: Api, services: Services) -> None:
    await reset_by_operator(api, services, "FJ4K-other-accounts-code")
    await api.register("mallory")

    answer = await api.restart_enrollment(await api.challenge("mallory"), OPERATORS_CODE)

    assert answer["__typename"] == "EnrollmentRestarted"  # mallory's own, which needs none
    assert (await restart(api, OPERATORS_CODE))["__typename"] == "EnrollmentCodeRequired"


async def test_operators_code_guesses_end_the_challenge(api: Api, services: Services) -> None:
    await reset_by_operator(api, services)
    challenge = await api.challenge()

    answers = [(await api.restart_enrollment(challenge, f"guess {number}"))["__typename"] for number in range(5)] + [
        (await api.restart_enrollment(challenge, OPERATORS_CODE))["__typename"]
    ]

    assert answers == ["EnrollmentCodeRequired"] * 5 + ["ChallengeExpired"]


@on_each_engine
async def test_operators_code_guesses_in_parallel(api: Api, services: Services) -> None:
    """Counted before compared."""
    await reset_by_operator(api, services)
    challenge = await api.challenge()

    answers = kinds(await at_once(api.restart_enrollment(challenge, f"guess {number}") for number in range(50)))

    assert answers == {"EnrollmentCodeRequired": 5, "ChallengeExpired": 45}
    assert await attempts_counted(services) == 5


async def test_operators_code_guesses_do_not_block_the_owner(
    app: FastAPI, connect: Connect, services: Services
) -> None:
    """Another person who knows the password can't use up the owner's attempts."""
    owner, thief = connect(app), connect(app, "203.0.113.9")
    await reset_by_operator(owner, services)
    for number in range(30):
        answer = await thief.restart_enrollment(await thief.challenge(), f"guess {number}")
        assert answer["__typename"] == "EnrollmentCodeRequired"

    assert (await restart(owner, OPERATORS_CODE))["__typename"] == "EnrollmentRestarted"


@on_each_engine
async def test_operators_code_in_parallel(api: Api, services: Services) -> None:
    """Fifty uses of the right code, on ten challenges: the first one ends them all, so there is one enrollment."""
    await reset_by_operator(api, services)
    challenges = [await api.challenge() for _ in range(10)]

    answers = kinds(await at_once(api.restart_enrollment(challenge, OPERATORS_CODE) for challenge in challenges * 5))

    assert answers == {"EnrollmentRestarted": 1, "ChallengeExpired": 49}
    assert await scalar(services, "SELECT count(*) FROM mfa_totp_devices") == 1


async def test_operators_code_is_used_up(api: Api, clock: Clock, services: Services) -> None:
    """The first one-time code consumes it, so a later thief of code and password can't use it."""
    await reset_by_operator(api, services)
    restarted = await restart(api, OPERATORS_CODE)
    secret = restarted["enrollment"]["secret"]
    confirmed = await api.verify_otp(restarted["challenge"], code_at(secret, clock()))
    assert confirmed["__typename"] == "EnrollmentConfirmed"

    assert (await restart(api, OPERATORS_CODE))["__typename"] == "AlreadyEnrolled"
    assert await scalar(services, "SELECT enrollment_code_digest FROM mfa_users") is None


async def test_operators_code_is_needed_by_a_thief_of_the_password_after_the_owner_used_it(
    app: FastAPI, connect: Connect, clock: Clock, services: Services
) -> None:
    """Between the owner's restart and the owner's first code, the password alone must not replace the secret."""
    owner, thief = connect(app), connect(app, "203.0.113.9")
    await reset_by_operator(owner, services)
    restarted = await restart(owner, OPERATORS_CODE)
    assert restarted["__typename"] == "EnrollmentRestarted"

    answer = await restart(thief, None)

    assert answer["__typename"] == "EnrollmentCodeRequired"
    secret = restarted["enrollment"]["secret"]
    confirmed = await owner.verify_otp(restarted["challenge"], code_at(secret, clock()))
    assert confirmed["__typename"] == "EnrollmentConfirmed"


async def test_operators_code_of_hostile_text(api: Api, services: Services, subtests: pytest.Subtests) -> None:
    await reset_by_operator(api, services)

    for code in ["\ud800", "\0", OPERATORS_CODE + "\ud800", "x" * 50_000]:
        with subtests.test(code=code):
            variables = {"input": {"challengeToken": (await api.challenge())["token"], "enrollmentCode": code}}

            response = await api.http.post(
                "/graphql",
                content=json.dumps({"query": RESTART_ENROLLMENT, "variables": variables}),
                headers={"Content-Type": "application/json"},
            )

            assert response.json()["data"]["restartEnrollment"]["__typename"] == "EnrollmentCodeRequired"
