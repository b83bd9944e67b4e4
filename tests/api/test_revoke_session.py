"""revokeSession."""

from typing import Any

import pytest

from graphql_mfa.services import Services
from tests.account import act, user_of
from tests.api.answers import failure
from tests.api.scenarios import NO_ID, own_session
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at
from tests.clock import Clock
from tests.security.attacks import at_once, kinds, sessions_of

NOT_FOUND = failure("NotFound")


async def second_session(api: Api, member: Member) -> Result:
    """The tokens of one more session."""
    signed_in = await api.verify_otp(await api.challenge(), code_at(member.secret, api.clock()))
    tokens: Result = signed_in["tokens"]
    return tokens


async def test_revoking_another_session_ends_it_at_once(api: Api) -> None:
    member = await api.member()
    other = await second_session(api, member)
    session_id = await own_session(api, other["accessToken"])
    revoked = await act(api, "revokeSession", member.access_token, id=session_id)
    assert (revoked["__typename"], revoked["id"]) == ("SessionRevoked", session_id)
    assert [session["current"] for session in revoked["user"]["sessions"]] == [True]
    assert revoked["user"] == await user_of(api, member.access_token)
    assert await api.me(other["accessToken"]) is None
    assert (await api.refresh(other["refreshToken"]))["__typename"] == "SessionExpired"


async def test_a_session_can_revoke_itself(api: Api) -> None:
    member = await api.member()
    await second_session(api, member)
    session_id = await own_session(api, member.access_token)
    revoked = await act(api, "revokeSession", member.access_token, id=session_id)
    assert (revoked["__typename"], revoked["id"]) == ("SessionRevoked", session_id)
    assert [session["current"] for session in revoked["user"]["sessions"]] == [False]
    assert await api.me(member.access_token) is None
    assert (await api.refresh(member.refresh_token))["__typename"] == "SessionExpired"


async def test_revoking_records_an_event(api: Api, clock: Clock) -> None:
    member = await api.member()
    other = await second_session(api, member)
    session_id = await own_session(api, other["accessToken"])
    clock.advance(1)
    revoked = await act(api, "revokeSession", member.access_token, id=session_id)
    assert [event["kind"] for event in revoked["user"]["securityEvents"]][:2] == ["SESSION_ENDED", "SIGNED_IN"]


SPELLINGS: dict[str, Any] = {
    "upper case": str.upper,
    "without hyphens": lambda text: text.replace("-", ""),
    "in braces": lambda text: f"{{{text}}}",
    "as a URN": lambda text: f"urn:uuid:{text}",
    "with a space": lambda text: f" {text}",
    "in digits of another script": lambda text: text.translate({ord("0") + n: 0xFF10 + n for n in range(10)}),
    "cut": lambda text: text[:-1],
    "empty": lambda _: "",
}


async def test_an_id_is_accepted_only_as_it_was_shown(api: Api, services: Services, subtests: pytest.Subtests) -> None:
    member = await api.member()
    session_id = await own_session(api, member.access_token)

    for name, spell in SPELLINGS.items():
        with subtests.test(name):
            assert await act(api, "revokeSession", member.access_token, id=spell(session_id)) == NOT_FOUND
            assert await sessions_of(services) == 1


async def test_an_ended_session_is_not_found(api: Api) -> None:
    member = await api.member()
    other = await second_session(api, member)
    session_id = await own_session(api, other["accessToken"])
    assert (await act(api, "revokeSession", member.access_token, id=session_id))["__typename"] == "SessionRevoked"
    assert await act(api, "revokeSession", member.access_token, id=session_id) == NOT_FOUND


async def test_an_expired_session_is_not_found(api: Api, clock: Clock) -> None:
    member = await api.member()
    other = await second_session(api, member)
    session_id = await own_session(api, other["accessToken"])
    clock.advance(1800)
    refreshed = (await api.refresh(member.refresh_token))["tokens"]
    clock.advance(1800)
    token = (await api.refresh(refreshed["refreshToken"]))["tokens"]["accessToken"]
    assert await act(api, "revokeSession", token, id=session_id) == NOT_FOUND


async def test_not_found_records_no_event(api: Api) -> None:
    member = await api.member()
    before = await user_of(api, member.access_token)
    assert await act(api, "revokeSession", member.access_token, id=NO_ID) == NOT_FOUND
    assert await user_of(api, member.access_token) == before


async def test_one_of_several_parallel_revocations_ends_the_session(api: Api, services: Services) -> None:
    member = await api.member()
    other = await second_session(api, member)
    session_id = await own_session(api, other["accessToken"])
    answers = await at_once(act(api, "revokeSession", member.access_token, id=session_id) for _ in range(10))
    assert kinds(answers) == {"SessionRevoked": 1, "NotFound": 9}
    events = (await user_of(api, member.access_token))["securityEvents"]
    assert [event["kind"] for event in events].count("SESSION_ENDED") == 1


async def test_sessions_that_revoke_each_other_at_once_do_not_both_survive(api: Api, services: Services) -> None:
    member = await api.member()
    other = await second_session(api, member)
    ids = [await own_session(api, token) for token in (member.access_token, other["accessToken"])]
    answers = await at_once(
        [
            act(api, "revokeSession", member.access_token, id=ids[1]),
            act(api, "revokeSession", other["accessToken"], id=ids[0]),
        ]
    )
    assert kinds(answers) == {"SessionRevoked": 1, "NotAuthenticated": 1}
    assert await sessions_of(services) == 1
