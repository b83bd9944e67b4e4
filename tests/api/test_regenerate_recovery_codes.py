"""regenerateRecoveryCodes."""

from graphql_mfa.services import Services
from tests.account import act, user_of
from tests.api.answers import failure
from tests.api.scenarios import reauthenticate
from tests.api_client import Api
from tests.clock import Clock
from tests.security.attacks import events_of


async def test_a_new_set_replaces_the_old_one(api: Api, services: Services) -> None:
    member = await api.member()
    made = await act(api, "regenerateRecoveryCodes", member.access_token)
    codes = made["recoveryCodes"]
    assert made == {
        "__typename": "RecoveryCodes",
        "recoveryCodes": codes,
        "user": await user_of(api, member.access_token),
    }
    assert len({*codes, *member.recovery_codes}) == 20
    for old in member.recovery_codes[:2]:
        refused = await api.verify_recovery_code(await api.challenge(), old)
        assert refused["__typename"] == "InvalidRecoveryCode"
    for new in codes:
        assert (await api.verify_recovery_code(await api.challenge(), new))["__typename"] == "SignedIn"
    assert (await events_of(services))["RECOVERY_CODES_REGENERATED"] == 1


async def test_recovery_codes_low_is_true_until_a_new_set_is_made(api: Api) -> None:
    member = await api.member()
    reports = []
    for code in member.recovery_codes[:8]:
        renewed = await reauthenticate(api, member.access_token, recoveryCode=code)
        reports.append((renewed["user"]["recoveryCodesLeft"], renewed["user"]["recoveryCodesLow"]))
    assert reports == [(9, False), (8, False), (7, False), (6, False), (5, False), (4, False), (3, True), (2, True)]
    made = await act(api, "regenerateRecoveryCodes", member.access_token)
    assert (made["user"]["recoveryCodesLeft"], made["user"]["recoveryCodesLow"]) == (10, False)


async def test_a_new_set_can_be_made_after_signing_in_with_the_last_code(api: Api, clock: Clock) -> None:
    """A sign-in by recovery code gives a fresh session after the device is lost."""
    member = await api.member()
    for code in member.recovery_codes[:9]:
        await reauthenticate(api, member.access_token, recoveryCode=code)
    clock.advance(3600)
    signed_in = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[9])
    made = await act(api, "regenerateRecoveryCodes", signed_in["tokens"]["accessToken"])
    assert made["user"]["recoveryCodesLeft"] == 10


async def test_other_sessions_and_other_users_are_unchanged(api: Api) -> None:
    alice, bob = await api.member("alice"), await api.member("bob")
    other = await api.verify_recovery_code(await api.challenge("alice"), alice.recovery_codes[0])
    await act(api, "regenerateRecoveryCodes", alice.access_token)
    assert await api.me(other["tokens"]["accessToken"]) is not None
    signed_in = await api.verify_recovery_code(await api.challenge("bob"), bob.recovery_codes[0])
    assert signed_in["__typename"] == "SignedIn"


async def test_an_ended_session_can_not_make_recovery_codes(api: Api) -> None:
    member = await api.member()
    await api.logout(member.access_token)
    ended = await act(api, "regenerateRecoveryCodes", member.access_token)
    assert ended == failure("NotAuthenticated", reason="SESSION_ENDED")
