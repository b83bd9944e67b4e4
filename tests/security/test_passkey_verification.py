"""Attack: use a passkey that did not verify its user in place of two factors."""

import base64
import json

from graphql_mfa.services import Services
from graphql_mfa.testing import SoftwarePasskey
from tests.account import act
from tests.api_client import Api, Result
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect
from tests.passkeys import PASSKEYS, add_passkey, answer, sign_in, step_up, with_passkeys
from tests.security.attacks import execute, scalar, sessions_of
from tests.security.passkey_attacks import (
    RunApp,
    begin_adding,
    begin_enrolling,
    begin_sign_in,
    begin_step_up,
    finish_adding,
    finish_sign_in,
    finish_step_up,
    member_with_passkey,
    passkey_account,
    token_of,
)

pytestmark = with_passkeys


def claims_of(token: str) -> Result:
    claims: Result = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


async def stale(api: Api, token: str) -> Result:
    """What a sensitive operation requires of a session that verified its factor too long ago."""
    required = await act(api, "regenerateRecoveryCodes", token)
    assert required["__typename"] == "ReauthenticationRequired", required
    return required


# -------------------------------------------------------------------------------------------------- without password


async def test_a_passkey_alone_that_did_not_verify_its_user(api: Api, services: Services) -> None:
    """A found security key is one factor. That it verified its user at an earlier time is not enough."""
    _, key = await member_with_passkey(api)
    assert (await sign_in(api, key))["__typename"] == "SignedIn"
    key.verifies_user = False
    begun = await begin_sign_in(api)
    assert begun["publicKey"]["userVerification"] == "required"
    assert (await finish_sign_in(api, answer(begun, key)))["__typename"] == "UserVerificationRequired"
    assert await sessions_of(services) == 2
    assert (await sign_in(api, key, await api.challenge()))["__typename"] == "SignedIn"


async def test_a_step_up_without_user_verification_in_a_session_without_password(api: Api, clock: Clock) -> None:
    _, key = await member_with_passkey(api)
    token = token_of(await sign_in(api, key))
    clock.advance(301)
    key.verifies_user = False
    begun = await begin_step_up(api, token)
    assert begun["publicKey"]["userVerification"] == "required"
    assert (await finish_step_up(api, token, answer(begun, key)))["__typename"] == "UserVerificationRequired"
    await stale(api, token)
    key.verifies_user = True
    assert (await step_up(api, token, key))["__typename"] == "Reauthenticated"
    assert (await act(api, "regenerateRecoveryCodes", token))["__typename"] == "RecoveryCodes"


async def test_a_step_up_without_user_verification_after_a_password(api: Api, clock: Clock) -> None:
    """A plain security key is a fine second factor."""
    _, key = await member_with_passkey(api, verifies_user=False)
    token = token_of(await sign_in(api, key, await api.challenge()))
    clock.advance(301)
    assert (await stale(api, token))["factors"] == ["TOTP", "PASSKEY", "RECOVERY_CODE"]
    assert (await step_up(api, token, key))["__typename"] == "Reauthenticated"
    assert (await act(api, "regenerateRecoveryCodes", token))["__typename"] == "RecoveryCodes"


async def test_a_passkey_is_offered_only_where_it_can_answer(api: Api, clock: Clock) -> None:
    member, key = await member_with_passkey(api)
    alone = token_of(await sign_in(api, key))
    clock.advance(301)
    assert (await stale(api, alone))["factors"] == ["TOTP", "PASSKEY", "RECOVERY_CODE"]
    key.verifies_user = False
    assert (await sign_in(api, key, await api.challenge()))["__typename"] == "SignedIn"
    assert (await stale(api, alone))["factors"] == ["TOTP", "RECOVERY_CODE"]
    assert (await stale(api, member.access_token))["factors"] == ["TOTP", "PASSKEY", "RECOVERY_CODE"]


async def test_an_account_without_an_app_is_never_offered_one(api: Api, clock: Clock) -> None:
    confirmed, key = await passkey_account(api)
    challenge = await api.challenge()
    assert (challenge["factors"], challenge["otpRetryAfter"]) == (["PASSKEY", "RECOVERY_CODE"], None)
    clock.advance(301)
    assert (await stale(api, token_of(confirmed)))["factors"] == ["PASSKEY", "RECOVERY_CODE"]
    assert (await api.challenge())["factors"] == ["PASSKEY", "RECOVERY_CODE"]
    assert (await sign_in(api, key))["__typename"] == "SignedIn"


async def test_passkeys_that_are_off_are_not_offered(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    """The database has passkeys, and the server no domain for them."""
    async with run_app(**PASSKEYS) as app:
        on = connect(app)
        member, key = await member_with_passkey(on)
        token = token_of(await sign_in(on, key))
    async with run_app() as app:
        api = connect(app)
        challenge = await api.challenge()
        assert challenge["factors"] == ["TOTP", "RECOVERY_CODE"]
        assert (await begin_sign_in(api, challenge))["__typename"] == "PasskeyUnavailable"
        assert (await begin_sign_in(api))["__typename"] == "PasskeyUnavailable"
        assert (await begin_step_up(api, token))["__typename"] == "PasskeyUnavailable"
        assert (await begin_adding(api, token))["__typename"] == "PasskeyUnavailable"
        assert (await api.verify_otp(challenge, code_at(member.secret, clock())))["__typename"] == "SignedIn"
        clock.advance(301)
        assert (await stale(api, token))["factors"] == ["TOTP", "RECOVERY_CODE"]


# ------------------------------------------------------------------------------------------------- everybody's keys


async def test_options_that_would_allow_every_passkey_of_the_site(api: Api) -> None:
    """An empty list lets any passkey answer: an account without one gets no options at all."""
    member = await api.member()
    challenge = await api.challenge()
    assert (await begin_sign_in(api, challenge))["__typename"] == "PasskeyUnavailable"
    assert (await begin_step_up(api, member.access_token))["__typename"] == "PasskeyUnavailable"
    pending = (await api.register("bob"))["challenge"]
    assert (await begin_sign_in(api, pending))["__typename"] == "PasskeyUnavailable"


async def test_passkeys_listed_before_the_password(api: Api) -> None:
    """Without a name there is no list; after the password and within the account all are listed, to exclude them."""
    member, key = await member_with_passkey(api)
    second = SoftwarePasskey()
    await add_passkey(api, member.access_token, second)
    ids = sorted(each.get({"challenge": "", "rpId": ""})["id"] for each in (key, second))
    assert (await begin_sign_in(api))["publicKey"]["allowCredentials"] == []
    for begun in (
        await begin_sign_in(api, await api.challenge()),
        await begin_step_up(api, member.access_token),
    ):
        assert sorted(each["id"] for each in begun["publicKey"]["allowCredentials"]) == ids
    options = (await begin_adding(api, member.access_token))["publicKey"]
    assert sorted(each["id"] for each in options["excludeCredentials"]) == ids


# ----------------------------------------------------------------------------------------------- without a touch


async def add_conditionally(api: Api, token: str, key: SoftwarePasskey) -> Result:
    begun = await begin_adding(api, token, conditional=True)
    return begun if begun["__typename"] != "PasskeyCeremony" else await finish_adding(api, token, answer(begun, key))


async def test_a_passkey_that_nobody_touched(api: Api) -> None:
    """Only a browser that adds one after a sign-in may do without, and only then."""
    member, key = await member_with_passkey(api)
    untouched = SoftwarePasskey(present=False)
    assert (await add_passkey(api, member.access_token, untouched))["__typename"] == "PasskeyRejected"
    added = await add_conditionally(api, member.access_token, untouched)
    assert added["passkey"]["userVerified"] is False
    for challenge in (None, await api.challenge()):
        assert (await sign_in(api, untouched, challenge))["__typename"] == "PasskeyRejected"
    key.present = False
    assert (await step_up(api, member.access_token, key))["__typename"] == "PasskeyRejected"


async def test_a_passkey_added_without_a_dialogue_elsewhere_than_after_a_password(api: Api, services: Services) -> None:
    """Not while enrollment is pending, and not in a session that a passkey opened alone."""
    _, key = await member_with_passkey(api)
    alone = token_of(await sign_in(api, key))
    assert (await add_conditionally(api, alone, SoftwarePasskey()))["__typename"] == "PasskeyUnavailable"
    pending = (await api.register("bob"))["challenge"]
    assert (await begin_enrolling(api, pending, conditional=True))["__typename"] == "PasskeyUnavailable"
    assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == 1


async def test_a_passkey_added_without_a_dialogue_in_a_stale_session(api: Api, clock: Clock) -> None:
    member = await api.member()
    clock.advance(301)
    refused = await add_conditionally(api, member.access_token, SoftwarePasskey())
    assert refused["__typename"] == "ReauthenticationRequired"


async def test_a_passkey_added_without_a_dialogue_long_after_the_sign_in(api: Api, clock: Clock) -> None:
    """A step-up makes the session fresh again, but no sign-in."""
    member, key = await member_with_passkey(api)
    clock.advance(301)
    renewed = (await step_up(api, member.access_token, key))["accessToken"]
    assert (await add_conditionally(api, renewed, SoftwarePasskey()))["__typename"] == "PasskeyUnavailable"
    assert (await add_passkey(api, renewed, SoftwarePasskey()))["__typename"] == "PasskeyAdded"


# ------------------------------------------------------------------------------------------------- other services


async def test_a_service_takes_a_session_for_one_that_gave_the_password(api: Api) -> None:
    """By `amr` (RFC 8176 2). `acr` says the same of each: two factors."""
    member, key = await member_with_passkey(api)
    synced = SoftwarePasskey(synced=True)
    await add_passkey(api, member.access_token, synced)
    usual = claims_of(member.access_token)
    for passkey, method in ((key, "hwk"), (synced, "swk")):
        alone = claims_of(token_of(await sign_in(api, passkey)))
        assert (alone["amr"], alone["acr"]) == ([method, "user", "mfa"], usual["acr"])
        second = claims_of(token_of(await sign_in(api, passkey, await api.challenge())))
        assert second["amr"] == ["pwd", method, "user", "mfa"]
    key.verifies_user = False
    second = claims_of(token_of(await sign_in(api, key, await api.challenge())))
    assert second["amr"] == ["pwd", "hwk", "mfa"]


async def test_a_session_without_password_gets_one_by_a_step_up(api: Api) -> None:
    """Neither a step-up nor a refresh adds `pwd` to `amr`."""
    member, key = await member_with_passkey(api)
    opened = await sign_in(api, key)
    otp = code_at(member.secret, api.clock())
    renewed = await act(api, "reauthenticate", token_of(opened), input={"otp": otp})
    assert claims_of(renewed["accessToken"])["amr"] == ["hwk", "user", "otp", "mfa"]
    refreshed = await api.refresh(opened["tokens"]["refreshToken"])
    assert claims_of(token_of(refreshed))["amr"] == ["hwk", "user", "otp", "mfa"]


async def test_a_session_of_an_earlier_release_counts_as_opened_by_a_password(api: Api, services: Services) -> None:
    """The session is older than passkeys. After a password, it steps up without user verification."""
    member, _ = await member_with_passkey(api)
    plain = SoftwarePasskey(verifies_user=False)
    await add_passkey(api, member.access_token, plain)
    await execute(services, "UPDATE mfa_sessions SET methods = NULL")
    renewed = await step_up(api, member.access_token, plain)
    assert claims_of(renewed["accessToken"])["amr"] == ["pwd", "otp", "hwk", "mfa"]
