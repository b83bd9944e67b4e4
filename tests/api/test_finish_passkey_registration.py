"""beginPasskeyRegistration and finishPasskeyRegistration: another factor of a signed-in user, or the first one."""

from uuid import UUID

from graphql_mfa.core.recovery_codes import new_recovery_code
from graphql_mfa.flows import operators
from graphql_mfa.flows.totp import enrollment_code_digest
from graphql_mfa.services import Services
from graphql_mfa.testing import SoftwarePasskey
from tests.account import act, user_of
from tests.api.answers import CHALLENGE_EXPIRED, failure
from tests.api.scenarios import NO_RECOVERY_CODE, RunApp, begin_to_add, finish_to_add, import_user, key_of_member
from tests.api.test_reauthenticate import claims_of
from tests.api_client import Api, Result
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.passkeys import (
    PASSKEYS,
    add_passkey,
    added,
    answer,
    enroll,
    names_of,
    passkeys_of,
    remove,
    sign_in,
    with_passkeys,
)
from tests.security.attacks import attempts_on, events_of, scalar

pytestmark = [on_each_engine, with_passkeys]

CODE_REQUIRED = failure("EnrollmentCodeRequired")


# ------------------------------------------------------------------------------------------------------ another factor


async def test_a_passkey_is_added_and_shown(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    answered = await add_passkey(api, member.access_token, SoftwarePasskey(synced=True), name=" Zoë's key ")
    assert answered["__typename"] == "PasskeyAdded"
    assert answered["passkey"] == {
        "__typename": "Passkey",
        "id": answered["passkey"]["id"],
        "name": "Zoë's key",
        "createdAt": clock().isoformat(),
        "lastUsedAt": None,
        "synced": True,
        "userVerified": True,
        "discoverable": True,
        "authenticator": None,
    }
    assert answered["user"]["passkeys"] == [answered["passkey"]]
    assert await passkeys_of(api, member.access_token) == [answered["passkey"]]
    assert (await events_of(services))["PASSKEY_ADDED"] == 1


async def test_the_options_of_a_registration_name_the_account_and_exclude_its_passkeys(api: Api) -> None:
    member, key = await api.member(), SoftwarePasskey()
    first = (await begin_to_add(api, member.access_token))["publicKey"]
    assert first["rp"] == {"id": "localhost", "name": "GraphQL MFA"}
    assert (first["user"]["name"], first["user"]["displayName"]) == ("alice", "alice")
    assert (first["attestation"], first["timeout"], first["excludeCredentials"]) == ("none", 300_000, [])
    assert first["authenticatorSelection"] == {
        "residentKey": "preferred",
        "requireResidentKey": False,
        "userVerification": "preferred",
    }
    await added(api, member.access_token, key)
    second = (await begin_to_add(api, member.access_token))["publicKey"]
    assert second["user"] == first["user"]  # or the authenticator would keep a second passkey
    assert second["challenge"] != first["challenge"]
    assert [each["id"] for each in second["excludeCredentials"]] == [key.create(second)["id"]]


async def test_options_say_how_the_browser_reaches_each_passkey(api: Api) -> None:
    token = (await api.member()).access_token
    await added(api, token, SoftwarePasskey())
    challenge = await api.challenge()
    excluded = (await begin_to_add(api, token))["publicKey"]["excludeCredentials"]
    assert [each["transports"] for each in excluded] == [["hybrid", "internal"]]
    second = await act(api, "beginPasskeyLogin", input={"challengeToken": challenge["token"]})
    again = await act(api, "beginPasskeyReauthentication", token)
    assert second["publicKey"]["allowCredentials"] == again["publicKey"]["allowCredentials"] == excluded


async def test_a_client_that_does_not_say_whether_a_passkey_is_discoverable(api: Api) -> None:
    token = (await api.member()).access_token
    begun = await begin_to_add(api, token)
    assert begun["publicKey"]["extensions"] == {"credProps": True}
    given = answer(begun, SoftwarePasskey())
    given["credential"]["clientExtensionResults"] = {}
    assert (await finish_to_add(api, token, **given))["__typename"] == "PasskeyAdded"
    assert [passkey["discoverable"] for passkey in await passkeys_of(api, token)] == [None]


async def test_a_passkey_without_a_name_is_named_after_its_kind(api: Api) -> None:
    token = (await api.member()).access_token
    await added(api, token)
    one_password = SoftwarePasskey(aaguid=UUID("bada5566-a7aa-401f-bd96-45619a55120d"))
    api.clock.advance(1)
    shown = await added(api, token, one_password)
    assert shown["authenticator"] == "1Password"
    assert await names_of(api, token) == ["Passkey", "1Password"]


async def test_an_unreadable_name_is_refused_and_the_ceremony_stays_open(api: Api) -> None:
    token = (await api.member()).access_token
    begun = await begin_to_add(api, token)
    given = answer(begun, SoftwarePasskey())
    refused = await finish_to_add(api, token, **given, name="pho\u202ene")
    assert [(field["field"], field["code"]) for field in refused["fields"]] == [("name", "INVALID_CHARACTERS")]
    assert (await finish_to_add(api, token, **given, name="phone"))["__typename"] == "PasskeyAdded"


async def test_an_account_has_ten_passkeys_at_most(api: Api) -> None:
    token = (await api.member()).access_token
    passkeys = [await added(api, token) for _ in range(10)]
    assert await begin_to_add(api, token) == failure("TooManyPasskeys")
    await remove(api, token, passkeys[3]["id"])
    await added(api, token)
    assert len(await passkeys_of(api, token)) == 10


async def test_another_session_of_the_account_can_not_finish_the_ceremony(api: Api) -> None:
    member = await api.member()
    other = await api.verify_otp(await api.challenge(), code_at(member.secret, api.clock()))
    begun = await begin_to_add(api, member.access_token)
    given = answer(begun, SoftwarePasskey())
    assert await finish_to_add(api, other["tokens"]["accessToken"], **given) == CHALLENGE_EXPIRED
    assert (await finish_to_add(api, member.access_token, **given))["__typename"] == "PasskeyAdded"


async def test_a_ceremony_that_a_fresh_session_began_can_be_finished_after_the_five_minutes(
    api: Api, clock: Clock
) -> None:
    member = await api.member()
    clock.advance(269)
    begun = await begin_to_add(api, member.access_token)
    clock.advance(200)
    finished = await finish_to_add(api, member.access_token, **answer(begun, SoftwarePasskey()))
    assert finished["__typename"] == "PasskeyAdded"


async def test_the_browser_may_add_a_passkey_without_a_dialogue_after_a_sign_in_with_a_password(api: Api) -> None:
    member, key = await api.member(), SoftwarePasskey(present=False)
    shown = await added(api, member.access_token, key, conditional=True)
    assert shown["userVerified"] is False
    asked = await begin_to_add(api, member.access_token)
    refused = await finish_to_add(api, member.access_token, **answer(asked, SoftwarePasskey(present=False)))
    assert refused == failure("PasskeyRejected")


async def test_the_browser_may_not_add_a_passkey_without_a_dialogue_after_a_sign_in_without_a_password(
    api: Api,
) -> None:
    token = (await sign_in(api, await key_of_member(api)))["tokens"]["accessToken"]
    assert await begin_to_add(api, token, conditional=True) == failure("PasskeyUnavailable")
    assert (await begin_to_add(api, token))["__typename"] == "PasskeyCeremony"


# --------------------------------------------------------------------------------------------------- the first factor


async def test_a_new_account_is_enrolled_with_a_passkey_instead_of_an_app(
    api: Api, clock: Clock, services: Services
) -> None:
    registered = await api.register()
    key = SoftwarePasskey()
    clock.advance(1)
    confirmed = await enroll(api, registered["challenge"], key)
    assert confirmed["__typename"] == "EnrollmentConfirmed"
    assert len(set(confirmed["recoveryCodes"])) == confirmed["user"]["recoveryCodesLeft"] == 10
    token = confirmed["tokens"]["accessToken"]
    assert claims_of(token)["amr"] == ["pwd", "hwk", "user", "mfa"]
    user = await user_of(api, token)
    assert (user["mfaEnabled"], user["totpDevices"], len(user["passkeys"])) == (True, [], 1)
    events = [(event["kind"], event["factor"]) for event in user["securityEvents"]]
    assert events == [("SIGNED_IN", "PASSKEY"), ("ENROLLMENT_CONFIRMED", "PASSKEY"), ("REGISTERED", None)]
    assert await api.verify_otp(registered["challenge"], "000000") == CHALLENGE_EXPIRED

    challenge = await api.challenge()
    assert (challenge["factors"], challenge["otpRetryAfter"]) == (["PASSKEY", "RECOVERY_CODE"], None)
    old_code = code_at(registered["enrollment"]["secret"], clock())
    assert (await api.verify_otp(challenge, old_code))["__typename"] == "InvalidOtp"
    assert await attempts_on(services, challenge) == 1
    assert (await sign_in(api, key, challenge))["__typename"] == "SignedIn"
    by_recovery_code = await api.verify_recovery_code(await api.challenge(), confirmed["recoveryCodes"][0])
    assert by_recovery_code["__typename"] == "SignedIn"


async def test_wrong_codes_for_an_account_with_passkeys_alone_do_not_count_on_the_account(
    run_app: RunApp, connect: Connect
) -> None:
    async with run_app(otp_failures_before_disabling=1, **PASSKEYS) as app:
        api = connect(app)
        key = SoftwarePasskey()
        await enroll(api, (await api.register())["challenge"], key)
        challenge = await api.challenge()
        for left in (4, 3):
            wrong = await api.verify_otp(challenge, "000000")
            assert (wrong["__typename"], wrong["attemptsLeft"]) == ("InvalidOtp", left)
        assert await scalar(app.state.services, "SELECT count(*) FROM mfa_otp_failures") == 0


async def test_a_security_key_without_a_pin_can_be_the_first_factor(api: Api) -> None:
    key = SoftwarePasskey(verifies_user=False, discoverable=False)
    confirmed = await enroll(api, (await api.register())["challenge"], key)
    assert claims_of(confirmed["tokens"]["accessToken"])["amr"] == ["pwd", "hwk", "mfa"]
    assert (await sign_in(api, key, await api.challenge()))["__typename"] == "SignedIn"


async def test_the_session_of_an_enrollment_ends_with_its_passkey(api: Api) -> None:
    key = SoftwarePasskey(synced=True)
    enrolled = (await enroll(api, (await api.register())["challenge"], key))["tokens"]["accessToken"]
    assert claims_of(enrolled)["amr"] == ["pwd", "swk", "user", "mfa"]
    (passkey,) = await passkeys_of(api, enrolled)
    token = (await sign_in(api, key))["tokens"]["accessToken"]
    await added(api, token)
    assert (await remove(api, token, passkey["id"]))["sessionsEnded"] == 1
    assert await api.me(enrolled) is None


async def test_an_account_with_a_passkey_alone_can_add_an_app(api: Api, clock: Clock) -> None:
    confirmed = await enroll(api, (await api.register())["challenge"], SoftwarePasskey())
    token = confirmed["tokens"]["accessToken"]
    app = await act(api, "addTotpDevice", token, input={"name": "Phone"})
    code = code_at(app["enrollment"]["secret"], clock())
    await act(api, "confirmTotpDevice", token, input={"id": app["device"]["id"], "otp": code})
    challenge = await api.challenge()
    assert challenge["factors"] == ["TOTP", "PASSKEY", "RECOVERY_CODE"]
    clock.advance(30)
    by_code = await api.verify_otp(challenge, code_at(app["enrollment"]["secret"], clock()))
    assert by_code["__typename"] == "SignedIn"


async def test_a_refused_answer_counts_on_the_challenge(api: Api, services: Services) -> None:
    challenge = (await api.register())["challenge"]
    stranger = SoftwarePasskey("https://evil.example")
    assert await enroll(api, challenge, stranger) == failure("PasskeyRejected")
    assert await attempts_on(services, challenge) == 1
    assert (await enroll(api, challenge, SoftwarePasskey()))["__typename"] == "EnrollmentConfirmed"


async def test_a_code_that_was_verified_first_ends_the_ceremony(api: Api, clock: Clock) -> None:
    registered = await api.register()
    begun = await begin_to_add(api, challengeToken=registered["challenge"]["token"])
    code = code_at(registered["enrollment"]["secret"], clock())
    assert (await api.verify_otp(registered["challenge"], code))["__typename"] == "EnrollmentConfirmed"
    finished = await finish_to_add(api, None, **answer(begun, SoftwarePasskey()))
    assert finished == failure("AlreadyEnrolled")


async def test_a_restarted_enrollment_ends_the_ceremony(api: Api) -> None:
    registered = await api.register()
    begun = await begin_to_add(api, challengeToken=registered["challenge"]["token"])
    restarted = await api.restart_enrollment(registered["challenge"])
    assert await finish_to_add(api, None, **answer(begun, SoftwarePasskey())) == CHALLENGE_EXPIRED
    confirmed = await enroll(api, restarted["challenge"], SoftwarePasskey())
    assert confirmed["__typename"] == "EnrollmentConfirmed"


async def imported(api: Api, services: Services) -> tuple[str, Result]:
    """The operator's code of an imported account, and a challenge."""
    code = new_recovery_code()
    await import_user(services, "imported", enrollment_code_digest=enrollment_code_digest(code))
    return code, await api.challenge(password="imported")


async def test_an_imported_account_is_enrolled_with_a_passkey_and_the_operators_code(
    api: Api, services: Services
) -> None:
    code, challenge = await imported(api, services)
    assert await begin_to_add(api, challengeToken=challenge["token"]) == CODE_REQUIRED
    # The code counts until the enrollment is confirmed: an abandoned attempt doesn't use it up.
    assert (await api.restart_enrollment(challenge, code))["__typename"] == "EnrollmentRestarted"
    challenge = await api.challenge(password="imported")
    await begin_to_add(api, challengeToken=challenge["token"], enrollmentCode=code)
    key = SoftwarePasskey()
    confirmed = await enroll(api, challenge, key, enrollmentCode=code.lower().replace("-", " "))
    assert confirmed["__typename"] == "EnrollmentConfirmed"
    assert (await user_of(api, confirmed["tokens"]["accessToken"]))["totpDevices"] == []
    again = await begin_to_add(api, challengeToken=(await api.challenge(password="imported"))["token"])
    assert again == failure("AlreadyEnrolled")
    assert await scalar(services, "SELECT enrollment_code_digest FROM mfa_users") is None


async def test_a_wrong_code_of_an_operator_counts_on_the_challenge(api: Api, services: Services) -> None:
    code, challenge = await imported(api, services)
    for attempt in range(1, 6):
        wrong = await begin_to_add(api, challengeToken=challenge["token"], enrollmentCode=NO_RECOVERY_CODE)
        assert wrong == CODE_REQUIRED
        assert await attempts_on(services, challenge) == attempt
    ended = await begin_to_add(api, challengeToken=challenge["token"], enrollmentCode=code)
    assert ended == CHALLENGE_EXPIRED
    confirmed = await enroll(api, await api.challenge(password="imported"), SoftwarePasskey(), enrollmentCode=code)
    assert confirmed["__typename"] == "EnrollmentConfirmed"


async def test_an_operators_reset_removes_passkeys_and_their_sessions(api: Api, services: Services) -> None:
    key = await key_of_member(api)
    signed_in = await sign_in(api, key)
    begun = await act(api, "beginPasskeyLogin", input={"challengeToken": (await api.challenge())["token"]})
    code = await operators.reset_mfa(services, "alice")
    assert isinstance(code, str)
    assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == 0
    assert await api.me(signed_in["tokens"]["accessToken"]) is None
    assert await act(api, "finishPasskeyLogin", input=answer(begun, key)) == CHALLENGE_EXPIRED
    assert (await sign_in(api, key))["__typename"] == "PasskeyUnknown"
    challenge = await api.challenge()
    assert await begin_to_add(api, challengeToken=challenge["token"]) == CODE_REQUIRED
    # The same authenticator may be enrolled again.
    confirmed = await enroll(api, challenge, key, enrollmentCode=code)
    assert confirmed["__typename"] == "EnrollmentConfirmed"
    assert (await sign_in(api, key))["__typename"] == "SignedIn"


async def test_passkeys_are_deleted_with_their_account(api: Api, services: Services) -> None:
    key = await key_of_member(api)
    token = (await sign_in(api, key))["tokens"]["accessToken"]
    assert (await act(api, "deleteAccount", token))["__typename"] == "AccountDeleted"
    assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == 0
    assert (await sign_in(api, key))["__typename"] == "PasskeyUnknown"


async def test_while_passkeys_are_off_none_is_added(run_app: RunApp, connect: Connect) -> None:
    async with run_app(**PASSKEYS) as app:
        api = connect(app)
        member = await api.member()
        begun = await begin_to_add(api, member.access_token)
    async with run_app() as app:
        api = connect(app)
        assert await begin_to_add(api, member.access_token) == failure("PasskeyUnavailable")
        challenge = (await api.register("bob"))["challenge"]
        assert await begin_to_add(api, challengeToken=challenge["token"]) == failure("PasskeyUnavailable")
        late = await finish_to_add(api, member.access_token, **answer(begun, SoftwarePasskey()))
        assert late == CHALLENGE_EXPIRED
        assert await passkeys_of(api, member.access_token) == []
