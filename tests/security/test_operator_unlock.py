"""Attack: use up the attempts of an account, so that its owner has to wait even after an operator unlocked it."""

from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from graphql_mfa.flows.operators import unlock
from graphql_mfa.services import Services
from graphql_mfa.store.models import ThrottleRow
from graphql_mfa.testing import SoftwarePasskey
from tests.api.scenarios import reset_password
from tests.api_client import Api, Result
from tests.conftest import Connect
from tests.passkeys import sign_in, with_passkeys
from tests.security.attacks import NO_RECOVERY_CODE, WRONG_PASSWORD
from tests.security.passkey_attacks import begin_sign_in, finish_sign_in, member_with_passkey, refused_answer

pytestmark = with_passkeys

KNOWN_ADDRESS = "10.0.0.1"

Attempt = Callable[[Api, str, SoftwarePasskey], Awaitable[Result]]


async def password(api: Api, name: str, key: SoftwarePasskey) -> Result:
    return await api.login(name, WRONG_PASSWORD)


async def reset(api: Api, name: str, key: SoftwarePasskey) -> Result:
    return await reset_password(api, "000000", NO_RECOVERY_CODE, name)


async def recovery_code(api: Api, name: str, key: SoftwarePasskey) -> Result:
    return await api.verify_recovery_code(await api.challenge(name), NO_RECOVERY_CODE)


async def passkey(api: Api, name: str, key: SoftwarePasskey) -> Result:
    return await finish_sign_in(api, refused_answer(await begin_sign_in(api), key))


async def counted(services: Services) -> set[bytes]:
    """The keys under which attempts are counted."""
    keys = select(ThrottleRow.key).where(ThrottleRow.attempts > 0)
    return await services.database.read(lambda connection: set(connection.scalars(keys)))


@pytest.mark.parametrize(
    ("attempt", "address"),
    [
        *((attempt, KNOWN_ADDRESS) for attempt in (password, reset, recovery_code, passkey)),
        *((attempt, "198.51.100.7") for attempt in (password, reset, recovery_code)),
    ],
)
async def test_refused_attempts_that_outlive_an_unlock(
    app: FastAPI, connect: Connect, services: Services, attempt: Attempt, address: str
) -> None:
    """The owner signs in at the address before the unlock. What is counted for addresses alone is the other's too."""
    place = connect(app, address)
    names = ["somebody", "alice"]
    keys = [(await member_with_passkey(connect(app), name))[1] for name in names]
    for name, key in zip(names, keys, strict=True):
        before = await counted(services)
        await attempt(place, name, key)
        refused = await counted(services) - before
        assert (await sign_in(place, key))["__typename"] == "SignedIn"
    assert refused != set()

    assert await unlock(services, "alice")
    assert await counted(services) & refused == set()


async def test_restarts_of_an_enrollment_that_outlive_an_unlock(api: Api, services: Services) -> None:
    registered = await api.register()
    before = await counted(services)
    assert (await api.restart_enrollment(registered["challenge"]))["__typename"] == "EnrollmentRestarted"
    restarts = await counted(services) - before
    assert restarts != set()

    assert await unlock(services, "alice")
    assert await counted(services) & restarts == set()
