"""Attack: name the device of another user, or one that another session is adding."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from graphql_mfa.services import Services
from tests.api.answers import failure
from tests.api.scenarios import NO_ID, RunApp
from tests.api_client import Api, Result
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect
from tests.devices import added, confirm, confirmed, devices_of, first_device, remove, rename
from tests.security.attacks import failures_counted
from tests.statements import statements

NOT_FOUND = failure("NotFound")
Use = Callable[..., Awaitable[Result]]
USES: dict[str, tuple[Use, tuple[Any, ...]]] = {
    "confirmTotpDevice": (confirm, ("000000",)),
    "renameTotpDevice": (rename, ("stolen",)),
    "removeTotpDevice": (remove, ()),
}
MALFORMED = ["", "0", "nonsense", "\0", NO_ID.upper(), f"{{{NO_ID}}}", "x" * 10_000]


async def test_confirmation_of_another_users_device(api: Api, clock: Clock, services: Services) -> None:
    alice, bob = await api.member("alice"), await api.member("bob")
    device = await added(api, alice.access_token)
    code = code_at(device.secret, clock())

    assert await confirm(api, bob.access_token, device.id, code) == NOT_FOUND

    assert await failures_counted(services) == 0
    assert len(await devices_of(api, bob.access_token)) == 1
    # The code was not used up, either.
    assert (await confirm(api, alice.access_token, device.id, code))["__typename"] == "TotpDeviceConfirmed"


async def test_confirmation_of_another_sessions_device(api: Api, clock: Clock, services: Services) -> None:
    """A thief adds a device in a fresh session; a code that the owner is tricked into typing does not confirm it."""
    member = await api.member()
    device = await added(api, member.access_token)
    other = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
    code = code_at(device.secret, clock())

    assert await confirm(api, other["tokens"]["accessToken"], device.id, code) == NOT_FOUND

    assert await failures_counted(services) == 0
    assert (await confirm(api, member.access_token, device.id, code))["__typename"] == "TotpDeviceConfirmed"
    clock.advance(30)
    code = code_at(device.secret, clock())
    assert await confirm(api, other["tokens"]["accessToken"], device.id, code) == NOT_FOUND


@pytest.mark.parametrize("use", USES)
async def test_foreign_and_unknown_ids_get_the_same_answer(
    run_app: RunApp, connect: Connect, clock: Clock, use: str
) -> None:
    """Malformed, unknown, too late, or another user's: one answer, by the same statements."""
    act, arguments = USES[use]
    async with run_app(access_token_seconds=3600, reauthentication_seconds=3600) as app:
        api = connect(app)
        alice = await api.member("alice")
        too_late = await added(api, alice.access_token)
        bob = await api.member("bob")
        clock.advance(600)
        bobs = [await first_device(api, bob.access_token)]
        bobs += [(await make(api, bob.access_token)).id for make in (added, confirmed)]
        before = await devices_of(api, bob.access_token)
        costs = []
        for device in [*MALFORMED, NO_ID, too_late.id, *bobs]:
            with statements() as seen:
                assert await act(api, alice.access_token, device, *arguments) == NOT_FOUND, device
            costs.append(seen)
        assert costs == [costs[0]] * len(costs)
        assert len(costs[0]) > 2
        assert await devices_of(api, bob.access_token) == before
