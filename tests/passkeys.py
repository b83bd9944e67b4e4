"""Passkeys of tests: the ceremonies of one authenticator, over HTTP."""

from typing import Any

import pytest

from graphql_mfa.testing import SoftwarePasskey
from tests.account import act, user_of
from tests.api_client import Api, Result

ORIGIN = "http://localhost:8000"
PASSKEYS: dict[str, Any] = {"passkey_rp_id": "localhost", "passkey_origins": ORIGIN}
"""Settings with which passkeys are on."""
with_passkeys = pytest.mark.settings(**PASSKEYS)


def answer(begun: Result, key: SoftwarePasskey) -> Result:
    """The input that finishes a ceremony."""
    assert begun["__typename"] == "PasskeyCeremony", begun
    options = begun["publicKey"]
    credential = key.create(options) if "rp" in options else key.get(options)
    return {"ceremonyToken": begun["ceremonyToken"], "credential": credential}


async def add_passkey(api: Api, token: str, key: SoftwarePasskey, name: str | None = None, **options: Any) -> Result:
    """Add a passkey to the account of a session that verified a factor recently."""
    begun = await act(api, "beginPasskeyRegistration", token, input=options)
    return await act(api, "finishPasskeyRegistration", token, input=answer(begun, key) | {"name": name})


async def enroll(api: Api, challenge: Result, key: SoftwarePasskey, **options: Any) -> Result:
    """Confirm the enrollment of the challenge's account with a passkey."""
    begun = await act(api, "beginPasskeyRegistration", input={"challengeToken": challenge["token"], **options})
    return await act(api, "finishPasskeyRegistration", input=answer(begun, key))


async def sign_in(api: Api, key: SoftwarePasskey, challenge: Result | None = None) -> Result:
    """Sign in with a passkey: as second factor of the challenge or, without one, alone."""
    begun = await act(api, "beginPasskeyLogin", input={"challengeToken": challenge["token"]} if challenge else None)
    return await act(api, "finishPasskeyLogin", input=answer(begun, key))


async def step_up(api: Api, token: str, key: SoftwarePasskey) -> Result:
    """Verify a passkey again within a session."""
    begun = await act(api, "beginPasskeyReauthentication", token)
    return await act(api, "reauthenticate", token, input={"passkey": answer(begun, key)})


async def added(
    api: Api, token: str, key: SoftwarePasskey | None = None, name: str | None = None, **options: Any
) -> Result:
    """A passkey that was added, as the server shows it."""
    answered = await add_passkey(api, token, key or SoftwarePasskey(), name, **options)
    assert answered["__typename"] == "PasskeyAdded", answered
    passkey: Result = answered["passkey"]
    return passkey


async def rename(api: Api, token: str | None, id: str, name: str = "Old key") -> Result:
    return await act(api, "renamePasskey", token, input={"id": id, "name": name})


async def remove(api: Api, token: str | None, id: str) -> Result:
    return await act(api, "removePasskey", token, id=id)


async def passkeys_of(api: Api, token: str) -> list[Result]:
    """All that the user is shown."""
    passkeys: list[Result] = (await user_of(api, token))["passkeys"]
    return passkeys


async def names_of(api: Api, token: str) -> list[str]:
    return [passkey["name"] for passkey in await passkeys_of(api, token)]
