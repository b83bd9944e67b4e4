"""Race: change a password during another change, or during a sign-in with the old one."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from graphql_mfa.services import Services
from tests.api.scenarios import NEW_PASSWORD, change_password, reset_with_both_codes
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import on_each_engine
from tests.security.attacks import at_once, kinds, real_member, scalar

pytestmark = on_each_engine

PARALLEL = 6  # fewer than the wrong passwords that a session, or an address, may try
PASSWORDS = [f"{number} otters row upstream" for number in range(PARALLEL)]

Act = Callable[[], Awaitable[Result]]


def while_a_password_is_hashed(services: Services, monkeypatch: pytest.MonkeyPatch, meanwhile: Act) -> None:
    """The next job of the hashing threads takes until that is done."""
    run = services.hashing.run

    async def run_meanwhile(*arguments: object, **named: object) -> object:
        monkeypatch.setattr(services.hashing, "run", run)
        await meanwhile()
        return await run(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(services.hashing, "run", run_meanwhile)


async def assert_one_password(api: Api, answers: list[Result], username: str = "alice") -> None:
    """The account has the password whose change was acknowledged, and none of the others."""
    kinds_in_order = [answer["__typename"] for answer in answers]
    winner = kinds_in_order.index("PasswordChanged")
    for number, password in enumerate(PASSWORDS[: len(answers)]):
        signed_in = await api.login(username, password)
        assert signed_in["__typename"] == ("OtpRequired" if number == winner else "InvalidCredentials")


async def test_race_of_changes_in_one_session(api: Api) -> None:
    member = await api.member()
    answers = await at_once(change_password(api, member.access_token, new_password=password) for password in PASSWORDS)
    assert kinds(answers) == {"PasswordChanged": 1, "InvalidCredentials": PARALLEL - 1}
    await assert_one_password(api, answers)
    assert await api.me(member.access_token) is not None


async def test_race_of_changes_in_two_sessions(api: Api, services: Services) -> None:
    member = await api.member()
    other = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    tokens = [member.access_token, other["tokens"]["accessToken"]]
    answers = await at_once(
        change_password(api, token, new_password=password) for token, password in zip(tokens, PASSWORDS, strict=False)
    )
    assert kinds(answers) == {"PasswordChanged": 1, "NotAuthenticated": 1}
    await assert_one_password(api, answers)
    assert await scalar(services, "SELECT count(*) FROM mfa_sessions") == 1


async def test_race_of_changes_at_two_processes(processes: list[Api], username: str) -> None:
    member = await real_member(processes[0], username)
    answers = await at_once(
        change_password(api, member.access_token, new_password=password)
        for api, password in zip(processes * (PARALLEL // 2), PASSWORDS, strict=True)
    )
    assert kinds(answers) == {"PasswordChanged": 1, "InvalidCredentials": PARALLEL - 1}
    await assert_one_password(processes[1], answers, username)


async def test_race_of_a_change_and_a_reset(api: Api) -> None:
    member = await api.member()
    answers = await at_once(
        [
            change_password(api, member.access_token, new_password=PASSWORDS[0]),
            reset_with_both_codes(api, member, new_password=PASSWORDS[1]),
        ]
    )
    changed, reset = (answer["__typename"] for answer in answers)
    assert reset == "PasswordChanged"  # it needs no old password, so it wins as the later one too
    assert changed in {"PasswordChanged", "NotAuthenticated"}
    assert (await api.login(password=PASSWORDS[1]))["__typename"] == "OtpRequired"
    assert await api.me(member.access_token) is None


@pytest.mark.parametrize("by", ["change", "reset"])
async def test_race_of_a_sign_in_whose_password_is_hashed_meanwhile(
    api: Api, services: Services, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The old password was right when its comparison began; it opens no challenge after the change."""
    member = await api.member()

    async def meanwhile() -> Result:
        return await (
            change_password(api, member.access_token) if by == "change" else reset_with_both_codes(api, member)
        )

    while_a_password_is_hashed(services, monkeypatch, meanwhile)
    assert (await api.login())["__typename"] == "InvalidCredentials"
    assert await scalar(services, "SELECT count(*) FROM mfa_challenges") == 0
    assert (await api.login(password=NEW_PASSWORD))["__typename"] == "OtpRequired"


async def test_race_of_a_change_whose_session_is_ended_meanwhile(
    api: Api, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await api.member()
    while_a_password_is_hashed(services, monkeypatch, lambda: api.logout(member.access_token))
    ended = await change_password(api, member.access_token)
    assert (ended["__typename"], ended["reason"]) == ("NotAuthenticated", "SESSION_ENDED")
    assert (await api.login())["__typename"] == "OtpRequired"


async def test_race_of_sign_ins_and_a_change(api: Api, services: Services, clock: Clock) -> None:
    """Whichever comes first: afterwards only the session that changed the password is left."""
    member: Member = await api.member()
    challenges = [await api.challenge() for _ in range(5)]
    code = code_at(member.secret, clock())
    changed, *others = await asyncio.gather(
        change_password(api, member.access_token),
        *(api.verify_otp(challenge, code) for challenge in challenges),
        *(api.login() for _ in range(5)),
    )
    assert changed["__typename"] == "PasswordChanged"
    assert set(kinds(others)) <= {"SignedIn", "OtpAlreadyUsed", "ChallengeExpired", "OtpRequired", "InvalidCredentials"}
    assert changed["sessionsEnded"] == kinds(others)["SignedIn"]
    assert await scalar(services, "SELECT count(*) FROM mfa_sessions") == 1
    assert await scalar(services, "SELECT count(*) FROM mfa_challenges") == 0
