"""Attack: answer a passkey ceremony again, too late, elsewhere, or after it was ended."""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from graphql_mfa.core.keys import KeyRing, new_key
from graphql_mfa.core.passkeys import Ceremony, CeremonyPurpose
from graphql_mfa.flows import operators
from graphql_mfa.flows.purging import purge
from graphql_mfa.services import Services
from graphql_mfa.testing import SoftwarePasskey
from tests.account import act
from tests.api.scenarios import change_password, reset_with_both_codes
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at
from tests.conftest import KEY, Connect
from tests.passkeys import PASSKEYS, answer, sign_in, with_passkeys
from tests.security.attacks import scalar, sessions_of
from tests.security.passkey_attacks import (
    RunApp,
    assertion,
    begin_adding,
    begin_enrolling,
    begin_sign_in,
    begin_step_up,
    creation,
    finish_adding,
    finish_enrolling,
    finish_sign_in,
    finish_step_up,
    member_with_passkey,
    refused_answer,
    token_of,
)

pytestmark = with_passkeys

OVER = {"ChallengeExpired", "AlreadyEnrolled", "NotAuthenticated"}


@dataclass(frozen=True)
class Begun:
    """A ceremony that waits for its answer, and how it is finished. succeeds_as: the outcome of a right answer."""

    purpose: CeremonyPurpose
    options: Result
    key: SoftwarePasskey
    finish: Callable[[Result], Awaitable[Result]]
    succeeds_as: str


async def begin_each(api: Api) -> tuple[Member, list[Begun]]:
    """One ceremony of each purpose: four of a member, whose passkey is the first one's, and bob's enrollment."""
    member, key = await member_with_passkey(api)
    token = member.access_token
    bob = (await api.register("bob"))["challenge"]

    async def sign_in(given: Result) -> Result:
        return await finish_sign_in(api, given)

    async def step_up(given: Result) -> Result:
        return await finish_step_up(api, token, given)

    async def add(given: Result) -> Result:
        return await finish_adding(api, token, given)

    async def enroll(given: Result) -> Result:
        return await finish_enrolling(api, given)

    challenge = await api.challenge()
    return member, [
        Begun(CeremonyPurpose.SIGN_IN, await begin_sign_in(api), key, sign_in, "SignedIn"),
        Begun(CeremonyPurpose.SECOND_FACTOR, await begin_sign_in(api, challenge), key, sign_in, "SignedIn"),
        Begun(CeremonyPurpose.STEP_UP, await begin_step_up(api, token), key, step_up, "Reauthenticated"),
        Begun(CeremonyPurpose.ADD, await begin_adding(api, token), SoftwarePasskey(), add, "PasskeyAdded"),
        Begun(
            CeremonyPurpose.ENROLL, await begin_enrolling(api, bob), SoftwarePasskey(), enroll, "EnrollmentConfirmed"
        ),
    ]


# ----------------------------------------------------------------------------------------------- again, or too late


async def test_an_answer_sent_again(api: Api, services: Services, subtests: pytest.Subtests) -> None:
    _, ceremonies = await begin_each(api)
    for begun in ceremonies:
        with subtests.test(begun.purpose.value):
            given = answer(begun.options, begun.key)
            assert (await begun.finish(given))["__typename"] == begun.succeeds_as
            assert (await begun.finish(given))["__typename"] in OVER
    assert await sessions_of(services) == 3
    assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == 3


async def test_an_answer_after_a_refused_one(api: Api, subtests: pytest.Subtests) -> None:
    _, ceremonies = await begin_each(api)
    for begun in ceremonies:
        with subtests.test(begun.purpose.value):
            refused = await begun.finish(refused_answer(begun.options, begun.key))
            assert refused["__typename"] == "PasskeyRejected"
            again = await begun.finish(answer(begun.options, begun.key))
            assert again["__typename"] == "ChallengeExpired"


async def test_an_answer_after_one_that_is_no_answer(api: Api, subtests: pytest.Subtests) -> None:
    """A ceremony is used up before anything of its answer is read."""
    _, ceremonies = await begin_each(api)
    for begun in ceremonies:
        with subtests.test(begun.purpose.value):
            nothing = {"ceremonyToken": begun.options["ceremonyToken"], "credential": {"id": ["x"], "response": 7}}
            assert (await begun.finish(nothing))["__typename"] == "PasskeyRejected"
            again = await begun.finish(answer(begun.options, begun.key))
            assert again["__typename"] == "ChallengeExpired"


@pytest.mark.parametrize("seconds", [299, 300])
async def test_an_answer_after_five_minutes(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests, seconds: int
) -> None:
    """However long challenges and sessions live. Whether the session is fresh was checked when the ceremony began."""
    async with run_app(**PASSKEYS, challenge_lifetime_seconds=3600) as app:
        api = connect(app)
        _, ceremonies = await begin_each(api)
        api.clock.advance(seconds)
        for begun in ceremonies:
            with subtests.test(begun.purpose.value):
                assert (begun.options["expiresIn"], begun.options["publicKey"]["timeout"]) == (300, 300_000)
                outcome = await begun.finish(answer(begun.options, begun.key))
                assert outcome["__typename"] == (begun.succeeds_as if seconds < 300 else "ChallengeExpired")


async def test_an_answer_sent_again_after_the_purge(api: Api, services: Services) -> None:
    """That the two ceremonies were used is stored until an hour after they expired, but no longer."""
    _, key = await member_with_passkey(api)
    given = answer(await begin_sign_in(api), key)
    assert (await finish_sign_in(api, given))["__typename"] == "SignedIn"
    for seconds, stored in ((299, 2), (1, 2), (3599, 2), (1, 0)):
        api.clock.advance(seconds)
        await purge(services.database, services.settings, api.clock())
        assert await scalar(services, "SELECT count(*) FROM mfa_used_ceremonies") == stored
        assert (await finish_sign_in(api, given))["__typename"] == "ChallengeExpired"


async def test_an_answer_sent_again_after_the_purge_of_a_server_whose_clock_is_ahead(
    api: Api, services: Services
) -> None:
    _, key = await member_with_passkey(api)
    given = answer(await begin_sign_in(api), key)
    assert (await finish_sign_in(api, given))["__typename"] == "SignedIn"
    api.clock.advance(290)
    await purge(services.database, services.settings, api.clock() + timedelta(seconds=30))
    assert (await finish_sign_in(api, given))["__typename"] == "ChallengeExpired"


# ------------------------------------------------------------------------------------------------------ elsewhere


async def test_an_answer_to_another_challenge(api: Api, subtests: pytest.Subtests) -> None:
    """A signature that was phished with a challenge of the thief's own, sent with the token of a real ceremony."""
    _, ceremonies = await begin_each(api)
    for begun in ceremonies:
        with subtests.test(begun.purpose.value):
            phished = begun.options | {"publicKey": begun.options["publicKey"] | {"challenge": "A" * 43}}
            assert (await begun.finish(answer(phished, begun.key)))["__typename"] == "PasskeyRejected"
    assert len({begun.options["publicKey"]["challenge"] for begun in ceremonies}) == len(ceremonies)


async def test_an_answer_for_another_purpose(api: Api, services: Services, subtests: pytest.Subtests) -> None:
    """Each ceremony at each mutation but its own, in its own session, with a right signature or a sound new passkey."""
    member, ceremonies = await begin_each(api)
    token, key = member.access_token, ceremonies[0].key
    for begun in ceremonies:
        with subtests.test(begun.purpose.value):
            outcomes = []
            if begun.purpose not in {CeremonyPurpose.SIGN_IN, CeremonyPurpose.SECOND_FACTOR}:
                outcomes.append(await finish_sign_in(api, assertion(begun.options, key)))
            if begun.purpose is not CeremonyPurpose.STEP_UP:
                outcomes.append(await finish_step_up(api, token, assertion(begun.options, key)))
            if begun.purpose not in {CeremonyPurpose.ADD, CeremonyPurpose.ENROLL}:
                outcomes.append(await finish_adding(api, token, creation(begun.options, SoftwarePasskey())))
            assert {outcome["__typename"] for outcome in outcomes} == {"ChallengeExpired"}
    assert await scalar(services, "SELECT count(*) FROM mfa_used_ceremonies") == 1
    assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == 1


async def test_an_answer_in_another_session_or_of_another_user(api: Api, subtests: pytest.Subtests) -> None:
    """Somebody makes the owner's browser finish what was begun elsewhere, or finishes what the owner began."""
    _, ceremonies = await begin_each(api)
    key = ceremonies[0].key
    mallory, _ = await member_with_passkey(api, "mallory")
    of_owner = token_of(await sign_in(api, key))
    for begun in ceremonies:
        if begun.purpose in {CeremonyPurpose.STEP_UP, CeremonyPurpose.ADD}:
            finish = finish_step_up if begun.purpose is CeremonyPurpose.STEP_UP else finish_adding
            for whose, token in {"another session": of_owner, "another user": mallory.access_token}.items():
                with subtests.test(begun.purpose.value, whose=whose):
                    outcome = await finish(api, token, answer(begun.options, begun.key))
                    assert outcome["__typename"] == "ChallengeExpired"
            with subtests.test(begun.purpose.value, whose="no session"):
                outcome = await finish(api, None, answer(begun.options, begun.key))
                assert outcome["__typename"] == "NotAuthenticated"
            with subtests.test(begun.purpose.value, whose="its own session"):
                assert (await begun.finish(answer(begun.options, begun.key)))["__typename"] == begun.succeeds_as


@pytest.mark.parametrize(
    "token", ["", "mfap_", "mfap_AAAA", "mfap_" + "A" * 400, "mfac_" + "A" * 43, "mfap_\u00e9", "mfap_%"]
)
async def test_an_answer_to_no_ceremony(api: Api, token: str) -> None:
    member, _ = await member_with_passkey(api)
    given = {"ceremonyToken": token, "credential": {"id": "AAAA"}}
    session = member.access_token
    outcomes = [
        await finish_sign_in(api, given),
        await finish_step_up(api, session, given),
        await finish_adding(api, session, given),
    ]
    assert {outcome["__typename"] for outcome in outcomes} == {"ChallengeExpired"}


def rewritten(ring: KeyRing, begun: Result, **changes: object) -> Result:
    """The same options, with a token that the holder of a key made."""
    ceremony = Ceremony.of_token(KeyRing.parse(KEY), begun["ceremonyToken"])
    assert ceremony is not None
    return begun | {"ceremonyToken": type(ceremony)(**vars(ceremony) | changes).token(ring)}


async def test_a_ceremony_that_somebody_altered(api: Api) -> None:
    _, key = await member_with_passkey(api)
    begun = await begin_sign_in(api)
    sealed = bytearray(base64.urlsafe_b64decode(begun["ceremonyToken"].removeprefix("mfap_") + "=="))
    for position in (0, 10, len(sealed) // 2, len(sealed) - 1):
        altered = bytearray(sealed)
        altered[position] ^= 1
        token = "mfap_" + base64.urlsafe_b64encode(altered).rstrip(b"=").decode()
        outcome = await finish_sign_in(api, answer(begun | {"ceremonyToken": token}, key))
        assert outcome["__typename"] == "ChallengeExpired"
    assert (await finish_sign_in(api, answer(begun, key)))["__typename"] == "SignedIn"


async def test_a_ceremony_that_the_holder_of_a_leaked_key_made(run_app: RunApp, connect: Connect) -> None:
    """A leaked key still decrypts. It must not start a recorded answer's five minutes again."""
    leaked = new_key()
    async with run_app(**PASSKEYS, secret_keys=f"{KEY} decrypt-only:{leaked}") as app:
        api = connect(app)
        _, key = await member_with_passkey(api)
        begun = await begin_sign_in(api)
        recorded = answer(rewritten(KeyRing.parse(leaked), begun), key)
        assert (await finish_sign_in(api, recorded))["__typename"] == "ChallengeExpired"


async def test_a_ceremony_that_a_replaced_key_made_goes_on(run_app: RunApp, connect: Connect) -> None:
    """A key that was only rotated out does not end the ceremonies of the replicas that still have it."""
    older = new_key()
    async with run_app(**PASSKEYS, secret_keys=f"{KEY} {older}") as app:
        api = connect(app)
        _, key = await member_with_passkey(api)
        begun = rewritten(KeyRing.parse(older), await begin_sign_in(api))
        assert (await finish_sign_in(api, answer(begun, key)))["__typename"] == "SignedIn"


# ---------------------------------------------------------------------------------------------------------- ended


async def test_enrollment_ceremonies_end_with_restart(api: Api, services: Services) -> None:
    """The thief of a registration's challenge begins; the owner restarts the enrollment."""
    registered = await api.register()
    begun = await begin_enrolling(api, registered["challenge"])
    assert (await api.restart_enrollment(registered["challenge"]))["__typename"] == "EnrollmentRestarted"

    outcome = await finish_enrolling(api, answer(begun, SoftwarePasskey()))

    assert outcome["__typename"] == "ChallengeExpired"
    assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == 0


@pytest.mark.parametrize("by", ["code", "passkey"])
async def test_enrollment_ceremonies_end_with_confirmation(api: Api, services: Services, by: str) -> None:
    """Of all challenges of the account. The factor that was pending beside the confirmed one is gone."""
    registered = await api.register()
    begun = [await begin_enrolling(api, challenge) for challenge in (registered["challenge"], await api.challenge())]
    code = code_at(registered["enrollment"]["secret"], api.clock())
    challenge, key = await api.challenge(), SoftwarePasskey()
    if by == "code":
        assert (await api.verify_otp(challenge, code))["__typename"] == "EnrollmentConfirmed"
    else:
        given = answer(await begin_enrolling(api, challenge), key)
        assert (await finish_enrolling(api, given))["__typename"] == "EnrollmentConfirmed"

    outcomes = [await finish_enrolling(api, answer(options, SoftwarePasskey())) for options in begun]

    assert {outcome["__typename"] for outcome in outcomes} == {"AlreadyEnrolled"}
    assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == (by == "passkey")
    assert await scalar(services, "SELECT count(*) FROM mfa_totp_devices") == (by == "code")
    assert await scalar(services, "SELECT count(*) FROM mfa_challenges") == 0
    assert (await api.verify_otp(await api.challenge(), code))["__typename"] != "SignedIn"


async def of_alice(api: Api) -> tuple[Member, list[Begun]]:
    """A member, and a ceremony of each purpose that is bound to a challenge or session of the account."""
    member, ceremonies = await begin_each(api)
    bound = {CeremonyPurpose.SECOND_FACTOR, CeremonyPurpose.STEP_UP, CeremonyPurpose.ADD}
    return member, [begun for begun in ceremonies if begun.purpose in bound]


async def assert_over(ceremonies: list[Begun], subtests: pytest.Subtests) -> None:
    for begun in ceremonies:
        with subtests.test(begun.purpose.value):
            assert (await begun.finish(answer(begun.options, begun.key)))["__typename"] in OVER


async def test_ceremonies_end_with_a_new_password(api: Api, subtests: pytest.Subtests) -> None:
    """Also those of the session that changes it, which stays: a thief of its token may have begun them."""
    member, ceremonies = await of_alice(api)
    assert (await change_password(api, member.access_token))["__typename"] == "PasswordChanged"
    assert await api.me(member.access_token) is not None
    await assert_over(ceremonies, subtests)


async def test_ceremonies_end_with_a_password_reset(api: Api, subtests: pytest.Subtests) -> None:
    member, ceremonies = await of_alice(api)
    assert (await reset_with_both_codes(api, member))["__typename"] == "PasswordChanged"
    await assert_over(ceremonies, subtests)


@pytest.mark.parametrize("act_of_operator", [operators.reset_mfa, operators.disable, operators.delete])
async def test_ceremonies_end_with_an_act_of_the_operator(
    api: Api,
    services: Services,
    subtests: pytest.Subtests,
    act_of_operator: Callable[[Services, str], Awaitable[object]],
) -> None:
    _, ceremonies = await of_alice(api)
    assert await act_of_operator(services, "alice")
    await assert_over(ceremonies, subtests)
    if act_of_operator is operators.disable:
        await operators.enable(services, "alice")
        await assert_over(ceremonies, subtests)


async def test_enrollment_ceremonies_end_with_the_operators_reset(api: Api, services: Services) -> None:
    """A code was enough to begin; a reset issues another code."""
    await api.member()
    first = await operators.reset_mfa(services, "alice")
    begun = await begin_enrolling(api, await api.challenge(), enrollmentCode=first)
    second = await operators.reset_mfa(services, "alice")

    assert (await finish_enrolling(api, answer(begun, SoftwarePasskey())))["__typename"] == "ChallengeExpired"
    refused = await begin_enrolling(api, await api.challenge(), enrollmentCode=first)
    assert refused["__typename"] == "EnrollmentCodeRequired"
    begun = await begin_enrolling(api, await api.challenge(), enrollmentCode=second)
    assert (await finish_enrolling(api, answer(begun, SoftwarePasskey())))["__typename"] == "EnrollmentConfirmed"


async def test_ceremonies_end_with_their_session(api: Api, subtests: pytest.Subtests) -> None:
    member, ceremonies = await of_alice(api)
    await api.logout(member.access_token)
    await assert_over([begun for begun in ceremonies if begun.purpose is not CeremonyPurpose.SECOND_FACTOR], subtests)


async def test_ceremonies_end_with_their_account(api: Api, subtests: pytest.Subtests) -> None:
    member, ceremonies = await of_alice(api)
    assert (await act(api, "deleteAccount", member.access_token))["__typename"] == "AccountDeleted"
    await assert_over(ceremonies, subtests)


async def test_a_ceremony_ends_with_the_challenge_that_a_code_answered(api: Api) -> None:
    member, key = await member_with_passkey(api)
    challenge = await api.challenge()
    begun = await begin_sign_in(api, challenge)
    code = code_at(member.secret, api.clock())
    assert (await api.verify_otp(challenge, code))["__typename"] == "SignedIn"
    assert (await finish_sign_in(api, answer(begun, key)))["__typename"] == "ChallengeExpired"


async def test_ceremonies_end_with_the_lifetime_of_their_challenge(run_app: RunApp, connect: Connect) -> None:
    async with run_app(**PASSKEYS, challenge_lifetime_seconds=60) as app:
        api = connect(app)
        _, ceremonies = await begin_each(api)
        of_challenges = {CeremonyPurpose.SECOND_FACTOR, CeremonyPurpose.ENROLL}
        api.clock.advance(60)
        for begun in ceremonies:
            outcome = await begun.finish(answer(begun.options, begun.key))
            expected = "ChallengeExpired" if begun.purpose in of_challenges else begun.succeeds_as
            assert outcome["__typename"] == expected, begun.purpose


async def test_an_addition_ends_when_its_session_has_to_verify_again(api: Api) -> None:
    """A thief's session begins; the owner makes it stale, by new recovery codes or by removing its passkey."""
    member, key = await member_with_passkey(api)
    thief = token_of(await sign_in(api, key))
    begun = await begin_adding(api, thief)
    assert (await act(api, "regenerateRecoveryCodes", member.access_token))["__typename"] == "RecoveryCodes"

    outcome = await finish_adding(api, thief, answer(begun, SoftwarePasskey()))

    assert outcome["__typename"] == "ChallengeExpired"
