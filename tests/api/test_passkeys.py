"""User.passkeys, User.passkeySignals and the policy; renamePasskey and removePasskey."""

from graphql_mfa.services import Services
from graphql_mfa.testing import SoftwarePasskey
from tests.account import act, user_of
from tests.api.answers import failure
from tests.api.scenarios import RunApp, begin_to_add, key_of_member
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.devices import first_device
from tests.devices import remove as remove_device
from tests.passkeys import (
    PASSKEYS,
    added,
    enroll,
    names_of,
    passkeys_of,
    remove,
    rename,
    sign_in,
    step_up,
    with_passkeys,
)
from tests.security.attacks import events_of
from tests.statements import statements

pytestmark = [on_each_engine, with_passkeys]

LAST_FACTOR = failure("LastFactor")
POLICY = "{ policy { factors passkeyRpId } }"


# ------------------------------------------------------------------------------------------------------ policy and me


async def test_the_policy_shows_whether_passkeys_are_on(api: Api, run_app: RunApp, connect: Connect) -> None:
    on = {"factors": ["TOTP", "RECOVERY_CODE", "PASSKEY"], "passkeyRpId": "localhost"}
    assert await api.run(POLICY) == on
    async with run_app() as off:
        assert await connect(off).run(POLICY) == {"factors": ["TOTP", "RECOVERY_CODE"], "passkeyRpId": None}


async def test_passkeys_are_listed_oldest_first_with_their_last_use(api: Api, clock: Clock) -> None:
    member = await api.member()
    for name in ("c", "a"):
        clock.advance(1)
        await added(api, member.access_token, name=name)
    key = SoftwarePasskey()
    clock.advance(1)
    await added(api, member.access_token, key, "b")
    before = await passkeys_of(api, member.access_token)
    assert [passkey["name"] for passkey in before] == ["c", "a", "b"]
    clock.advance(5)
    await sign_in(api, key)
    used = {"lastUsedAt": clock().isoformat()}
    assert await passkeys_of(api, member.access_token) == [*before[:2], before[2] | used]
    clock.advance(5)
    await step_up(api, member.access_token, key)
    assert (await passkeys_of(api, member.access_token))[2]["lastUsedAt"] == clock().isoformat()


async def test_passkeys_of_other_users_are_neither_shown_nor_renamed_nor_removed(api: Api) -> None:
    alice, bob = await api.member("alice"), await api.member("bob")
    passkey = await added(api, bob.access_token)
    assert await passkeys_of(api, alice.access_token) == []
    assert await rename(api, alice.access_token, passkey["id"]) == failure("NotFound")
    assert await remove(api, alice.access_token, passkey["id"]) == failure("NotFound")
    assert await passkeys_of(api, bob.access_token) == [passkey]


async def test_passkeys_are_queried_only_when_selected(api: Api) -> None:
    member = await api.member()
    await added(api, member.access_token)
    with statements() as seen:
        await api.me(member.access_token)
    assert len(seen) == 1


async def test_signals_list_all_passkeys_of_the_account(api: Api) -> None:
    member, keys = await api.member(), [SoftwarePasskey(), SoftwarePasskey()]
    assert (await user_of(api, member.access_token))["passkeySignals"] is None
    for key in keys:
        api.clock.advance(1)
        passkey = await added(api, member.access_token, key)
    begun = await begin_to_add(api, member.access_token)
    ids = [each["id"] for each in begun["publicKey"]["excludeCredentials"]]
    about = {"rpId": "localhost", "userId": keys[0].user_handle}
    signals = (await user_of(api, member.access_token))["passkeySignals"]
    assert len(ids) == 2
    assert signals["allAcceptedCredentials"] == about | {"allAcceptedCredentialIds": ids}
    assert signals["currentUserDetails"] == about | {"name": "alice", "displayName": "alice"}
    removed = await remove(api, member.access_token, passkey["id"])
    accepted = removed["user"]["passkeySignals"]["allAcceptedCredentials"]
    assert accepted == about | {"allAcceptedCredentialIds": ids[:1]}


async def test_while_passkeys_are_off_they_are_listed_without_signals(run_app: RunApp, connect: Connect) -> None:
    async with run_app(**PASSKEYS) as app:
        member = await connect(app).member()
        passkey = await added(connect(app), member.access_token)
    async with run_app() as app:
        user = await user_of(connect(app), member.access_token)
    assert (user["passkeys"], user["passkeySignals"]) == ([passkey], None)


# ------------------------------------------------------------------------------------------------------- renamePasskey


async def test_renaming_changes_only_the_name(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    before = await added(api, member.access_token)
    clock.advance(500)  # no factor was verified recently
    events = await events_of(services)
    answered = await rename(api, member.access_token, before["id"], " Zoë's key\n")
    assert answered["__typename"] == "PasskeyRenamed"
    assert answered["passkey"] == before | {"name": "Zoë's key"}
    assert answered["user"]["passkeys"] == await passkeys_of(api, member.access_token) == [answered["passkey"]]
    assert await events_of(services) == events


async def test_an_unreadable_name_is_refused_and_the_old_one_stays(api: Api) -> None:
    member = await api.member()
    passkey = await added(api, member.access_token)
    refused = await rename(api, member.access_token, passkey["id"], "pho\u202ene")
    assert [(field["field"], field["code"]) for field in refused["fields"]] == [("name", "INVALID_CHARACTERS")]
    assert await names_of(api, member.access_token) == ["Passkey"]


# ------------------------------------------------------------------------------------------------------- removePasskey


async def test_a_removed_passkey_no_longer_signs_in(api: Api, services: Services) -> None:
    member, key = await api.member(), SoftwarePasskey()
    passkey = await added(api, member.access_token, key)
    answered = await remove(api, member.access_token, passkey["id"])
    assert (answered["__typename"], answered["id"]) == ("FactorRemoved", passkey["id"])
    assert answered["user"]["passkeys"] == await passkeys_of(api, member.access_token) == []
    assert (await events_of(services))["PASSKEY_REMOVED"] == 1
    assert await remove(api, member.access_token, passkey["id"]) == failure("NotFound")
    assert (await sign_in(api, key))["__typename"] == "PasskeyUnknown"
    assert (await api.challenge())["factors"] == ["TOTP", "RECOVERY_CODE"]


async def test_removing_a_passkey_requires_a_recent_factor(api: Api, clock: Clock) -> None:
    member, key = await api.member(), SoftwarePasskey()
    passkey = await added(api, member.access_token, key)
    clock.advance(300)
    refused = await remove(api, member.access_token, passkey["id"])
    assert refused == failure("ReauthenticationRequired", factors=["TOTP", "PASSKEY", "RECOVERY_CODE"])
    await step_up(api, member.access_token, key)
    assert (await remove(api, member.access_token, passkey["id"]))["__typename"] == "FactorRemoved"


async def test_an_app_and_a_passkey_each_let_the_other_one_be_removed(api: Api) -> None:
    member, key = await api.member(), SoftwarePasskey()
    passkey = await added(api, member.access_token, key)
    device = await first_device(api, member.access_token)
    assert (await remove_device(api, member.access_token, device))["__typename"] == "FactorRemoved"
    token = (await sign_in(api, key))["tokens"]["accessToken"]
    assert await remove(api, token, passkey["id"]) == LAST_FACTOR
    second = await added(api, token)
    assert (await remove(api, token, second["id"]))["__typename"] == "FactorRemoved"
    assert await remove(api, token, passkey["id"]) == LAST_FACTOR
    assert (await sign_in(api, key, await api.challenge()))["__typename"] == "SignedIn"


async def test_the_last_app_can_not_be_removed_once_the_passkey_is(api: Api) -> None:
    member = await api.member()
    passkey = await added(api, member.access_token)
    await remove(api, member.access_token, passkey["id"])
    assert await remove_device(api, member.access_token, await first_device(api, member.access_token)) == LAST_FACTOR


async def test_the_only_passkey_of_an_account_without_an_app_can_not_be_removed(api: Api, services: Services) -> None:
    key = SoftwarePasskey()
    token = (await enroll(api, (await api.register())["challenge"], key))["tokens"]["accessToken"]
    (passkey,) = await passkeys_of(api, token)
    assert await remove(api, token, passkey["id"]) == LAST_FACTOR
    assert await passkeys_of(api, token) == [passkey]
    assert (await events_of(services))["PASSKEY_REMOVED"] == 0


async def test_while_passkeys_are_off_they_do_not_let_the_last_app_be_removed(
    run_app: RunApp, connect: Connect
) -> None:
    async with run_app(**PASSKEYS) as app:
        member = await connect(app).member()
        passkey = await added(connect(app), member.access_token)
    async with run_app() as app:
        api = connect(app)
        device = await first_device(api, member.access_token)
        assert await remove_device(api, member.access_token, device) == LAST_FACTOR
        assert (await remove(api, member.access_token, passkey["id"]))["__typename"] == "FactorRemoved"


async def test_sessions_that_the_removed_passkey_opened_or_verified_last_end(api: Api) -> None:
    key = await key_of_member(api)
    alone = (await sign_in(api, key))["tokens"]
    second = (await sign_in(api, key, await api.challenge()))["tokens"]
    api.clock.advance(1)
    member_token = (await sign_in(api, key))["tokens"]["accessToken"]
    (passkey,) = await passkeys_of(api, member_token)
    # This session removes its own passkey: it continues, and has to verify another factor first.
    answered = await remove(api, member_token, passkey["id"])
    assert answered["sessionsEnded"] == 2
    for ended in (alone, second):
        assert await api.me(ended["accessToken"]) is None
        assert (await api.refresh(ended["refreshToken"]))["__typename"] == "SessionExpired"
    required = await act(api, "regenerateRecoveryCodes", member_token)
    assert required == failure("ReauthenticationRequired", factors=["TOTP", "RECOVERY_CODE"])


async def test_a_session_that_the_removed_passkey_verified_last_ends(api: Api) -> None:
    member, key = await api.member(), SoftwarePasskey()
    passkey = await added(api, member.access_token, key)
    other = await api.verify_otp(await api.challenge(), code_at(member.secret, api.clock()))
    await step_up(api, other["tokens"]["accessToken"], key)
    assert (await remove(api, member.access_token, passkey["id"]))["sessionsEnded"] == 1
    assert await api.me(other["tokens"]["accessToken"]) is None
    assert await api.me(member.access_token) is not None
