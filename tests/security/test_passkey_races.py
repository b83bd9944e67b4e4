"""Race: use one ceremony many times at once, or leave behind what another request ends at the same time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI

from graphql_mfa.flows import operators
from graphql_mfa.services import Services
from graphql_mfa.testing import SoftwarePasskey
from tests.account import act
from tests.api.scenarios import NEW_PASSWORD, change_password
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at
from tests.conftest import Connect, on_each_engine
from tests.devices import first_device, remove
from tests.passkeys import add_passkey, answer, sign_in, step_up, with_passkeys
from tests.security.attacks import at_once, events_of, kinds, real_member, scalar, sessions_of
from tests.security.passkey_attacks import (
    assertion,
    begin_adding,
    begin_enrolling,
    begin_sign_in,
    begin_step_up,
    finish_adding,
    finish_enrolling,
    finish_sign_in,
    finish_step_up,
    member_with_passkey,
    passkey_account,
    passkeys_of,
    remove_passkey,
    token_of,
)

pytestmark = [on_each_engine, with_passkeys]

ROUNDS = 6


async def factors_of(services: Services, username: str = "alice") -> tuple[int, int]:
    """The apps, confirmed or not, and the passkeys of the account."""
    devices, passkeys = [
        await scalar(
            services,
            f"SELECT count(*) FROM {table} JOIN mfa_users ON mfa_users.id = user_id WHERE username = :username",
            username=username,
        )
        for table in ("mfa_totp_devices", "mfa_passkeys")
    ]
    return devices, passkeys


# --------------------------------------------------------------------------------------------- one ceremony, often


async def test_one_sign_in_answered_fifty_times_at_once(app: FastAPI, connect: Connect, services: Services) -> None:
    """From ten addresses, so that no limit decides it."""
    everywhere = [connect(app, f"203.0.113.{number}") for number in range(10)]
    _, key = await member_with_passkey(everywhere[0])
    given = answer(await begin_sign_in(everywhere[0]), key)

    answers = kinds(await at_once(finish_sign_in(api, given) for api in everywhere * 5))

    assert answers == {"SignedIn": 1, "ChallengeExpired": 49}
    assert await sessions_of(services) == 2
    assert (await events_of(services))["SIGNED_IN"] == 2


async def test_one_second_factor_answered_fifty_times_at_once(api: Api, services: Services) -> None:
    _, key = await member_with_passkey(api)
    given = answer(await begin_sign_in(api, await api.challenge()), key)

    answers = kinds(await at_once(finish_sign_in(api, given) for _ in range(50)))

    assert answers == {"SignedIn": 1, "ChallengeExpired": 49}
    assert await sessions_of(services) == 2


async def test_ten_ceremonies_of_one_challenge_answered_at_once(api: Api, services: Services) -> None:
    """The challenge is answered once, whichever comes first."""
    _, key = await member_with_passkey(api)
    challenge = await api.challenge()
    given = [answer(await begin_sign_in(api, challenge), key) for _ in range(10)]

    answers = kinds(await at_once(finish_sign_in(api, each) for each in given * 3))

    assert answers == {"SignedIn": 1, "ChallengeExpired": 29}
    assert await sessions_of(services) == 2
    assert await scalar(services, "SELECT count(*) FROM mfa_used_ceremonies") == 2


async def test_ten_sign_ins_begun_and_one_finished(api: Api, services: Services) -> None:
    """A form with autofill begins one per view. The others end nothing, and can be finished in turn."""
    _, key = await member_with_passkey(api)
    begun = await at_once(begin_sign_in(api) for _ in range(10))
    assert (await finish_sign_in(api, answer(begun[3], key)))["__typename"] == "SignedIn"
    assert await scalar(services, "SELECT count(*) FROM mfa_used_ceremonies") == 2
    answers = kinds(await at_once(finish_sign_in(api, answer(each, key)) for each in begun))
    assert answers == {"SignedIn": 9, "ChallengeExpired": 1}


async def test_one_step_up_answered_at_once(api: Api) -> None:
    member, key = await member_with_passkey(api)
    given = answer(await begin_step_up(api, member.access_token), key)
    answers = kinds(await at_once(finish_step_up(api, member.access_token, given) for _ in range(20)))
    assert answers == {"Reauthenticated": 1, "ChallengeExpired": 19}


async def test_one_addition_answered_at_once(api: Api, services: Services) -> None:
    """With two passkeys, too."""
    member = await api.member()
    begun = await begin_adding(api, member.access_token)
    given = [answer(begun, SoftwarePasskey()) for _ in range(2)]
    answers = kinds(await at_once(finish_adding(api, member.access_token, each) for each in given * 10))
    assert answers == {"PasskeyAdded": 1, "ChallengeExpired": 19}
    assert await factors_of(services) == (1, 1)


async def test_one_enrollment_answered_at_once(api: Api, services: Services) -> None:
    """And all the ceremonies of all the account's challenges."""
    registered = await api.register()
    challenges = [registered["challenge"], *[await api.challenge() for _ in range(4)]]
    given = [answer(await begin_enrolling(api, challenge), SoftwarePasskey()) for challenge in challenges]
    answers = kinds(await at_once(finish_enrolling(api, each) for each in given * 4))
    assert answers == {"EnrollmentConfirmed": 1, "AlreadyEnrolled": 19}
    assert await factors_of(services) == (0, 1)
    assert await sessions_of(services) == 1
    assert await scalar(services, "SELECT count(*) FROM mfa_recovery_codes") == 10


async def test_one_sign_in_answered_at_two_processes(processes: list[Api], username: str) -> None:
    api = processes[0]
    member, key = await real_member(api, username), SoftwarePasskey()
    assert (await add_passkey(api, member.access_token, key))["__typename"] == "PasskeyAdded"
    challenge = await api.challenge(username)
    alone, second = answer(await begin_sign_in(api), key), answer(await begin_sign_in(api, challenge), key)

    answers = await at_once(finish_sign_in(client, given) for client in processes * 10 for given in (alone, second))

    assert kinds(answers) == {"SignedIn": 2, "ChallengeExpired": 38}
    assert (await api.logout(member.access_token, everywhere=True))["sessionsEnded"] == 3


# ------------------------------------------------------------------------------------------------------ managing


async def session_by_recovery_code(api: Api, member: Member) -> str:
    """A session that stays fresh whichever factor is removed."""
    return token_of(await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0]))


@pytest.mark.parametrize("app_first", [True, False])
async def test_app_and_passkey_removed_at_once(api: Api, services: Services, app_first: bool) -> None:
    member, _ = await member_with_passkey(api)
    token = await session_by_recovery_code(api, member)
    device, (passkey,) = await first_device(api, token), await passkeys_of(api, token)
    removals = [remove(api, token, device), remove_passkey(api, token, passkey["id"])]

    answers = kinds(await at_once(removals if app_first else removals[::-1]))

    assert answers == {"FactorRemoved": 1, "LastFactor": 1}
    assert sum(await factors_of(services)) == 1


async def test_app_and_passkey_removed_at_once_in_two_sessions(api: Api, services: Services) -> None:
    """Whose rows differ: it is the account's row that makes them wait."""
    member, key = await member_with_passkey(api)
    tokens = [await session_by_recovery_code(api, member), token_of(await sign_in(api, key))]
    device, (passkey,) = await first_device(api, tokens[0]), await passkeys_of(api, tokens[0])
    answers = await at_once([remove(api, tokens[1], device), remove_passkey(api, tokens[0], passkey["id"])])
    assert kinds(answers)["FactorRemoved"] == 1
    assert sum(await factors_of(services)) == 1


async def test_two_passkeys_removed_at_once(api: Api, services: Services) -> None:
    confirmed, _ = await passkey_account(api)
    await add_passkey(api, token_of(confirmed), SoftwarePasskey())
    code = confirmed["recoveryCodes"][0]
    token = token_of(await api.verify_recovery_code(await api.challenge(), code))
    ids = [passkey["id"] for passkey in await passkeys_of(api, token)]

    answers = kinds(await at_once(remove_passkey(api, token, passkey_id) for passkey_id in ids * 3))

    assert answers["FactorRemoved"] == 1
    assert set(answers) == {"FactorRemoved", "LastFactor", "NotFound"}
    assert await factors_of(services) == (0, 1)


async def test_eleven_additions_at_once(api: Api, services: Services) -> None:
    member = await api.member()
    begun = [await begin_adding(api, member.access_token) for _ in range(11)]
    given = [answer(each, SoftwarePasskey()) for each in begun]

    answers = kinds(await at_once(finish_adding(api, member.access_token, each) for each in given))

    assert answers == {"PasskeyAdded": 10, "TooManyPasskeys": 1}
    assert await factors_of(services) == (1, 10)


async def test_one_credential_id_registered_by_two_accounts_at_once(api: Api, services: Services) -> None:
    members = [await api.member(name) for name in ("alice", "bob")]
    for _ in range(ROUNDS):
        key, copy = SoftwarePasskey(), SoftwarePasskey()
        copy.id = key.id
        given = [
            answer(await begin_adding(api, member.access_token), passkey)
            for member, passkey in zip(members, (key, copy), strict=True)
        ]
        answers = await at_once(
            finish_adding(api, member.access_token, each) for member, each in zip(members, given, strict=True)
        )
        assert kinds(answers) == {"PasskeyAdded": 1, "PasskeyRejected": 1}
    assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == ROUNDS


@pytest.mark.parametrize("answer_first", [True, False])
async def test_an_answer_against_the_removal_of_its_passkey(api: Api, services: Services, answer_first: bool) -> None:
    """It is accepted, and its session ends with the passkey, or it finds none."""
    member, key = await member_with_passkey(api)
    token = await session_by_recovery_code(api, member)
    (passkey,) = await passkeys_of(api, token)
    alone = answer(await begin_sign_in(api), key)
    second = answer(await begin_sign_in(api, await api.challenge()), key)
    race = [finish_sign_in(api, alone), finish_sign_in(api, second), remove_passkey(api, token, passkey["id"])]

    answers = kinds(await at_once(race if answer_first else race[::-1]))

    assert answers["FactorRemoved"] == 1
    assert set(answers) <= {"FactorRemoved", "SignedIn", "PasskeyRejected", "PasskeyUnknown"}
    assert await sessions_of(services) == 2
    assert await factors_of(services) == (1, 0)


async def test_a_step_up_against_a_new_password(api: Api, services: Services) -> None:
    """Of the session that changes it: afterwards the ceremony is over, whichever came first."""
    member, key = await member_with_passkey(api)
    begun = await begin_step_up(api, member.access_token)
    race = [change_password(api, member.access_token), finish_step_up(api, member.access_token, answer(begun, key))]
    answers = kinds(await at_once(race))
    assert answers["PasswordChanged"] == 1
    assert set(answers) <= {"PasswordChanged", "Reauthenticated", "ChallengeExpired"}
    again = await finish_step_up(api, member.access_token, assertion(begun, key))
    assert again["__typename"] == "ChallengeExpired"
    assert (await api.login(password=NEW_PASSWORD))["__typename"] == "OtpRequired"


# ----------------------------------------------------------------------------------------------------- enrollment


@pytest.mark.parametrize("passkey_first", [True, False])
async def test_the_first_passkey_against_a_restart(api: Api, services: Services, passkey_first: bool) -> None:
    """Either the account has the passkey alone, or an app to be confirmed: never both."""
    challenge = (await api.register())["challenge"]
    given, key = await begun_enrollment(api, challenge)
    race: list[Awaitable[Result]] = [finish_enrolling(api, given), api.restart_enrollment(await api.challenge())]

    answers = kinds(await at_once(race if passkey_first else race[::-1]))

    if answers["EnrollmentConfirmed"]:
        assert answers == {"EnrollmentConfirmed": 1, "ChallengeExpired": 1}
        assert await factors_of(services) == (0, 1)
        assert (await sign_in(api, key))["__typename"] == "SignedIn"
    else:
        assert answers == {"ChallengeExpired": 1, "EnrollmentRestarted": 1}
        assert await factors_of(services) == (1, 0)


async def begun_enrollment(api: Api, challenge: Result, **options: str | None) -> tuple[Result, SoftwarePasskey]:
    """An answer that is ready to be sent."""
    begun, key = await begin_enrolling(api, challenge, **options), SoftwarePasskey()
    return answer(begun, key), key


@pytest.mark.parametrize("passkey_first", [True, False])
@pytest.mark.parametrize("same_challenge", [True, False])
async def test_the_first_passkey_against_the_first_code(
    api: Api, services: Services, passkey_first: bool, same_challenge: bool
) -> None:
    """One of the two is confirmed, and the other one is gone."""
    registered = await api.register()
    challenge = registered["challenge"]
    given, _ = await begun_enrollment(api, challenge)
    code = code_at(registered["enrollment"]["secret"], api.clock())
    other = challenge if same_challenge else await api.challenge()
    race = [finish_enrolling(api, given), api.verify_otp(other, code)]

    outcomes = await at_once(race if passkey_first else race[::-1])

    answers = kinds(outcomes)
    assert answers["EnrollmentConfirmed"] == 1
    assert set(answers) <= {"EnrollmentConfirmed", "ChallengeExpired", "AlreadyEnrolled"}
    assert sorted(await factors_of(services)) == [0, 1]
    assert await sessions_of(services) == 1
    assert await scalar(services, "SELECT count(*) FROM mfa_recovery_codes") == 10
    assert await scalar(services, "SELECT count(*) FROM mfa_challenges") == 0


Operation = Callable[[Services, str], Awaitable[object]]


@pytest.mark.parametrize("operation", [operators.reset_mfa, operators.disable, operators.delete])
@pytest.mark.parametrize("passkey_first", [True, False])
async def test_the_first_passkey_against_the_operator(
    api: Api, services: Services, operator: Services, operation: Operation, passkey_first: bool
) -> None:
    """Whichever comes first: afterwards there is no session, and a passkey only of an account that was disabled."""
    await api.member()
    code = await operators.reset_mfa(operator, "alice")
    assert isinstance(code, str)
    given, key = await begun_enrollment(api, await api.challenge(), enrollmentCode=code)
    race = [finish_enrolling(api, given), operation(operator, "alice")]

    outcomes = await asyncio.gather(*(race if passkey_first else race[::-1]))

    (enrolled,) = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    assert enrolled["__typename"] in {"EnrollmentConfirmed", "ChallengeExpired"}
    assert await sessions_of(services) == 0
    may_stay = operation is operators.disable and enrolled["__typename"] == "EnrollmentConfirmed"
    assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == may_stay
    assert (await sign_in(api, key))["__typename"] == ("PasskeyRejected" if may_stay else "PasskeyUnknown")


@pytest.mark.parametrize("operation", [operators.reset_mfa, operators.disable, operators.delete])
async def test_answers_of_passkeys_against_the_operator(
    api: Api, services: Services, operator: Services, operation: Operation
) -> None:
    """Sign-ins alone and at challenges, step-ups and additions, all at once."""
    member, key = await member_with_passkey(api)
    token = member.access_token
    challenges = [await api.challenge() for _ in range(ROUNDS)]
    race: list[Awaitable[object]] = [
        *[finish_sign_in(api, answer(await begin_sign_in(api), key)) for _ in range(ROUNDS)],
        *[finish_sign_in(api, answer(await begin_sign_in(api, challenge), key)) for challenge in challenges],
        finish_step_up(api, token, answer(await begin_step_up(api, token), key)),
        finish_adding(api, token, answer(await begin_adding(api, token), SoftwarePasskey())),
    ]
    race.insert(ROUNDS, operation(operator, "alice"))

    await asyncio.gather(*race)

    assert await sessions_of(services) == 0
    assert await scalar(services, "SELECT count(*) FROM mfa_challenges") == 0
    if operation is not operators.disable:
        assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == 0
    assert (await sign_in(api, key))["__typename"] in {"PasskeyRejected", "PasskeyUnknown"}


async def test_an_addition_against_the_deletion_of_the_account(api: Api, services: Services) -> None:
    member, key = await member_with_passkey(api)
    token = member.access_token
    given = answer(await begin_adding(api, token), SoftwarePasskey())
    answers = kinds(await at_once([finish_adding(api, token, given), act(api, "deleteAccount", token)]))
    assert answers["AccountDeleted"] == 1
    assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == 0
    assert (await step_up_outcome(api, token, key)) == "NotAuthenticated"


async def step_up_outcome(api: Api, token: str, key: SoftwarePasskey) -> str:
    begun = await begin_step_up(api, token)
    if begun["__typename"] != "PasskeyCeremony":
        return str(begun["__typename"])
    return str((await step_up(api, token, key))["__typename"])
