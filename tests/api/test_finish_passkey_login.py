"""beginPasskeyLogin and finishPasskeyLogin: a passkey as the second factor, and alone."""

from typing import Any

import pytest
from fastapi import FastAPI

from graphql_mfa.flows import operators
from graphql_mfa.services import Services
from graphql_mfa.testing import SoftwarePasskey
from tests.account import act, user_of
from tests.api.answers import CHALLENGE_EXPIRED, failure
from tests.api.scenarios import RunApp, key_of_member
from tests.api.test_reauthenticate import claims_of
from tests.api_client import Api
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.core.ceremonies import BS, HostilePasskey
from tests.passkeys import ORIGIN, PASSKEYS, added, answer, passkeys_of, sign_in, with_passkeys
from tests.security.attacks import WRONG_PASSWORD, attempts_on, events_of, scalar, sessions_of
from tests.statements import changed_rows

pytestmark = [on_each_engine, with_passkeys]

ANOTHER_DOMAIN = {"passkey_rp_id": "example.com", "passkey_origins": "https://example.com"}


async def session_of(api: Api, token: str) -> dict[str, Any]:
    """The session that asks, as its user is shown it."""
    (session,) = [session for session in (await user_of(api, token))["sessions"] if session["current"]]
    return dict(session)


# --------------------------------------------------------------------------------------------------- as second factor


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_a_passkey_is_a_second_factor(api: Api, clock: Clock, services: Services, algorithm: str) -> None:
    key = await key_of_member(api, algorithm=algorithm)
    challenge = await api.challenge()
    assert challenge["factors"] == ["TOTP", "PASSKEY", "RECOVERY_CODE"]
    clock.advance(1)
    signed_in = await sign_in(api, key, challenge)
    assert signed_in["__typename"] == "SignedIn"
    token = signed_in["tokens"]["accessToken"]
    assert (await session_of(api, token))["factors"] == ["PASSKEY"]
    assert (await passkeys_of(api, token))[0]["lastUsedAt"] == clock().isoformat()
    assert claims_of(token)["amr"] == ["pwd", "hwk", "user", "mfa"]
    assert await api.verify_otp(challenge, "000000") == CHALLENGE_EXPIRED
    assert (await api.refresh(signed_in["tokens"]["refreshToken"]))["__typename"] == "SignedIn"


async def test_the_options_of_a_challenge_list_the_passkeys_of_its_account(api: Api) -> None:
    member, keys = await api.member(), [SoftwarePasskey(), SoftwarePasskey()]
    for key in keys:
        api.clock.advance(1)
        await added(api, member.access_token, key)
    await key_of_member_of(api, "bob")
    challenge = await api.challenge()
    begun = await act(api, "beginPasskeyLogin", input={"challengeToken": challenge["token"]})
    options = begun["publicKey"]
    allowed = [key.get(options)["id"] for key in keys]
    assert [each["id"] for each in options["allowCredentials"]] == allowed
    assert (options["rpId"], options["userVerification"], options["timeout"]) == ("localhost", "preferred", 300_000)
    assert (begun["expiresIn"], begun["expiresAt"]) == (300, after(api.clock, 300))


async def key_of_member_of(api: Api, username: str) -> SoftwarePasskey:
    key = SoftwarePasskey()
    await added(api, (await api.member(username)).access_token, key)
    return key


def after(clock: Clock, seconds: int) -> str:
    """That time from now, as the API shows it."""
    moved = Clock()
    moved.now = clock()
    moved.advance(seconds)
    return moved().isoformat()


async def test_a_security_key_without_a_pin_is_a_second_factor(api: Api) -> None:
    key = await key_of_member(api, verifies_user=False, discoverable=False)
    signed_in = await sign_in(api, key, await api.challenge())
    token = signed_in["tokens"]["accessToken"]
    assert claims_of(token)["amr"] == ["pwd", "hwk", "mfa"]
    (shown,) = await passkeys_of(api, token)
    assert (shown["userVerified"], shown["discoverable"]) == (False, False)


async def test_whether_a_passkey_verified_its_user_is_of_its_last_answer(api: Api) -> None:
    key = await key_of_member(api, verifies_user=False)
    key.verifies_user = True
    token = (await sign_in(api, key, await api.challenge()))["tokens"]["accessToken"]
    assert [each["userVerified"] for each in await passkeys_of(api, token)] == [True]


async def test_whether_a_passkey_has_a_backup_is_of_its_last_answer(api: Api, services: Services) -> None:
    member, key = await api.member(), HostilePasskey(origin=ORIGIN, synced=True, flipped=BS)
    await added(api, member.access_token, key)
    stored = [await scalar(services, "SELECT backed_up FROM mfa_passkeys")]
    for flipped in (0, BS):
        key.flipped = flipped
        await sign_in(api, key)
        stored.append(await scalar(services, "SELECT backed_up FROM mfa_passkeys"))
    assert stored == [False, True, False]


async def test_a_refused_passkey_counts_on_its_challenge_and_not_on_the_account(api: Api, services: Services) -> None:
    key = await key_of_member(api)
    challenge = await api.challenge()
    for attempt in range(1, 6):
        assert await sign_in(api, SoftwarePasskey(), challenge) == failure("PasskeyRejected")
        assert await attempts_on(services, challenge) == attempt
    ended = await act(api, "beginPasskeyLogin", input={"challengeToken": challenge["token"]})
    assert ended == CHALLENGE_EXPIRED
    assert (await sign_in(api, key, await api.challenge()))["__typename"] == "SignedIn"


async def test_a_passkey_signs_in_while_one_time_codes_are_off(run_app: RunApp, connect: Connect) -> None:
    async with run_app(otp_failures_before_disabling=1, **PASSKEYS) as app:
        api = connect(app)
        member, key = await api.member(), SoftwarePasskey()
        await added(api, member.access_token, key)
        await api.verify_otp(await api.challenge(), wrong_code(member.secret, api.clock()))
        challenge = await api.challenge()
        assert challenge["factors"] == ["PASSKEY", "RECOVERY_CODE"]
        assert (await sign_in(api, key, challenge))["__typename"] == "SignedIn"


async def test_an_account_without_a_passkey_is_not_offered_one(api: Api) -> None:
    await api.member()
    challenge = await api.challenge()
    assert challenge["factors"] == ["TOTP", "RECOVERY_CODE"]
    begun = await act(api, "beginPasskeyLogin", input={"challengeToken": challenge["token"]})
    assert begun == failure("PasskeyUnavailable")


async def test_a_ceremony_of_a_challenge_ends_with_it(api: Api) -> None:
    member, key = await api.member(), SoftwarePasskey()
    await added(api, member.access_token, key)
    challenge = await api.challenge()
    begun = await act(api, "beginPasskeyLogin", input={"challengeToken": challenge["token"]})
    await api.verify_otp(challenge, code_at(member.secret, api.clock()))
    assert await act(api, "finishPasskeyLogin", input=answer(begun, key)) == CHALLENGE_EXPIRED


# --------------------------------------------------------------------------------------------------------------- alone


async def test_a_passkey_that_verifies_its_user_signs_in_without_a_password(api: Api, clock: Clock) -> None:
    key = await key_of_member(api, synced=True)
    clock.advance(1)
    begun = await act(api, "beginPasskeyLogin")
    assert begun["publicKey"]["allowCredentials"] == []
    assert begun["publicKey"]["userVerification"] == "required"
    signed_in = await act(api, "finishPasskeyLogin", input=answer(begun, key))
    assert (signed_in["__typename"], signed_in["user"]["username"]) == ("SignedIn", "alice")
    session = await session_of(api, signed_in["tokens"]["accessToken"])
    assert (session["factors"], session["authenticatedAt"]) == (["PASSKEY"], clock().isoformat())
    claims = claims_of(signed_in["tokens"]["accessToken"])
    assert (claims["amr"], claims["acr"]) == (["swk", "user", "mfa"], "aal2")
    refreshed = await api.refresh(signed_in["tokens"]["refreshToken"])
    assert claims_of(refreshed["tokens"]["accessToken"])["amr"] == ["swk", "user", "mfa"]


async def test_a_passkey_alone_without_user_verification_opens_no_session(api: Api, services: Services) -> None:
    key = await key_of_member(api, verifies_user=False)
    assert await sign_in(api, key) == failure("UserVerificationRequired")
    assert await sessions_of(services) == 1
    assert (await sign_in(api, key, await api.challenge()))["__typename"] == "SignedIn"


async def test_beginning_to_sign_in_with_a_passkey_alone_stores_nothing(api: Api) -> None:
    with changed_rows() as changed:
        for _ in range(3):
            assert (await act(api, "beginPasskeyLogin"))["__typename"] == "PasskeyCeremony"
    assert changed == []


async def test_the_log_says_that_an_origin_is_not_listed_and_does_not_name_it(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "graphql_mfa")
    key = await key_of_member(api)
    line = "A passkey was refused: GRAPHQL_MFA_PASSKEY_ORIGINS does not list the origin of its page."
    assert (await sign_in(api, SoftwarePasskey()))["__typename"] == "PasskeyUnknown"
    assert line not in caplog.messages
    key.origin = "http://localhost:5173"
    assert (await sign_in(api, key))["__typename"] == "PasskeyRejected"
    assert caplog.messages.count(line) == 1
    assert "5173" not in caplog.text


async def test_a_ceremony_is_answered_once(api: Api, services: Services) -> None:
    key = await key_of_member(api)
    begun = await act(api, "beginPasskeyLogin")
    answers = [await act(api, "finishPasskeyLogin", input=answer(begun, key)) for _ in range(2)]
    assert [each["__typename"] for each in answers] == ["SignedIn", "ChallengeExpired"]
    assert await sessions_of(services) == 2


async def test_a_ceremony_expires_after_five_minutes(api: Api, clock: Clock) -> None:
    key = await key_of_member(api)
    early, late = [await act(api, "beginPasskeyLogin") for _ in range(2)]
    clock.advance(299)
    assert (await act(api, "finishPasskeyLogin", input=answer(early, key)))["__typename"] == "SignedIn"
    clock.advance(1)
    assert await act(api, "finishPasskeyLogin", input=answer(late, key)) == CHALLENGE_EXPIRED


@pytest.mark.parametrize("exclusive", [False, True])
async def test_only_a_server_that_owns_its_domain_lets_the_browser_delete_an_unknown_passkey(
    run_app: RunApp, connect: Connect, exclusive: bool
) -> None:
    async with run_app(passkey_rp_id_exclusive=exclusive, **PASSKEYS) as app:
        key = SoftwarePasskey()
        api = connect(app)
        begun = await act(api, "beginPasskeyLogin")
        given = answer(begun, key)
        signal = {"rpId": "localhost", "credentialId": given["credential"]["id"]} if exclusive else None
        unknown = failure("PasskeyUnknown", signal=signal)
        assert await act(api, "finishPasskeyLogin", input=given) == unknown


async def test_a_disabled_account_can_not_sign_in_with_a_passkey(api: Api, services: Services) -> None:
    key = await key_of_member(api)
    await operators.disable(services, "alice")
    assert await sign_in(api, key) == failure("PasskeyRejected")
    await operators.enable(services, "alice")
    assert (await sign_in(api, key))["__typename"] == "SignedIn"


async def test_a_sign_in_with_a_passkey_alone_reports_refused_passwords(
    app: FastAPI, connect: Connect, api: Api, clock: Clock, services: Services
) -> None:
    key = await key_of_member(api)
    stranger = connect(app, "203.0.113.9")
    for _ in range(3):
        await stranger.login(password=WRONG_PASSWORD)
    clock.advance(1)
    token = (await sign_in(api, key))["tokens"]["accessToken"]
    events = (await user_of(api, token))["securityEvents"][:2]
    assert [(event["kind"], event["count"], event["factor"]) for event in events] == [
        ("SIGNED_IN", None, "PASSKEY"),
        ("PASSWORDS_REFUSED", 3, None),
    ]
    await sign_in(api, key)
    assert (await events_of(services))["PASSWORDS_REFUSED"] == 1


async def test_the_address_of_a_sign_in_with_a_passkey_alone_is_known(
    app: FastAPI, connect: Connect, api: Api, services: Services
) -> None:
    key = await key_of_member(api)
    await sign_in(connect(app, "192.0.2.7"), key)
    known = "SELECT count(*) FROM mfa_known_addresses WHERE address = :address"
    assert await scalar(services, known, address="192.0.2.7") == 1


# ------------------------------------------------------------------------------------------------------------ settings


async def test_after_a_change_of_the_domain_the_other_factors_sign_in(run_app: RunApp, connect: Connect) -> None:
    async with run_app(**PASSKEYS) as app:
        api = connect(app)
        member, key = await api.member(), SoftwarePasskey()
        await added(api, member.access_token, key)
    async with run_app(**ANOTHER_DOMAIN) as app:
        api = connect(app)
        begun = await act(api, "beginPasskeyLogin")
        assert begun["publicKey"]["rpId"] == "example.com"
        key.origin = "https://example.com"
        # An authenticator signs for the domain that its passkey belongs to.
        credential = key.get(begun["publicKey"] | {"rpId": "localhost"})
        given = {"ceremonyToken": begun["ceremonyToken"], "credential": credential}
        assert await act(api, "finishPasskeyLogin", input=given) == failure("PasskeyRejected")
        code = code_at(member.secret, api.clock())
        assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "SignedIn"
    async with run_app(**PASSKEYS) as app:
        key.origin = SoftwarePasskey().origin
        assert (await sign_in(connect(app), key))["__typename"] == "SignedIn"


async def test_while_passkeys_are_off_they_are_neither_offered_nor_accepted(run_app: RunApp, connect: Connect) -> None:
    async with run_app(**PASSKEYS) as app:
        api = connect(app)
        key = await key_of_member(api)
        alone = await act(api, "beginPasskeyLogin")
        challenge = await api.challenge()
        second = await act(api, "beginPasskeyLogin", input={"challengeToken": challenge["token"]})
    async with run_app() as app:
        api = connect(app)
        assert await act(api, "beginPasskeyLogin") == failure("PasskeyUnavailable")
        for begun in (alone, second):
            assert await act(api, "finishPasskeyLogin", input=answer(begun, key)) == CHALLENGE_EXPIRED
        assert (await api.challenge())["factors"] == ["TOTP", "RECOVERY_CODE"]
        begun = await act(api, "beginPasskeyLogin", input={"challengeToken": challenge["token"]})
        assert begun == failure("PasskeyUnavailable")
