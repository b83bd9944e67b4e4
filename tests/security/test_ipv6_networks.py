"""Attack: multiply the limits of an address by the networks of an IPv6 site."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from itertools import count

import pytest
from fastapi import FastAPI

from tests.api.scenarios import NO_RECOVERY_CODE, reset_password
from tests.api_client import Api, Result
from tests.conftest import Connect
from tests.security.attacks import WRONG_PASSWORD

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
Attempt = Callable[[Api, int], Awaitable[Result]]

LIMITS = {
    "login": ("login_address_attempts", lambda api, number: api.login(f"name{number}", WRONG_PASSWORD)),
    "registration": ("registration_attempts", lambda api, number: api.register(f"name{number}")),
    "refresh": ("refresh_attempts", lambda api, number: api.refresh(f"mfar_{number:0>43}")),
    "password reset": (
        "login_address_attempts",
        lambda api, number: reset_password(api, "000000", NO_RECOVERY_CODE, f"name{number}"),
    ),
}


def networks_of_a_56() -> Iterator[str]:
    return (f"2001:db8:1:{number:x}::1" for number in count())


def networks_of_a_48() -> Iterator[str]:
    """Each in a /56 of its own."""
    return (f"2001:db8:1:{number * 256:x}::1" for number in count())


@pytest.mark.parametrize(("networks", "times"), [(networks_of_a_56, 4), (networks_of_a_48, 16)], ids=["/56", "/48"])
@pytest.mark.parametrize(("setting", "attempt"), LIMITS.values(), ids=LIMITS)
async def test_an_ipv6_site_has_a_multiple_of_the_limit_of_one_network(
    run_app: RunApp,
    connect: Connect,
    setting: str,
    attempt: Attempt,
    networks: Callable[[], Iterator[str]],
    times: int,
) -> None:
    async with run_app(**{setting: 2}) as app:
        addresses = networks()
        numbers = count()
        answers = [
            (await attempt(connect(app, address), next(numbers)))["__typename"]
            for address, _ in zip(addresses, range(times + 1), strict=False)
            for _ in range(2)
        ]
        elsewhere = await attempt(connect(app, "2001:db8:2::1"), next(numbers))

    assert answers[-2:] == ["RateLimited"] * 2
    assert "RateLimited" not in answers[:-2]
    assert elsewhere["__typename"] == answers[0]
