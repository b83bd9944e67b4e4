"""Accounts with passkeys, and answers to ceremonies, as attacks need them."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI

from graphql_mfa.testing import SoftwarePasskey
from tests.account import act, user_of
from tests.api_client import Api, Member, Result
from tests.passkeys import ORIGIN, add_passkey, answer, enroll

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

ELSEWHERE = "http://elsewhere.example"
DAY = 86_400


async def member_with_passkey(api: Api, username: str = "alice", **options: Any) -> tuple[Member, SoftwarePasskey]:
    """A member, whose session an authenticator app opened, and the passkey that it added."""
    member, key = await api.member(username), SoftwarePasskey(**options)
    added = await add_passkey(api, member.access_token, key)
    assert added["__typename"] == "PasskeyAdded", added
    return member, key


async def passkey_account(api: Api, username: str = "alice", **options: Any) -> tuple[Result, SoftwarePasskey]:
    """The confirmed enrollment of an account that has no app, and its passkey."""
    registered, key = await api.register(username), SoftwarePasskey(**options)
    confirmed = await enroll(api, registered["challenge"], key)
    assert confirmed["__typename"] == "EnrollmentConfirmed", confirmed
    return confirmed, key


async def begin_sign_in(api: Api, challenge: Result | None = None) -> Result:
    return await act(api, "beginPasskeyLogin", input={"challengeToken": challenge["token"]} if challenge else None)


async def begin_step_up(api: Api, token: str | None) -> Result:
    return await act(api, "beginPasskeyReauthentication", token)


async def begin_adding(api: Api, token: str | None, **options: Any) -> Result:
    return await act(api, "beginPasskeyRegistration", token, input=options)


async def begin_enrolling(api: Api, challenge: Result, **options: Any) -> Result:
    return await act(api, "beginPasskeyRegistration", input={"challengeToken": challenge["token"], **options})


async def finish_sign_in(api: Api, given: Result) -> Result:
    return await act(api, "finishPasskeyLogin", input=given)


async def finish_step_up(api: Api, token: str | None, given: Result) -> Result:
    return await act(api, "reauthenticate", token, input={"passkey": given})


async def finish_adding(api: Api, token: str | None, given: Result) -> Result:
    return await act(api, "finishPasskeyRegistration", token, input=given)


async def finish_enrolling(api: Api, given: Result) -> Result:
    return await act(api, "finishPasskeyRegistration", input=given)


async def remove_passkey(api: Api, token: str | None, id: str) -> Result:
    return await act(api, "removePasskey", token, id=id)


async def passkeys_of(api: Api, token: str) -> list[Result]:
    """All that the user is shown."""
    found: list[Result] = (await user_of(api, token))["passkeys"]
    return found


def refused_answer(begun: Result, key: SoftwarePasskey) -> Result:
    """The answer of a page elsewhere, which is refused."""
    key.origin = ELSEWHERE
    given = answer(begun, key)
    key.origin = ORIGIN
    return given


def assertion(begun: Result, key: SoftwarePasskey) -> Result:
    """Sign the challenge of any ceremony as at a sign-in."""
    options = {"challenge": begun["publicKey"]["challenge"], "rpId": "localhost"}
    return {"ceremonyToken": begun["ceremonyToken"], "credential": key.get(options)}


def creation(begun: Result, key: SoftwarePasskey) -> Result:
    """Answer any ceremony with a new passkey."""
    options = {"challenge": begun["publicKey"]["challenge"], "rp": {"id": "localhost"}, "user": {"id": "AAAA"}}
    return {"ceremonyToken": begun["ceremonyToken"], "credential": key.create(options)}


def token_of(outcome: Result) -> str:
    """The access token of a session that was opened."""
    token: str = outcome["tokens"]["accessToken"]
    return token
