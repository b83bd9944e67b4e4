"""Attack: sign in as somebody else with a passkey, or find out whose passkeys there are."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from graphql_mfa.core.passkeys import verify_assertion
from graphql_mfa.flows import operators
from graphql_mfa.services import Services
from graphql_mfa.testing import SoftwarePasskey
from tests.account import act, document
from tests.api_client import Api, Result
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.passkeys import PASSKEYS, add_passkey, answer, sign_in, step_up, with_passkeys
from tests.security.attacks import attempts_on, events_of, scalar, sessions_of
from tests.security.passkey_attacks import (
    ELSEWHERE,
    RunApp,
    begin_adding,
    begin_sign_in,
    begin_step_up,
    finish_adding,
    finish_sign_in,
    finish_step_up,
    member_with_passkey,
    passkey_account,
    passkeys_of,
    refused_answer,
    remove_passkey,
    token_of,
)
from tests.security.work import measured
from tests.statements import changed_rows

pytestmark = with_passkeys


def forged(key: SoftwarePasskey) -> SoftwarePasskey:
    """A passkey with the id and the handle of that one, and a key of its own."""
    other = SoftwarePasskey()
    other.id, other.user_handle = key.id, key.user_handle
    return other


def with_handle(given: Result, handle: object) -> Result:
    response = given["credential"]["response"] | {"userHandle": handle}
    return given | {"credential": given["credential"] | {"response": response}}


# ------------------------------------------------------------------------------------------------ somebody else's


async def test_a_challenge_answered_with_a_passkey_of_another_account(api: Api, services: Services) -> None:
    """The attacker knows alice's password and the id of her passkey, which `begin` shows, and has another passkey."""
    _, key = await member_with_passkey(api)
    _, own = await member_with_passkey(api, "mallory")
    relabelled = forged(key)
    relabelled.key = own.key
    for attacker in (own, relabelled, forged(key)):
        challenge = await api.challenge()
        outcome = await finish_sign_in(api, answer(await begin_sign_in(api, challenge), attacker))
        assert outcome["__typename"] == "PasskeyRejected"
        assert await attempts_on(services, challenge) == 1
    assert await sessions_of(services) == 1


async def test_a_step_up_with_a_passkey_of_another_account(api: Api) -> None:
    member, key = await member_with_passkey(api)
    _, own = await member_with_passkey(api, "mallory")
    for attacker in (own, forged(key)):
        outcome = await finish_step_up(
            api, member.access_token, answer(await begin_step_up(api, member.access_token), attacker)
        )
        assert outcome["__typename"] == "PasskeyRejected"


async def test_a_sign_in_alone_with_the_handle_of_another_account(api: Api, services: Services) -> None:
    """The handle is not signed. It has to be there, and that of the passkey's owner."""
    _, key = await member_with_passkey(api)
    _, own = await member_with_passkey(api, "mallory")
    for handle in (key.user_handle, None, "", "AAAA", 7, "not base64!"):
        outcome = await finish_sign_in(api, with_handle(answer(await begin_sign_in(api), own), handle))
        assert outcome["__typename"] == "PasskeyRejected"
    assert await sessions_of(services) == await sessions_of(services, "mallory") == 1


async def test_a_challenge_answered_with_the_handle_of_another_account(api: Api) -> None:
    """A handle need not be there, but if it is, it is that of the challenge's account (WebAuthn L3 7.2, step 6)."""
    member, key = await member_with_passkey(api)
    _, other = await member_with_passkey(api, "mallory")
    wrong = with_handle(answer(await begin_sign_in(api, await api.challenge()), key), other.user_handle)
    assert (await finish_sign_in(api, wrong))["__typename"] == "PasskeyRejected"
    wrong = with_handle(answer(await begin_step_up(api, member.access_token), key), other.user_handle)
    assert (await finish_step_up(api, member.access_token, wrong))["__typename"] == "PasskeyRejected"
    for handle in (None, ""):
        given = with_handle(answer(await begin_sign_in(api, await api.challenge()), key), handle)
        assert (await finish_sign_in(api, given))["__typename"] == "SignedIn"


async def test_an_id_that_differs_from_the_raw_id(api: Api) -> None:
    _, key = await member_with_passkey(api)
    _, own = await member_with_passkey(api, "mallory")
    for member in ("id", "rawId"):
        given = answer(await begin_sign_in(api), own)
        given["credential"][member] = key.get({"challenge": "", "rpId": ""})["id"]
        assert (await finish_sign_in(api, given))["__typename"] == "PasskeyRejected"


async def test_a_page_elsewhere_that_the_request_names_in_its_headers(api: Api) -> None:
    """A phishing site that relays requests and answers. RP ID and origins are settings."""
    member, key = await member_with_passkey(api)
    api.http.headers.update({"Host": "elsewhere.example", "Origin": ELSEWHERE, "X-Forwarded-Host": "elsewhere.example"})
    options = [await begin_sign_in(api), await begin_sign_in(api, await api.challenge())]
    added = await begin_adding(api, member.access_token)
    assert {begun["publicKey"]["rpId"] for begun in options} == {added["publicKey"]["rp"]["id"]} == {"localhost"}
    for begun in options:
        assert (await finish_sign_in(api, refused_answer(begun, key)))["__typename"] == "PasskeyRejected"
    refused = await finish_adding(api, member.access_token, refused_answer(added, SoftwarePasskey()))
    assert refused["__typename"] == "PasskeyRejected"
    assert (await sign_in(api, key))["__typename"] == "SignedIn"


async def test_a_credential_id_registered_again(api: Api, services: Services) -> None:
    """By another account, which would then answer for the first one, or by the same one."""
    member, key = await member_with_passkey(api)
    mallory = await api.member("mallory")
    for token in (mallory.access_token, member.access_token):
        begun = await begin_adding(api, token)
        copy = forged(key)
        assert (await finish_adding(api, token, answer(begun, copy)))["__typename"] == "PasskeyRejected"
    assert await scalar(services, "SELECT count(*) FROM mfa_passkeys") == 1
    signed_in = await sign_in(api, key)
    assert signed_in["user"]["username"] == "alice"
    assert (await events_of(services, "mallory"))["PASSKEY_ADDED"] == 0


# ------------------------------------------------------------------------------------------------ find out whose


def of_unknown_id(key: SoftwarePasskey) -> SoftwarePasskey:
    other = SoftwarePasskey()
    other.user_handle = key.user_handle
    return other


async def raw_answer(api: Api, key: SoftwarePasskey) -> Any:
    begun = await begin_sign_in(api)
    body = json.dumps({"query": document("finishPasskeyLogin"), "variables": {"input": answer(begun, key)}})
    headers = {"Content-Type": "application/json", "X-Request-ID": "same"}
    return await api.http.post("/graphql", content=body, headers=headers)


async def test_a_passkey_of_a_disabled_account_is_refused_like_a_wrong_signature(api: Api, services: Services) -> None:
    """Byte for byte, whether the signature is right or wrong. A passkey of no account is answered differently."""
    _, key = await member_with_passkey(api)
    _, disabled = await member_with_passkey(api, "bob")
    await operators.disable(services, "bob")

    answers = [await raw_answer(api, each) for each in (forged(key), disabled, forged(disabled))]

    assert answers[0].json()["data"]["finishPasskeyLogin"]["__typename"] == "PasskeyRejected"
    assert len({(each.status_code, each.content, str(each.headers)) for each in answers}) == 1
    assert await sessions_of(services, "bob") == 0


async def test_every_refusal_of_a_passkey_alone_costs_the_same(
    api: Api, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same statements, as many rows changed, and one signature verified: with a key of its own if there is none."""
    _, key = await member_with_passkey(api)
    _, disabled = await member_with_passkey(api, "bob")
    _, other = await member_with_passkey(api, "carol")
    await operators.disable(services, "bob")
    misnamed = SoftwarePasskey()
    misnamed.id, misnamed.key, misnamed.user_handle = key.id, key.key, other.user_handle
    verified: list[bytes] = []

    def verify(*given: Any, **named: Any) -> object:
        verified.append(given[3].public_key)
        return verify_assertion(*given, **named)

    monkeypatch.setattr("graphql_mfa.flows.passkeys.verify_assertion", verify)
    works = {}
    attackers = {
        "wrong signature": forged(key),
        "unknown": of_unknown_id(key),
        "disabled": disabled,
        "disabled, wrong signature": forged(disabled),
        "another's handle": misnamed,
    }
    for name, attacker in attackers.items():
        given = answer(await begin_sign_in(api), attacker)
        verified.clear()
        with measured(monkeypatch) as work, changed_rows() as changed:
            outcome = await finish_sign_in(api, given)
        assert outcome["__typename"] in {"PasskeyRejected", "PasskeyUnknown"}
        works[name] = (tuple(work.statements), tuple(changed), len(verified))

    assert len(set(works.values())) == 1, works
    assert works["unknown"][2] == 1


async def test_no_signal_deletes_a_passkey_that_an_account_has(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    """A browser deletes a signalled passkey for good: none of a disabled account or another deployment is signalled."""
    for exclusive in (False, True):
        async with run_app(**PASSKEYS, passkey_rp_id_exclusive=exclusive) as app:
            api, name = connect(app), f"alice-{exclusive}"
            member, key = await member_with_passkey(api, name)
            with subtests.test("wrong signature", exclusive=exclusive):
                assert (await sign_in(api, forged(key)))["__typename"] == "PasskeyRejected"
            with subtests.test("at a challenge", exclusive=exclusive):
                outcome = await sign_in(api, of_unknown_id(key), await api.challenge(name))
                assert outcome["__typename"] == "PasskeyRejected"
            with subtests.test("in a session", exclusive=exclusive):
                outcome = await step_up(api, member.access_token, of_unknown_id(key))
                assert outcome["__typename"] == "PasskeyRejected"
            with subtests.test("disabled", exclusive=exclusive):
                await operators.disable(app.state.services, name)
                assert (await sign_in(api, key))["__typename"] == "PasskeyRejected"
                await operators.enable(app.state.services, name)
            token = token_of(await sign_in(api, key))
            with subtests.test("removed", exclusive=exclusive):
                (passkey,) = await passkeys_of(api, token)
                removed = await remove_passkey(api, token, passkey["id"])
                assert removed["__typename"] == "FactorRemoved"
                unknown = await sign_in(api, key)
                credential_id = key.get({"challenge": "", "rpId": ""})["id"]
                assert unknown["__typename"] == "PasskeyUnknown"
                assert unknown["signal"] == (
                    {"rpId": "localhost", "credentialId": credential_id} if exclusive else None
                )


async def test_signals_of_another_account(api: Api) -> None:
    """The browser hides passkeys that are not listed, so all of the account's are listed, and no others."""
    member, key = await member_with_passkey(api)
    second = SoftwarePasskey()
    api.clock.advance(1)
    await add_passkey(api, member.access_token, second)
    mallory, own = await member_with_passkey(api, "mallory")
    query = "query Me { me { passkeySignals { allAcceptedCredentials currentUserDetails } } }"
    for token, keys, name in ((member.access_token, [key, second], "alice"), (mallory.access_token, [own], "mallory")):
        signals = (await api.run(query, token=token))["passkeySignals"]
        ids = [each.get({"challenge": "", "rpId": ""})["id"] for each in keys]
        handle = keys[0].user_handle
        assert signals == {
            "allAcceptedCredentials": {"rpId": "localhost", "userId": handle, "allAcceptedCredentialIds": ids},
            "currentUserDetails": {"rpId": "localhost", "userId": handle, "name": name, "displayName": name},
        }


async def test_handles_name_one_account_for_its_life_and_say_nothing_of_it(api: Api, services: Services) -> None:
    member, key = await member_with_passkey(api)
    second = SoftwarePasskey()
    await add_passkey(api, member.access_token, second)
    _, other = await member_with_passkey(api, "bob")
    code = await operators.reset_mfa(services, "alice")
    begun = await act(
        api,
        "beginPasskeyRegistration",
        input={"challengeToken": (await api.challenge())["token"], "enrollmentCode": code},
    )
    handles = {key.user_handle, second.user_handle, begun["publicKey"]["user"]["id"]}
    assert len(handles) == 1
    assert other.user_handle not in handles
    assert {len(handle or "") for handle in handles} == {86}  # 64 bytes


# -------------------------------------------------------------------------------------------------------- copies


Answer = Callable[[Api, str, SoftwarePasskey], Awaitable[Result]]


async def alone(api: Api, token: str, key: SoftwarePasskey) -> Result:
    return await sign_in(api, key)


async def at_a_challenge(api: Api, token: str, key: SoftwarePasskey) -> Result:
    return await sign_in(api, key, await api.challenge())


ANSWERS: list[tuple[Answer, str]] = [
    (alone, "SignedIn"),
    (at_a_challenge, "SignedIn"),
    (step_up, "Reauthenticated"),
]


@on_each_engine
@pytest.mark.parametrize(("answer_with", "succeeds_as"), ANSWERS)
async def test_a_copy_of_a_passkey_that_cannot_be_copied(
    api: Api, services: Services, answer_with: Answer, succeeds_as: str
) -> None:
    """Its counter is behind the original's, or equal. The original goes on."""
    member, key = await member_with_passkey(api, counter=10)
    assert (await answer_with(api, member.access_token, key))["__typename"] == succeeds_as
    sessions, events = await sessions_of(services), await events_of(services)
    for behind in (1, 3, 12):
        assert key.counter is not None
        key.counter -= behind
        refused = await answer_with(api, member.access_token, key)
        assert refused["__typename"] == "PasskeyRejected"
        key.counter = 11
    after = await events_of(services)
    assert after["PASSKEY_COUNTER_REGRESSED"] - events["PASSKEY_COUNTER_REGRESSED"] == 3
    assert await sessions_of(services) == sessions
    assert await scalar(services, "SELECT sign_count FROM mfa_passkeys") == 11
    assert (await answer_with(api, member.access_token, key))["__typename"] == succeeds_as


@on_each_engine
@pytest.mark.parametrize(("answer_with", "succeeds_as"), ANSWERS)
async def test_copies_of_a_synced_passkey_do_not_lock_its_owner_out(
    api: Api, services: Services, answer_with: Answer, succeeds_as: str
) -> None:
    member, key = await member_with_passkey(api, counter=10, synced=True)
    key.counter = 4
    assert (await answer_with(api, member.access_token, key))["__typename"] == succeeds_as
    assert (await events_of(services))["PASSKEY_COUNTER_REGRESSED"] == 1
    assert await scalar(services, "SELECT sign_count FROM mfa_passkeys") == 10


@pytest.mark.parametrize("answer_with", [alone, step_up])
async def test_a_copy_that_did_not_verify_its_user_raises_no_alarm(
    api: Api, services: Services, answer_with: Answer
) -> None:
    """Its answer is refused for another reason, and the account has a copied passkey all the same."""
    _, key = await member_with_passkey(api, counter=10, synced=True)
    token = token_of(await sign_in(api, key))
    key.counter, key.verifies_user = 4, False
    assert (await answer_with(api, token, key))["__typename"] == "UserVerificationRequired"
    assert (await events_of(services))["PASSKEY_COUNTER_REGRESSED"] == 1


@on_each_engine
async def test_a_counter_that_has_counted_very_far(api: Api, services: Services) -> None:
    """Up to 2^32 - 1 (WebAuthn L3 6.1)."""
    _, key = await member_with_passkey(api, counter=2**31)
    assert (await sign_in(api, key))["__typename"] == "SignedIn"
    key.counter = 2**32 - 2
    assert (await sign_in(api, key, await api.challenge()))["__typename"] == "SignedIn"
    assert await scalar(services, "SELECT sign_count FROM mfa_passkeys") == 2**32 - 1


async def test_an_alarm_raised_without_the_passkey(api: Api, services: Services) -> None:
    """The counter is compared after the signature, so that a stranger can't make events of somebody's."""
    _, key = await member_with_passkey(api, counter=10)
    copy = forged(key)
    copy.counter = 1
    for challenge in (None, await api.challenge()):
        assert (await sign_in(api, copy, challenge))["__typename"] == "PasskeyRejected"
    assert (await events_of(services))["PASSKEY_COUNTER_REGRESSED"] == 0


@pytest.mark.parametrize(("answer_with", "succeeds_as"), ANSWERS)
async def test_a_passkey_that_becomes_a_synced_one(api: Api, answer_with: Answer, succeeds_as: str) -> None:
    """Whether it can be synced never changes; whether it is may."""
    member, key = await member_with_passkey(api)
    key.synced = True
    assert (await answer_with(api, member.access_token, key))["__typename"] == "PasskeyRejected"
    key.synced = False
    assert (await answer_with(api, member.access_token, key))["__typename"] == succeeds_as


async def test_a_refused_answer_changes_nothing(api: Api, services: Services, clock: Clock) -> None:
    """Of the passkey, nor of its account's sessions."""
    member, key = await member_with_passkey(api, counter=10)
    before = await passkeys_of(api, member.access_token)
    clock.advance(60)

    def unverified() -> SoftwarePasskey:
        other = forged(key)
        other.key, other.verifies_user, other.counter = key.key, False, 100
        return other

    outcomes = [
        await sign_in(api, forged(key)),
        await sign_in(api, forged(key), await api.challenge()),
        await sign_in(api, unverified()),
    ]
    kinds = [outcome["__typename"] for outcome in outcomes]
    assert kinds == ["PasskeyRejected", "PasskeyRejected", "UserVerificationRequired"]
    assert await passkeys_of(api, member.access_token) == before
    assert await scalar(services, "SELECT sign_count FROM mfa_passkeys") == 10
    assert await sessions_of(services) == 1


async def test_an_account_that_has_only_a_passkey_is_not_anothers(api: Api) -> None:
    confirmed, key = await passkey_account(api)
    _, other = await passkey_account(api, "bob")
    assert (await sign_in(api, key))["user"]["id"] == confirmed["user"]["id"]
    assert (await sign_in(api, other))["user"]["username"] == "bob"
