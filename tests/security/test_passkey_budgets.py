"""Attack: use up what the owner of an account needs, or fill the database, with ceremonies of passkeys."""

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select

from graphql_mfa.flows import operators
from graphql_mfa.services import Services
from graphql_mfa.store.models import Base
from graphql_mfa.testing import SoftwarePasskey
from tests.account import act
from tests.api.scenarios import import_user, reset_password
from tests.api_client import PASSWORD, Api, Result
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect
from tests.devices import first_device, remove
from tests.passkeys import PASSKEYS, answer, enroll, sign_in, step_up, with_passkeys
from tests.security.attacks import (
    NO_RECOVERY_CODE,
    attempts_on,
    events_of,
    failures_counted,
    guess,
    kinds,
    scalar,
    sessions_of,
)
from tests.security.passkey_attacks import (
    RunApp,
    begin_enrolling,
    begin_sign_in,
    finish_sign_in,
    member_with_passkey,
    passkey_account,
    refused_answer,
    token_of,
)
from tests.security.work import measured

pytestmark = with_passkeys


async def rows(services: Services) -> int:
    """All rows of all tables."""
    return await services.database.read(
        lambda connection: sum(
            connection.scalar(select(func.count()).select_from(table)) or 0 for table in Base.metadata.sorted_tables
        )
    )


async def refused(api: Api, key: SoftwarePasskey, challenge: Result | None = None) -> str:
    begun = await begin_sign_in(api, challenge)
    if begun["__typename"] != "PasskeyCeremony":
        return str(begun["__typename"])
    return str((await finish_sign_in(api, refused_answer(begun, key)))["__typename"])


# ------------------------------------------------------------------------------------------------------------- rows


async def test_ceremonies_that_strangers_begin_store_nothing(api: Api, services: Services) -> None:
    """Each view of a sign-in form begins one."""
    _, key = await member_with_passkey(api)
    before = await rows(services)
    begun = [await begin_sign_in(api) for _ in range(100)]
    assert await rows(services) == before
    assert (await finish_sign_in(api, answer(begun[0], key)))["__typename"] == "SignedIn"


async def test_answers_of_a_stranger_are_limited_by_address(
    app: FastAPI, connect: Connect, services: Services, clock: Clock
) -> None:
    """And so are the rows that they leave. Others, and everybody's passwords and codes, go on."""
    owner, thief = connect(app), connect(app, "203.0.113.9")
    member, key = await member_with_passkey(owner)
    before = await rows(services)
    outcomes = [await refused(thief, key) for _ in range(40)]
    assert outcomes == ["PasskeyRejected"] * 30 + ["RateLimited"] * 10
    assert await rows(services) == before + 30 + 4  # ceremonies, and the counts of four limits
    assert await failures_counted(services) == 0
    assert (await sign_in(owner, key))["__typename"] == "SignedIn"
    challenge = await thief.challenge()
    assert (await sign_in(thief, key, challenge))["__typename"] == "SignedIn"
    code = code_at(member.secret, clock())
    assert (await thief.verify_otp(await thief.challenge(), code))["__typename"] == "SignedIn"
    clock.advance(300)
    assert (await sign_in(thief, key))["__typename"] == "SignedIn"


async def test_answers_of_a_stranger_that_are_no_answers_are_limited(app: FastAPI, connect: Connect) -> None:
    """Unknown passkeys and used ceremonies too."""
    thief = connect(app, "203.0.113.9")
    used = answer(await begin_sign_in(thief), unknown := SoftwarePasskey())
    outcomes = [await finish_sign_in(thief, used) for _ in range(15)]
    assert kinds(outcomes) == {"PasskeyUnknown": 1, "ChallengeExpired": 14}
    outcomes = [await finish_sign_in(thief, answer(await begin_sign_in(thief), unknown)) for _ in range(15)]
    assert kinds(outcomes) == {"PasskeyUnknown": 15}
    assert (await finish_sign_in(thief, used))["__typename"] == "RateLimited"


async def test_right_answers_use_up_what_wrong_ones_may(api: Api) -> None:
    """The guests of one network sign in, more of them than may fail."""
    _, key = await member_with_passkey(api)
    assert kinds([await sign_in(api, key) for _ in range(40)]) == {"SignedIn": 40}
    assert await refused(api, key) == "PasskeyRejected"


@pytest.mark.parametrize("verifies_user", [True, False])
async def test_right_answers_without_end_fill_the_database(
    run_app: RunApp, connect: Connect, verifies_user: bool
) -> None:
    """A right answer stores a session, events and a ceremony; one without user verification only a ceremony."""
    async with run_app(**PASSKEYS, login_address_total=20) as app:
        api, thief = connect(app), connect(app, "203.0.113.9")
        _, key = await member_with_passkey(api, verifies_user=verifies_user)
        outcomes = []
        for _ in range(25):
            begun = await begin_sign_in(thief)
            outcomes.append(begun if begun["__typename"] == "RateLimited" else await sign_in(thief, key))
        right = "SignedIn" if verifies_user else "UserVerificationRequired"
        assert kinds(outcomes) == {right: 20, "RateLimited": 5}
        assert await scalar(app.state.services, "SELECT count(*) FROM mfa_used_ceremonies") == 21
        assert (await begin_sign_in(api))["__typename"] == "PasskeyCeremony"


# ------------------------------------------------------------------------------------------------------- the owner's


async def test_a_thief_of_the_password_blocks_the_owners_passkey(api: Api, services: Services, clock: Clock) -> None:
    """Five answers for each challenge; nothing of the account counts them."""
    member, key = await member_with_passkey(api)
    for _ in range(10):
        challenge = await api.challenge()
        outcomes = [await refused(api, key, challenge) for _ in range(6)]
        assert outcomes == ["PasskeyRejected"] * 5 + ["ChallengeExpired"]
    assert await failures_counted(services) == 0
    assert (await sign_in(api, key, await api.challenge()))["__typename"] == "SignedIn"
    assert (await sign_in(api, key))["__typename"] == "SignedIn"
    code = code_at(member.secret, clock())
    assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "SignedIn"
    by_code = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    assert by_code["__typename"] == "SignedIn"
    assert (await events_of(services))["SIGN_IN_FAILED"] == 10  # as many as an hour has


async def test_a_stolen_session_blocks_the_owners_passkey(api: Api, services: Services) -> None:
    member, key = await member_with_passkey(api)
    outcomes = []
    for _ in range(35):
        begun = await act(api, "beginPasskeyReauthentication", member.access_token)
        if begun["__typename"] != "RateLimited":
            given = {"passkey": refused_answer(begun, key)}
            begun = await act(api, "reauthenticate", member.access_token, input=given)
        outcomes.append(begun)
    assert set(kinds(outcomes)) == {"PasskeyRejected", "RateLimited"}
    assert await failures_counted(services) == 0
    alone = await sign_in(api, key)
    assert (await step_up(api, token_of(alone), key))["__typename"] == "Reauthenticated"


async def test_codes_that_are_off_leave_the_passkey_on(run_app: RunApp, connect: Connect) -> None:
    async with run_app(**PASSKEYS, otp_failures_before_disabling=2) as app:
        api = connect(app)
        member, key = await member_with_passkey(api)
        for _ in range(2):
            await guess(api, member.secret)
        challenge = await api.challenge()
        off = await api.verify_otp(challenge, code_at(member.secret, api.clock()))
        assert off["__typename"] == "FactorDisabled"
        assert challenge["factors"] == ["PASSKEY", "RECOVERY_CODE"]
        assert (await sign_in(api, key, challenge))["__typename"] == "SignedIn"
        alone = token_of(await sign_in(api, key))
        assert (await step_up(api, alone, key))["__typename"] == "Reauthenticated"


async def test_codes_that_have_to_wait_leave_the_passkey_on(api: Api) -> None:
    member, key = await member_with_passkey(api)
    for _ in range(5):
        await guess(api, member.secret)
    challenge = await api.challenge()
    assert (challenge["factors"], challenge["otpRetryAfter"]) == (["PASSKEY", "RECOVERY_CODE"], 60)
    assert (await sign_in(api, key, challenge))["__typename"] == "SignedIn"


# ------------------------------------------------------------------------------------------ accounts without an app


async def test_codes_for_an_account_without_an_app_count_on_the_challenge_alone(api: Api, services: Services) -> None:
    """Guesses have nothing to find there. They must neither lock the account nor reveal that it has no app."""
    confirmed, key = await passkey_account(api)
    challenge = await api.challenge()
    for left in (4, 3, 2, 1, 0):
        refused = await api.verify_otp(challenge, "000000")
        assert (refused["__typename"], refused["attemptsLeft"]) == ("InvalidOtp", left)
    assert (await api.verify_otp(challenge, "000000"))["__typename"] == "ChallengeExpired"
    for _ in range(30):
        assert (await guess(api, "A" * 32))["__typename"] == "InvalidOtp"
    in_session = await act(api, "reauthenticate", token_of(confirmed), input={"otp": "000000"})
    assert in_session["__typename"] == "InvalidOtp"
    assert await failures_counted(services) == 0
    assert await scalar(services, "SELECT otp_failures FROM mfa_users") == 0
    assert await scalar(services, "SELECT count(*) FROM mfa_users WHERE otp_blocked_until IS NOT NULL") == 0
    assert (await events_of(services))["FACTOR_DISABLED"] == 0
    assert (await sign_in(api, key, await api.challenge()))["__typename"] == "SignedIn"


async def test_codes_for_an_account_that_removed_its_app(api: Api, services: Services, clock: Clock) -> None:
    """The secret that it had is worth nothing, and guesses at it count no more."""
    member, key = await member_with_passkey(api)
    token = token_of(await sign_in(api, key))
    assert (await remove(api, token, await first_device(api, token)))["__typename"] == "FactorRemoved"
    challenge = await api.challenge()
    code = code_at(member.secret, clock())
    assert (await api.verify_otp(challenge, code))["__typename"] == "InvalidOtp"
    assert await attempts_on(services, challenge) == 1
    assert await failures_counted(services) == 0


async def test_a_reset_by_name_of_an_account_without_an_app(
    app: FastAPI, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answer at the same cost as for a name of no account, even with a recovery code that is right."""
    confirmed, _ = await passkey_account(connect(app, "10.9.9.9"))
    tries = [("nobody", NO_RECOVERY_CODE), ("alice", NO_RECOVERY_CODE), ("alice", confirmed["recoveryCodes"][0])]
    works = []
    for number, (name, code) in enumerate(tries):
        thief = connect(app, f"203.0.113.{number}")
        with measured(monkeypatch) as work:
            outcome = await reset_password(thief, "000000", code, name)
        assert outcome["__typename"] == "ResetRejected"
        works.append((tuple(work.statements), work.rounds, outcome["message"]))
    assert len(set(works)) == 1
    assert (await connect(app, "10.9.9.9").login())["__typename"] == "OtpRequired"


async def test_an_imported_account_enrolls_with_a_passkey(app: FastAPI, connect: Connect) -> None:
    """It is signed in to by a passkey alone afterwards, with the password that it had elsewhere unchanged."""
    api, services = connect(app), app.state.services
    await import_user(services, PASSWORD)
    challenge = await api.challenge()
    assert (await begin_enrolling(api, challenge))["__typename"] == "EnrollmentCodeRequired"
    code = await operators.reset_mfa(services, "alice")
    key = SoftwarePasskey()
    confirmed = await enroll(api, await api.challenge(), key, enrollmentCode=code)
    assert confirmed["__typename"] == "EnrollmentConfirmed"
    assert (await sign_in(api, key))["__typename"] == "SignedIn"
    assert (await api.verify_otp(await api.challenge(), wrong_code("A" * 32, api.clock())))[
        "__typename"
    ] == "InvalidOtp"
    assert await sessions_of(services) == 2
