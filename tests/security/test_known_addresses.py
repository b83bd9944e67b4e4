"""Attack: keep, or fill, the list of addresses from which an account is exempt from limits."""

from fastapi import FastAPI

from graphql_mfa.flows.purging import purge
from graphql_mfa.services import Services
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect
from tests.security.attacks import WRONG_PASSWORD, kinds, scalar

DAY = 86_400


async def sign_in(api: Api, secret: str) -> None:
    """With the code of a time step that was not used yet."""
    api.clock.advance(30)
    answer = await api.verify_otp(await api.challenge(), code_at(secret, api.clock()))
    assert answer["__typename"] == "SignedIn"


async def use_up_logins(api: Api) -> None:
    wrong = [await api.login(f"name{number}", WRONG_PASSWORD) for number in range(31)]
    assert kinds(wrong) == {"InvalidCredentials": 30, "RateLimited": 1}


async def is_known(api: Api) -> bool:
    """Whether alice gets past the limit of the address, which is used up."""
    return kinds([await api.login()]) == {"OtpRequired": 1}


async def test_an_unused_known_address_expires(
    app: FastAPI, connect: Connect, services: Services, clock: Clock
) -> None:
    cafe, home = connect(app, "198.51.100.1"), connect(app, "10.9.9.9")
    member = await cafe.member()
    clock.advance(60 * DAY)
    await sign_in(home, member.secret)
    clock.advance(30 * DAY)
    await purge(services.database, services.settings, clock())

    for api, known in ((cafe, False), (home, True)):
        await use_up_logins(api)
        assert await is_known(api) is known


async def test_an_address_stays_known_while_it_is_used(
    app: FastAPI, connect: Connect, services: Services, clock: Clock
) -> None:
    home = connect(app, "10.9.9.9")
    member = await home.member()
    for _ in range(2):
        clock.advance(60 * DAY)
        await sign_in(home, member.secret)
        await purge(services.database, services.settings, clock())

    await use_up_logins(home)
    assert await is_known(home)


async def test_an_account_keeps_the_fifty_most_recently_used_addresses(
    app: FastAPI, connect: Connect, services: Services
) -> None:
    first = connect(app, "198.51.100.1")
    member = await first.member()
    other = connect(app, "198.51.100.2")
    await sign_in(other, member.secret)
    await sign_in(first, member.secret)
    for number in range(49):
        await sign_in(connect(app, f"203.0.113.{number}"), member.secret)

    assert await scalar(services, "SELECT count(*) FROM mfa_known_addresses") == 50
    for api, known in ((other, False), (first, True)):
        await use_up_logins(api)
        assert await is_known(api) is known
