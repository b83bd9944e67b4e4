"""Attack: use up the limits of an address, so that others who share it can't sign in."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI

from graphql_mfa.testing import SoftwarePasskey
from tests.api.scenarios import NO_RECOVERY_CODE, reset_password, reset_with_both_codes
from tests.api_client import LOGIN, PASSWORD, Api
from tests.clock import Clock
from tests.conftest import Connect
from tests.passkeys import PASSKEYS, sign_in
from tests.security.attacks import WRONG_PASSWORD, at_once, kinds
from tests.security.passkey_attacks import member_with_passkey

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

OFFICE, HOME = "198.51.100.1", "10.9.9.9"


async def use_up_logins(api: Api) -> None:
    """Use up the limit of the address with unknown names."""
    wrong = [await api.login(f"name{number}", WRONG_PASSWORD) for number in range(31)]
    assert kinds(wrong) == {"InvalidCredentials": 30, "RateLimited": 1}


async def outcome(api: Api, username: str = "alice", password: str = WRONG_PASSWORD, **headers: str) -> str:
    variables = {"input": {"username": username, "password": password}}
    response = await api.http.post("/graphql", json={"query": LOGIN, "variables": variables}, headers=headers)
    kind: str = response.json()["data"]["login"]["__typename"]
    return kind


async def test_a_guest_does_not_block_known_accounts_of_the_address(app: FastAPI, connect: Connect) -> None:
    office = connect(app, OFFICE)
    await office.member()
    await connect(app, HOME).member("bob")
    await use_up_logins(office)

    assert await outcome(office, "alice", PASSWORD) == "OtpRequired"
    assert await outcome(office, "bob", PASSWORD) == "RateLimited"  # he never was here
    assert await outcome(office, "nobody") == "RateLimited"


async def test_a_guest_does_not_block_resets_of_known_accounts_of_the_address(app: FastAPI, connect: Connect) -> None:
    office = connect(app, OFFICE)
    member = await office.member()
    for number in range(30):
        assert (await reset_password(office, "000000", NO_RECOVERY_CODE, f"n{number}"))["__typename"] == "ResetRejected"
    assert (await reset_password(office, "000000", NO_RECOVERY_CODE, "nobody"))["__typename"] == "RateLimited"

    assert (await reset_with_both_codes(office, member))["__typename"] == "PasswordChanged"


@pytest.mark.parametrize("failures", [2, 3])
async def test_a_guest_does_not_block_passkeys_of_known_accounts_of_the_address(
    run_app: RunApp, connect: Connect, failures: int
) -> None:
    """Who knows the id of a passkey can fail with it three times more."""
    async with run_app(**PASSKEYS) as app:
        office, home = connect(app, OFFICE), connect(app, HOME)
        (_, key), (_, colleague) = await member_with_passkey(office), await member_with_passkey(office, "carol")
        _, elsewhere = await member_with_passkey(home, "bob")
        for _ in range(30):
            assert (await sign_in(office, SoftwarePasskey()))["__typename"] == "PasskeyUnknown"
        assert (await sign_in(office, SoftwarePasskey()))["__typename"] == "RateLimited"
        assert (await sign_in(office, elsewhere))["__typename"] == "RateLimited"
        assert kinds([await sign_in(office, key) for _ in range(5)]) == {"SignedIn": 5}

        wrong = SoftwarePasskey()
        wrong.id = key.id
        assert kinds([await sign_in(office, wrong) for _ in range(failures)]) == {"PasskeyRejected": failures}
        assert (await sign_in(office, key))["__typename"] == ("SignedIn" if failures < 3 else "RateLimited")
        assert (await sign_in(office, colleague))["__typename"] == "SignedIn"


@pytest.mark.parametrize("failures", [3, 4])
async def test_an_account_has_three_failures_beyond_the_limit_of_its_known_address(
    app: FastAPI, connect: Connect, failures: int
) -> None:
    office = connect(app, OFFICE)
    await office.member()
    await use_up_logins(office)

    assert [await outcome(office) for _ in range(failures)] == ["InvalidCredentials"] * failures
    assert await outcome(office, password=PASSWORD) == ("OtpRequired" if failures == 3 else "RateLimited")


async def test_parallel_failures_of_an_account_do_not_exceed_its_limit(app: FastAPI, connect: Connect) -> None:
    office = connect(app, OFFICE)
    await office.member()
    await use_up_logins(office)

    answers = kinds(await at_once(office.login(password=WRONG_PASSWORD) for _ in range(30)))

    assert answers == {"InvalidCredentials": 4, "RateLimited": 26}


async def test_known_accounts_of_an_address_have_ten_times_its_limit_together(
    run_app: RunApp, connect: Connect, clock: Clock
) -> None:
    async with run_app(login_address_attempts=1) as app:
        office = connect(app, OFFICE)
        names = ["alice", "bob", "carol"]
        for name in names:
            await office.member(name)
        assert await outcome(office, "nobody") == "InvalidCredentials"

        answers = [await outcome(office, name) for name in names for _ in range(4)]

        assert answers == ["InvalidCredentials"] * 10 + ["RateLimited"] * 2
        assert await outcome(office, "carol", PASSWORD) == "RateLimited"
        clock.advance(300)
        assert await outcome(office, "carol", PASSWORD) == "OtpRequired"


async def test_clients_without_an_address_share_one_limit(app: FastAPI, connect: Connect) -> None:
    nowhere = connect(app, "not-an-address")
    await nowhere.member()
    await use_up_logins(nowhere)

    assert await outcome(nowhere, password=PASSWORD) == "RateLimited"


@pytest.mark.parametrize(
    "header", [{"X-Forwarded-For": "192.0.2.1"}, {"Forwarded": "for=192.0.2.1"}, {"X-Real-IP": "192.0.2.1"}]
)
async def test_clients_of_an_untrusted_proxy_share_one_limit(
    app: FastAPI, connect: Connect, header: dict[str, str]
) -> None:
    """Otherwise the owner's sign-in through the proxy would make its address known for all its clients."""
    proxy = connect(app, OFFICE)
    await proxy.member()
    await use_up_logins(proxy)

    assert await outcome(proxy, "alice", PASSWORD, **header) == "RateLimited"
    assert await outcome(proxy, "alice", PASSWORD) == "OtpRequired"


async def test_a_client_behind_a_trusted_proxy_has_its_own_known_address(run_app: RunApp, connect: Connect) -> None:
    async with run_app(trusted_proxies="10.0.0.1", login_address_attempts=1) as app:
        await connect(app, OFFICE).member()
        proxy = connect(app, "10.0.0.1")
        for name in ("nobody", "nobody-else"):
            last = await outcome(proxy, name, **{"X-Forwarded-For": OFFICE})
        assert last == "RateLimited"

        assert await outcome(proxy, "alice", PASSWORD, **{"X-Forwarded-For": OFFICE}) == "OtpRequired"


async def test_successful_logins_of_an_address_are_limited_too(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    """The limit applies to an attacker's own accounts too; it is ten times as wide for known accounts."""
    async with run_app(login_address_total=4) as app:
        office = connect(app, OFFICE)
        await office.member("alice")
        await connect(app, HOME).member("bob")

        assert [await outcome(office, "bob", PASSWORD) for _ in range(5)] == ["OtpRequired"] * 4 + ["RateLimited"]
        assert [await outcome(office, "alice", PASSWORD) for _ in range(40)] == ["OtpRequired"] * 40
        assert await outcome(office, "alice", PASSWORD) == "RateLimited"
        clock.advance(300)
        assert await outcome(office, "bob", PASSWORD) == "OtpRequired"


async def test_readyz_warns_of_an_untrusted_proxy_for_an_hour(app: FastAPI, connect: Connect, clock: Clock) -> None:
    api = connect(app, OFFICE)
    assert (await api.http.get("/readyz")).json() == {"status": "ok"}
    await outcome(api, **{"X-Forwarded-For": "192.0.2.1"})

    clock.advance(3599)
    response = await api.http.get("/readyz")
    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    assert "GRAPHQL_MFA_TRUSTED_PROXIES" in response.json()["warning"]
    assert "192.0.2.1" not in response.text
    assert OFFICE not in response.text
    clock.advance(1)
    assert (await api.http.get("/readyz")).json() == {"status": "ok"}
