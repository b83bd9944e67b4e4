"""Attack: answer a challenge with another user's code, answer it again, or use a token for another purpose."""

from collections.abc import Callable

import pytest

from graphql_mfa.services import Services
from tests.api_client import PASSWORD, Api, Member, Result
from tests.authenticator import code_at
from tests.clock import Clock
from tests.security.attacks import sessions_of


async def test_challenge_of_one_user_with_the_code_of_another(api: Api, clock: Clock, services: Services) -> None:
    """A thief with an account of their own and the victim's password."""
    victim = await api.member("alice")
    thief = await api.member("mallory")

    answer = await api.verify_otp(await api.challenge("alice"), code_at(thief.secret, clock()))

    assert answer["__typename"] == "InvalidOtp"
    assert (await sessions_of(services, "alice"), await sessions_of(services, "mallory")) == (1, 1)
    # Neither code was used up.
    for member in (thief, victim):
        own = await api.verify_otp(await api.challenge(member.username), code_at(member.secret, clock()))
        assert own["__typename"] == "SignedIn"
        assert own["user"]["username"] == member.username


async def test_challenge_of_one_user_with_the_recovery_code_of_another(api: Api, services: Services) -> None:
    await api.member("alice")
    thief = await api.member("mallory")

    answer = await api.verify_recovery_code(await api.challenge("alice"), thief.recovery_codes[0])

    assert answer["__typename"] == "InvalidRecoveryCode"
    assert await sessions_of(services, "alice") == 1
    own = await api.verify_recovery_code(await api.challenge("mallory"), thief.recovery_codes[0])
    assert own["__typename"] == "SignedIn"
    assert own["user"]["username"] == "mallory"


async def test_challenge_of_a_member_restarts_no_enrollment_of_a_pending_account(api: Api, clock: Clock) -> None:
    await api.member("mallory")
    pending = await api.register("alice")

    assert (await api.restart_enrollment(await api.challenge("mallory")))["__typename"] == "AlreadyEnrolled"

    confirmed = await api.verify_otp(pending["challenge"], code_at(pending["enrollment"]["secret"], clock()))
    assert confirmed["__typename"] == "EnrollmentConfirmed"


async def test_challenge_reuse_after_success_with_the_next_code(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    challenge = await api.challenge()
    assert (await api.verify_otp(challenge, code_at(member.secret, clock())))["__typename"] == "SignedIn"

    answer = await api.verify_otp(challenge, code_at(member.secret, clock(), 1))

    assert answer["__typename"] == "ChallengeExpired"
    assert await sessions_of(services) == 2
    # The next code was not used up by the refused answer.
    assert (await api.verify_otp(await api.challenge(), code_at(member.secret, clock(), 1)))["__typename"] == "SignedIn"


async def test_challenge_reuse_after_success_with_a_recovery_code(api: Api, clock: Clock) -> None:
    member = await api.member()
    challenge = await api.challenge()
    assert (await api.verify_otp(challenge, code_at(member.secret, clock())))["__typename"] == "SignedIn"

    answer = await api.verify_recovery_code(challenge, member.recovery_codes[0])

    assert answer["__typename"] == "ChallengeExpired"
    me = await api.me(member.access_token)
    assert me is not None
    assert me["recoveryCodesLeft"] == 10


async def test_challenge_reuse_after_a_recovery_code(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    challenge = await api.challenge()
    assert (await api.verify_recovery_code(challenge, member.recovery_codes[0]))["__typename"] == "SignedIn"

    answers = [
        await api.verify_recovery_code(challenge, member.recovery_codes[1]),
        await api.verify_otp(challenge, code_at(member.secret, clock())),
        await api.restart_enrollment(challenge),
    ]

    assert [answer["__typename"] for answer in answers] == ["ChallengeExpired"] * 3
    assert await sessions_of(services) == 2


async def test_challenge_of_the_registration_is_reused_after_the_enrollment(api: Api, clock: Clock) -> None:
    registered = await api.register()
    secret = registered["enrollment"]["secret"]
    assert (await api.verify_otp(registered["challenge"], code_at(secret, clock())))[
        "__typename"
    ] == "EnrollmentConfirmed"
    clock.advance(30)

    assert (await api.verify_otp(registered["challenge"], code_at(secret, clock())))["__typename"] == "ChallengeExpired"
    assert (await api.restart_enrollment(registered["challenge"]))["__typename"] == "ChallengeExpired"


@pytest.mark.parametrize(
    ("age", "outcome"), [(299, "SignedIn"), (300, "ChallengeExpired"), (10_000, "ChallengeExpired")]
)
async def test_challenge_used_after_it_expired(api: Api, clock: Clock, age: int, outcome: str) -> None:
    member = await api.member()
    challenge = await api.challenge()
    clock.advance(age)

    answer = await api.verify_otp(challenge, code_at(member.secret, clock()))

    assert answer["__typename"] == outcome


FORGERIES: dict[str, Callable[[str, Member], str]] = {
    "refresh token": lambda _, member: member.refresh_token,
    "access token": lambda _, member: member.access_token,
    "recovery code": lambda _, member: member.recovery_codes[0],
    "other prefix": lambda token, _: "mfar_" + token.removeprefix("mfac_"),
    "newline": lambda token, _: token + "\n",
    "space": lambda token, _: " " + token,
    "other case": lambda token, _: token.swapcase(),
    "right shape": lambda *_: "mfac_" + "A" * 43,
    "long": lambda *_: "mfac_" + "A" * 60_000,
    "SQL": lambda *_: "' OR 1=1 --",
    "empty": lambda *_: "",
}


async def test_challenge_forged_from_another_token(api: Api, clock: Clock, subtests: pytest.Subtests) -> None:
    member = await api.member()
    challenge = await api.challenge()
    for name, forge in FORGERIES.items():
        with subtests.test(name):
            forged = {"token": forge(challenge["token"], member)}

            answers: list[Result] = [
                await api.verify_otp(forged, code_at(member.secret, clock())),
                await api.verify_recovery_code(forged, member.recovery_codes[0]),
                await api.restart_enrollment(forged),
            ]

            assert [answer["__typename"] for answer in answers] == ["ChallengeExpired"] * 3
    assert (await api.verify_otp(challenge, code_at(member.secret, clock())))["__typename"] == "SignedIn"


async def test_challenge_as_a_session(api: Api) -> None:
    """Half a sign-in is none: the token of a challenge opens nothing."""
    await api.member()
    token = (await api.login(password=PASSWORD))["challenge"]["token"]

    assert await api.me(token) is None
    assert (await api.refresh(token))["__typename"] == "SessionExpired"
    assert (await api.logout(token))["reason"] == "TOKEN_INVALID"
    assert (await api.logout(refresh_token=token))["__typename"] == "NotAuthenticated"
