"""User.securityEvents: what is recorded, and how it is shown."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from passlib.hash import bcrypt
from sqlalchemy import select

from graphql_mfa.core.security_events import SecurityEventKind, event_id
from graphql_mfa.flows import operators
from graphql_mfa.flows.user_import import import_users
from graphql_mfa.services import OPERATOR, Services, Transaction
from graphql_mfa.store.models import SecurityEventRow
from graphql_mfa.testing import SoftwarePasskey
from tests import passkeys
from tests.account import act, user_of
from tests.api import scenarios
from tests.api.scenarios import NO_ID, RunApp
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.devices import confirmed, remove
from tests.passkeys import PASSKEYS
from tests.security.attacks import NO_RECOVERY_CODE, WRONG_PASSWORD, at_once, events_of, kinds

# --------------------------------------------------------------------------------------------------- what is recorded

Way = Callable[[Api, Services], Awaitable[object]]
Kind = SecurityEventKind
WAYS: list[tuple[tuple[Kind, ...], Way, dict[str, Any]]] = []
MEMBER = (Kind.REGISTERED, Kind.ENROLLMENT_CONFIRMED, Kind.SIGNED_IN)


def records(*kinds: Kind, **settings: Any) -> Callable[[Way], Way]:
    """Enter a function in the table: the shortest way to the last of these events, which are all that it records."""

    def enter(way: Way) -> Way:
        WAYS.append((kinds, way, settings))
        return way

    return enter


records(*MEMBER)(scenarios.confirm_an_enrollment)
records(*MEMBER, Kind.SIGN_IN_FAILED)(scenarios.answer_with_a_wrong_code)
records(*MEMBER, Kind.SIGN_IN_FAILED)(scenarios.answer_with_no_recovery_code)
records(*MEMBER, Kind.SIGN_IN_FAILED)(scenarios.verify_a_wrong_code)
records(*MEMBER, Kind.SIGN_IN_FAILED)(scenarios.verify_no_recovery_code)
records(*MEMBER, Kind.SIGNED_IN, Kind.OTP_REPLAYED)(scenarios.answer_with_a_used_code)
records(*MEMBER, Kind.OTP_REPLAYED)(scenarios.verify_the_code_that_signed_in)
records(*MEMBER, Kind.SIGNED_IN, Kind.RECOVERY_CODE_USED)(scenarios.sign_in_with_a_recovery_code)
records(*MEMBER, Kind.RECOVERY_CODES_REGENERATED)(scenarios.make_new_recovery_codes)
records(*MEMBER, Kind.SESSION_ENDED)(scenarios.log_out)
records(*MEMBER, Kind.SESSION_ENDED)(scenarios.revoke_the_session_that_asks)
records(*MEMBER, Kind.ACCOUNT_DELETED)(scenarios.delete_the_account)

records(*MEMBER, Kind.PASSWORD_CHANGED)(scenarios.choose_another_password)
records(*MEMBER, Kind.RECOVERY_CODE_USED, Kind.PASSWORD_RESET)(scenarios.reset_a_password)
records(*MEMBER, Kind.TOTP_DEVICE_ADDED)(scenarios.confirm_a_device)
records(*MEMBER, Kind.TOTP_DEVICE_ADDED, Kind.TOTP_DEVICE_REMOVED)(scenarios.remove_a_device)

OWNER = (*MEMBER, Kind.PASSKEY_ADDED)
records(*MEMBER, **PASSKEYS)(scenarios.enroll_with_a_passkey)
records(*OWNER, **PASSKEYS)(scenarios.add_a_passkey)
records(*OWNER, **PASSKEYS)(scenarios.add_a_passkey_twice)
records(*OWNER, Kind.SIGNED_IN, Kind.SIGNED_IN, **PASSKEYS)(scenarios.sign_in_with_a_passkey)
records(*OWNER, Kind.SIGN_IN_FAILED, **PASSKEYS)(scenarios.answer_with_another_passkey)
records(*OWNER, Kind.SIGN_IN_FAILED, **PASSKEYS)(scenarios.verify_another_passkey)
records(*OWNER, **PASSKEYS)(scenarios.sign_in_with_a_passkey_alone_without_user_verification)
records(**PASSKEYS)(scenarios.sign_in_with_an_unknown_passkey)
records(*OWNER, **PASSKEYS)(scenarios.rename_a_passkey)
records(*OWNER, Kind.PASSKEY_REMOVED, **PASSKEYS)(scenarios.remove_a_passkey)


async def sign_in_with_an_old_counter(api: Api, **kind: Any) -> None:
    key = await scenarios.key_of_member(api, counter=7, **kind)
    key.counter = 5
    await passkeys.sign_in(api, key, await api.challenge())


@records(*OWNER, Kind.PASSKEY_COUNTER_REGRESSED, Kind.SIGN_IN_FAILED, **PASSKEYS)
async def answer_with_a_copied_passkey(api: Api, services: Services) -> None:
    await sign_in_with_an_old_counter(api)


@records(*OWNER, Kind.PASSKEY_COUNTER_REGRESSED, Kind.SIGNED_IN, **PASSKEYS)
async def sign_in_with_another_copy_of_a_synced_passkey(api: Api, services: Services) -> None:
    await sign_in_with_an_old_counter(api, synced=True)


@records(
    *MEMBER,
    Kind.SIGN_IN_FAILED,
    Kind.FACTOR_DISABLED,
    Kind.PASSWORD_CHANGED,
    Kind.FACTOR_ENABLED,
    otp_failures_before_disabling=1,
)
async def choose_another_password_after_codes_were_switched_off(api: Api, services: Services) -> None:
    member = await api.member()
    await api.verify_otp(await api.challenge(), wrong_code(member.secret, api.clock()))
    await scenarios.change_password(api, member.access_token)


@records(*MEMBER, Kind.PASSWORDS_REFUSED, Kind.SIGNED_IN)
async def sign_in_after_a_wrong_password(api: Api, services: Services) -> None:
    member = await api.member()
    await api.login(password=WRONG_PASSWORD)
    await api.verify_otp(await api.challenge(), code_at(member.secret, api.clock()))


@records(*MEMBER, Kind.RECOVERY_CODE_USED)
async def verify_a_recovery_code_again(api: Api, services: Services) -> None:
    member = await api.member()
    await scenarios.reauthenticate(api, member.access_token, recoveryCode=member.recovery_codes[0])


@records(*MEMBER, Kind.REFRESH_TOKEN_REUSED)
async def refresh_with_a_token_that_was_traded_in(api: Api, services: Services) -> None:
    member = await api.member()
    await api.refresh(member.refresh_token)
    api.clock.advance(11)
    await api.refresh(member.refresh_token)


@records(Kind.IMPORTED_BY_OPERATOR)
async def import_an_account(api: Api, services: Services) -> None:
    line = f'{{"username": "alice", "passwordHash": "{bcrypt.using(rounds=4).hash("imported")}"}}'
    imported = import_users(services, [line])
    assert [outcome async for outcome in imported]


@records(Kind.REGISTERED, Kind.UNLOCKED_BY_OPERATOR)
async def unlock(api: Api, services: Services) -> None:
    await api.register()
    await operators.unlock(services, "alice")


@records(*MEMBER, Kind.MFA_RESET_BY_OPERATOR)
async def reset(api: Api, services: Services) -> None:
    await api.member()
    await operators.reset_mfa(services, "alice")


@records(Kind.REGISTERED, Kind.DISABLED_BY_OPERATOR, Kind.ENABLED_BY_OPERATOR)
async def enable(api: Api, services: Services) -> None:
    await api.register()
    await operators.disable(services, "alice")
    await operators.enable(services, "alice")


@records(Kind.REGISTERED, Kind.DELETED_BY_OPERATOR)
async def delete(api: Api, services: Services) -> None:
    await api.register()
    await operators.delete(services, "alice")


@pytest.mark.parametrize(("kinds", "way", "settings"), WAYS, ids=[way.__name__ for _, way, _ in WAYS])
async def test_each_event_is_recorded_once(
    run_app: RunApp, connect: Connect, kinds: tuple[Kind, ...], way: Way, settings: dict[str, Any]
) -> None:
    async with run_app(**settings) as app:
        await way(connect(app), app.state.services)
        recorded = await app.state.services.database.read(
            lambda connection: list(connection.scalars(select(SecurityEventRow.kind)))
        )
    assert sorted(recorded) == sorted(kinds)


def test_there_is_a_way_to_every_kind() -> None:
    assert {kind for kinds, *_ in WAYS for kind in kinds} == set(Kind)


# ------------------------------------------------------------------------------------------------------ how it is shown

EVENTS = "query Events($first: Int! = 20, $before: ID) { me { securityEvents(first: $first, before: $before) { id } } }"


async def member_with_events(api: Api, services: Services, count: int) -> tuple[Member, list[str]]:
    """A member, and the ids of all of their events, newest first: so many."""
    member = await api.member()
    user_id = UUID(member.session["user"]["id"])

    def add(transaction: Transaction) -> None:
        transaction.record(user_id, SecurityEventKind.SESSION_ENDED)

    for _ in range(count - 3):
        api.clock.advance(0.5)
        await services.write(OPERATOR, add)
    stored = select(SecurityEventRow.id).order_by(SecurityEventRow.id.desc())
    ids = await services.database.read(lambda connection: list(connection.scalars(stored)))
    assert len(ids) == count
    return member, [str(found) for found in ids]


async def ids_shown(api: Api, member: Member, **variables: object) -> list[str]:
    me = await api.run(EVENTS, variables, token=member.access_token)
    return [event["id"] for event in me["securityEvents"]]


async def test_an_event_is_shown_with_its_client(api: Api, clock: Clock) -> None:
    registered_at = clock().isoformat()
    api.http.headers["User-Agent"] = "Firefox 145"
    registered = await api.register()
    clock.advance(1)
    confirmed = await api.verify_otp(registered["challenge"], code_at(registered["enrollment"]["secret"], clock()))
    events = (await user_of(api, confirmed["tokens"]["accessToken"]))["securityEvents"]
    assert [event["kind"] for event in events] == ["SIGNED_IN", "ENROLLMENT_CONFIRMED", "REGISTERED"]
    assert UUID(events[-1].pop("id")).version == 7
    assert events[-1] == {
        "__typename": "SecurityEvent",
        "kind": "REGISTERED",
        "at": registered_at,
        "ipAddress": "10.0.0.1",
        "userAgent": "Firefox 145",
        "factor": None,
        "count": None,
    }


async def test_an_event_names_its_factor(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(**PASSKEYS) as app:
        api = connect(app)
        member = await api.member()

        device = await confirmed(api, member.access_token)
        clock.advance(1)
        passkey = await passkeys.added(api, member.access_token)
        clock.advance(1)
        await passkeys.remove(api, member.access_token, passkey["id"])
        clock.advance(1)
        await remove(api, member.access_token, device.id)
        clock.advance(1)
        await api.verify_otp(await api.challenge(), wrong_code(member.secret, clock()))
        clock.advance(1)
        await scenarios.reauthenticate(api, member.access_token, recoveryCode=member.recovery_codes[0])
        clock.advance(1)
        await scenarios.change_password(api, member.access_token)
        shown = [(event["kind"], event["factor"]) for event in await events_shown(api, member)]
    assert shown[:7] == [
        ("PASSWORD_CHANGED", None),
        ("RECOVERY_CODE_USED", "RECOVERY_CODE"),
        ("SIGN_IN_FAILED", "TOTP"),
        ("TOTP_DEVICE_REMOVED", "TOTP"),
        ("PASSKEY_REMOVED", "PASSKEY"),
        ("PASSKEY_ADDED", "PASSKEY"),
        ("TOTP_DEVICE_ADDED", "TOTP"),
    ]


async def test_a_refused_answer_names_its_factor(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(**PASSKEYS) as app:
        api = connect(app)
        member, key = await api.member(), SoftwarePasskey(counter=10)
        await passkeys.added(api, member.access_token, key)
        key.counter = 3
        clock.advance(1)
        await passkeys.sign_in(api, key)
        clock.advance(1)
        await passkeys.step_up(api, member.access_token, key)
        clock.advance(1)
        await api.verify_recovery_code(await api.challenge(), NO_RECOVERY_CODE)
        clock.advance(1)
        await scenarios.reauthenticate(api, member.access_token, recoveryCode=NO_RECOVERY_CODE)
        shown = [(event["kind"], event["factor"]) for event in await events_shown(api, member)]
    assert shown[:5] == [
        ("SIGN_IN_FAILED", "RECOVERY_CODE"),
        ("SIGN_IN_FAILED", "RECOVERY_CODE"),
        ("SIGN_IN_FAILED", "PASSKEY"),
        ("PASSKEY_COUNTER_REGRESSED", "PASSKEY"),
        ("PASSKEY_COUNTER_REGRESSED", "PASSKEY"),
    ]


async def events_shown(api: Api, member: Member) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = (await user_of(api, member.access_token))["securityEvents"]
    return shown


async def test_events_of_operators_have_no_client(api: Api, services: Services, clock: Clock) -> None:
    member = await api.member()
    await operators.unlock(services, "alice")
    newest = (await user_of(api, member.access_token))["securityEvents"][0]
    assert (newest["kind"], newest["ipAddress"], newest["userAgent"]) == ("UNLOCKED_BY_OPERATOR", None, None)


async def test_the_next_sign_in_reports_refused_passwords_and_resets_once(
    app: FastAPI, connect: Connect, api: Api, services: Services, clock: Clock
) -> None:
    member = await api.member()
    stranger = connect(app, "203.0.113.9")
    for _ in range(4):
        assert (await stranger.login(password=WRONG_PASSWORD))["__typename"] == "InvalidCredentials"
    assert (await scenarios.reset_password(stranger, "000000", NO_RECOVERY_CODE))["__typename"] == "ResetRejected"
    assert sorted(event["kind"] for event in await events_shown(api, member)) == sorted(MEMBER)

    clock.advance(1)
    await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
    shown = [(event["kind"], event["count"]) for event in (await events_shown(api, member))[:2]]
    assert shown == [("SIGNED_IN", None), ("PASSWORDS_REFUSED", 5)]

    clock.advance(30)
    await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
    assert (await events_of(services))["PASSWORDS_REFUSED"] == 1


async def refused_at_the_next_sign_in(api: Api, secret: str, challenge: Result | None = None) -> int | None:
    """The number that the next sign-in reports; None if it reports none."""
    api.clock.advance(30)
    signed_in = await api.verify_otp(challenge or await api.challenge(), code_at(secret, api.clock()))
    events = (await user_of(api, signed_in["tokens"]["accessToken"]))["securityEvents"]
    counts: list[int] = [event["count"] for event in events if event["kind"] == "PASSWORDS_REFUSED"]
    return counts[0] if counts else None


async def test_a_weak_new_password_is_no_refused_reset(api: Api) -> None:
    """Its codes were not compared."""
    member = await api.member()
    weak = await scenarios.reset_password(api, "000000", NO_RECOVERY_CODE, new_password="password1")
    assert weak["__typename"] == "InvalidInput"
    assert await refused_at_the_next_sign_in(api, member.secret) is None


async def test_restarting_the_enrollment_keeps_the_number_of_refused_passwords(api: Api) -> None:
    await api.register()
    await api.login(password=WRONG_PASSWORD)
    restarted = await api.restart_enrollment(await api.challenge())
    secret = restarted["enrollment"]["secret"]
    assert await refused_at_the_next_sign_in(api, secret, restarted["challenge"]) == 1


async def test_unlocking_keeps_the_number_of_refused_passwords(api: Api, services: Services) -> None:
    member = await api.member()
    await api.login(password=WRONG_PASSWORD)
    await operators.unlock(services, "alice")
    assert await refused_at_the_next_sign_in(api, member.secret) == 1


async def test_the_next_account_of_a_name_is_not_told_of_passwords_refused_before(api: Api, services: Services) -> None:
    await api.member()
    await api.login(password=WRONG_PASSWORD)
    await operators.delete(services, "alice")
    await operators.release_name(services, "alice")
    member = await api.member()
    assert await refused_at_the_next_sign_in(api, member.secret) is None


@on_each_engine
async def test_sign_ins_at_the_same_time_report_refused_passwords_once(
    app: FastAPI, connect: Connect, api: Api, services: Services, clock: Clock
) -> None:
    member = await api.member()
    await connect(app, "203.0.113.9").login(password=WRONG_PASSWORD)
    challenges = [await api.challenge() for _ in range(5)]
    codes = [code_at(member.secret, clock()), *member.recovery_codes[:4]]
    answers = await at_once(
        api.verify_otp(challenge, code) if len(code) == 6 else api.verify_recovery_code(challenge, code)
        for challenge, code in zip(challenges, codes, strict=True)
    )
    assert kinds(answers) == {"SignedIn": 5}
    assert (await events_of(services))["PASSWORDS_REFUSED"] == 1


async def test_the_newest_twenty_come_first_and_the_others_page_by_page(api: Api, services: Services) -> None:
    member, ids = await member_with_events(api, services, 50)
    assert await ids_shown(api, member) == ids[:20]
    assert await ids_shown(api, member, before=ids[19]) == ids[20:40]
    assert await ids_shown(api, member, before=ids[39]) == ids[40:]
    assert await ids_shown(api, member, before=ids[49]) == []
    assert await ids_shown(api, member, first=1) == ids[:1]
    assert await ids_shown(api, member, first=100, before=None) == ids


async def test_an_unknown_id_is_a_point_in_time(api: Api, services: Services, clock: Clock) -> None:
    member, ids = await member_with_events(api, services, 8)
    assert await ids_shown(api, member, before=str(UUID(int=0))) == []
    assert await ids_shown(api, member, before=str(UUID(int=2**128 - 1))) == ids
    clock.advance(-1.25)  # between two of them, which are half a second apart
    assert await ids_shown(api, member, before=str(event_id(clock(), 0))) == ids[3:]


async def test_less_than_one_or_more_than_a_hundred_is_an_error(api: Api, subtests: pytest.Subtests) -> None:
    member = await api.member()

    for first in [0, -1, 101, 2**31 - 1]:
        with subtests.test(first=first):
            response = await api.send(EVENTS, {"first": first}, token=member.access_token)
            assert response.status_code == 200
            assert response.json()["data"] == {"me": None}
            assert [error["message"] for error in response.json()["errors"]] == ["`first` must be from 1 to 100."]


async def test_malformed_event_ids_are_refused_without_repeating_them(api: Api, subtests: pytest.Subtests) -> None:
    member = await api.member()

    for before in ["", "yesterday", NO_ID.upper().replace("8", "A"), f"{{{NO_ID}}}", "\0", "0" * 9999]:
        with subtests.test(before=before):
            response = await api.send(EVENTS, {"before": before}, token=member.access_token)
            assert response.json()["data"] == {"me": None}
            assert [error["message"] for error in response.json()["errors"]] == [
                "`before` must be the id of a security event."
            ]


async def test_events_of_others_are_not_shown(api: Api) -> None:
    alice, bob = await api.member("alice"), await api.member("bob")
    hers, his = set(await ids_shown(api, alice)), set(await ids_shown(api, bob))
    assert (len(hers), len(his), len(hers | his)) == (3, 3, 6)


async def test_the_answer_of_a_mutation_shows_what_it_has_just_recorded(api: Api) -> None:
    member = await api.member()
    answer: Result = await act(api, "regenerateRecoveryCodes", member.access_token)
    assert answer["user"]["securityEvents"][0]["kind"] == "RECOVERY_CODES_REGENERATED"


async def test_a_failed_record_undoes_what_it_tells_of(
    api: Api, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are one transaction."""
    member = await api.member()
    before = await user_of(api, member.access_token)

    def fail(*_: object) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("graphql_mfa.store.security_events.add", fail)
        revocation = f'revokeSession(id: "{before["sessions"][0]["id"]}")'
        for field in ("regenerateRecoveryCodes", "logout", "deleteAccount", revocation):
            answer = await api.send(f"mutation {{ {field} {{ __typename }} }}", token=member.access_token)
            assert answer.json()["data"] is None
        code = code_at(member.secret, api.clock())
        challenge = await api.challenge()
        variables = {"input": {"challengeToken": challenge["token"], "otp": code}}
        query = "mutation M($input: VerifyOtpInput!) { verifyOtp(input: $input) { __typename } }"
        assert (await api.send(query, variables)).json()["data"] is None
    assert await user_of(api, member.access_token) == before
    assert (await api.verify_otp(challenge, code))["__typename"] == "SignedIn"
    assert (await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0]))["__typename"] == "SignedIn"
