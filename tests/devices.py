"""Authenticator apps beside the first one, as tests need them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from graphql_mfa.services import Services
from tests.account import act, user_of
from tests.api_client import Api, Result
from tests.authenticator import code_at


@dataclass(frozen=True)
class Added:
    """A device that was added, as the server returned it."""

    id: str
    secret: str


async def add(api: Api, token: str | None, name: str = "Tablet") -> Result:
    return await act(api, "addTotpDevice", token, input={"name": name})


async def confirm(api: Api, token: str | None, id: str, otp: str) -> Result:
    return await act(api, "confirmTotpDevice", token, input={"id": id, "otp": otp})


async def rename(api: Api, token: str | None, id: str, name: str = "Old tablet") -> Result:
    return await act(api, "renameTotpDevice", token, input={"id": id, "name": name})


async def remove(api: Api, token: str | None, id: str) -> Result:
    return await act(api, "removeTotpDevice", token, id=id)


async def added(api: Api, token: str, name: str = "Tablet") -> Added:
    """One that is still to be confirmed."""
    answer = await add(api, token, name)
    assert answer["__typename"] == "TotpDeviceAdded", answer
    return Added(answer["device"]["id"], answer["enrollment"]["secret"])


async def confirmed(api: Api, token: str, name: str = "Tablet") -> Added:
    """One that counts. The code that the clock shows is used."""
    device = await added(api, token, name)
    answer = await confirm(api, token, device.id, code_at(device.secret, api.clock()))
    assert answer["__typename"] == "TotpDeviceConfirmed", answer
    return device


async def devices_of(api: Api, token: str) -> list[Result]:
    """All that the user is shown."""
    devices: list[Result] = (await user_of(api, token))["totpDevices"]
    return devices


async def names_of(api: Api, token: str) -> list[str]:
    return [device["name"] for device in await devices_of(api, token)]


async def first_device(api: Api, token: str) -> str:
    """The id of the device that the account was enrolled with."""
    (first, *_) = await devices_of(api, token)
    return str(first["id"])


async def events_of(services: Services) -> Counter[str]:
    """The kinds of events of all accounts, with their counts; a stopped clock gives no order."""
    kinds = text("SELECT kind FROM mfa_security_events")
    return Counter(await services.database.read(lambda connection: list(connection.scalars(kinds))))


def wrong_for_all(secrets: Iterable[str], at: datetime) -> str:
    """A code that is right on none of the devices near that time."""
    near = {code_at(secret, at, steps) for secret in secrets for steps in range(-20, 21)}
    return next(code for code in map("{:06}".format, range(1000)) if code not in near)
