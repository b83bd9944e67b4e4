"""Attack: go on with a session that its user has revoked."""

from tests.account import act
from tests.api.scenarios import own_session
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at
from tests.conftest import on_each_engine
from tests.security.attacks import at_once, kinds, real_member

SENSITIVE = ["regenerateRecoveryCodes", "deleteAccount"]


async def second_session(api: Api, member: Member) -> Result:
    """The tokens of the session that will be revoked."""
    challenge = await api.challenge(member.username)
    tokens: Result = (await api.verify_recovery_code(challenge, member.recovery_codes[0]))["tokens"]
    return tokens


async def assert_dead(api: Api, member: Member, stolen: Result) -> None:
    """None of the two tokens does anything."""
    token = stolen["accessToken"]
    assert await api.me(token) is None
    assert (await api.refresh(stolen["refreshToken"]))["__typename"] == "SessionExpired"
    code = code_at(member.secret, api.clock(), 1)
    answers = [
        await act(api, "reauthenticate", token, input={"otp": code}),
        await act(api, "reauthenticate", token, input={"recoveryCode": member.recovery_codes[1]}),
        *[await act(api, mutation, token) for mutation in SENSITIVE],
        await act(api, "revokeSession", token, id=await own_session(api, member.access_token)),
        await api.logout(token, everywhere=True),
        await api.logout(refresh_token=stolen["refreshToken"], everywhere=True),
    ]
    assert {(answer["__typename"], answer["reason"]) for answer in answers} == {("NotAuthenticated", "SESSION_ENDED")}
    assert await api.me(member.access_token) is not None
    # Nor was anything of the owner's used up.
    assert (await act(api, "reauthenticate", member.access_token, input={"otp": code}))[
        "__typename"
    ] == "Reauthenticated"


async def test_revoked_session_is_refused_at_once(api: Api) -> None:
    member = await api.member()
    stolen = await second_session(api, member)
    session_id = await own_session(api, stolen["accessToken"])
    revoked = await act(api, "revokeSession", member.access_token, id=session_id)
    assert revoked["__typename"] == "SessionRevoked"
    await assert_dead(api, member, stolen)


@on_each_engine
async def test_revoked_session_is_refused_at_once_at_another_process(processes: list[Api], username: str) -> None:
    one, other = processes
    member = await real_member(one, username)
    stolen = await second_session(other, member)
    session_id = await own_session(other, stolen["accessToken"])
    assert (await act(one, "revokeSession", member.access_token, id=session_id))["__typename"] == "SessionRevoked"
    await assert_dead(other, member, stolen)


@on_each_engine
async def test_session_is_refreshed_while_it_is_revoked(processes: list[Api], username: str) -> None:
    """Whichever comes first, the refreshed tokens are refused afterwards."""
    one, other = processes
    member = await real_member(one, username)
    stolen = await second_session(other, member)
    session_id = await own_session(other, stolen["accessToken"])
    answers = await at_once(
        [
            act(one, "revokeSession", member.access_token, id=session_id),
            *(other.refresh(stolen["refreshToken"]) for _ in range(5)),
        ]
    )
    assert answers[0]["__typename"] == "SessionRevoked"
    assert kinds(answers[1:]).keys() <= {"SignedIn", "SessionExpired"}
    for answer in answers[1:]:
        if answer["__typename"] == "SignedIn":
            assert await other.me(answer["tokens"]["accessToken"]) is None
            assert (await one.refresh(answer["tokens"]["refreshToken"]))["__typename"] == "SessionExpired"
