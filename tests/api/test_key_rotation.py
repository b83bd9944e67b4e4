"""One deployment before and after its key ring was changed."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI

from graphql_mfa.core.keys import Key, new_key
from graphql_mfa.services import Services
from tests.api.answers import failure
from tests.api_client import Member
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import KEY, Connect
from tests.security.attacks import at_once, kinds, scalar

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

NEW = new_key()
RETRY_KEY = "0a6b5a31-2f5c-4c8e-9d61-0d9c2c7b8f10"
ROTATED, LEAKED = f"{NEW},{KEY}", f"{NEW},decrypt-only:{KEY}"
RINGS = pytest.mark.parametrize("ring", [ROTATED, LEAKED], ids=["rotated", "leaked"])


def key_id(entry: str) -> bytes:
    return Key.parse(entry).id


@pytest.fixture
async def member(run_app: RunApp, connect: Connect) -> Member:
    """Who signed up while the old key was the only one."""
    async with run_app() as app:
        return await connect(app).member()


async def sealed_by(services: Services) -> bytes:
    """The key of alice's secret: the column and the blob name the same one."""
    key: bytes = await scalar(
        services, "SELECT key_id FROM mfa_totp_devices WHERE key_id = substr(sealed_secret, 1, 4)"
    )
    return key


async def published(connect: Connect, app: FastAPI) -> list[str]:
    keys = (await connect(app).http.get("/.well-known/jwks.json")).json()["keys"]
    return [key["kid"] for key in keys]


async def test_an_access_token_of_an_older_key_is_valid_until_it_expires(
    run_app: RunApp, connect: Connect, clock: Clock, member: Member
) -> None:
    async with run_app(secret_keys=ROTATED) as app:
        api = connect(app)
        new, old = key_id(NEW).hex(), key_id(KEY).hex()
        assert await published(connect, app) == [new, old, f"{new}-ES256", f"{old}-ES256"]
        clock.advance(600 - 30 - 1)  # `member` let 30 seconds pass
        assert await api.me(member.access_token) == member.session["user"]
        clock.advance(1)
        assert await api.me(member.access_token) is None


async def test_an_access_token_of_a_leaked_key_is_refused_and_the_key_is_unpublished(
    run_app: RunApp, connect: Connect, member: Member
) -> None:
    async with run_app(secret_keys=LEAKED) as app:
        assert await published(connect, app) == [key_id(NEW).hex(), f"{key_id(NEW).hex()}-ES256"]
        assert await connect(app).me(member.access_token) is None


@RINGS
async def test_a_session_moves_to_the_current_key_when_it_is_refreshed(
    run_app: RunApp, connect: Connect, member: Member, ring: str
) -> None:
    async with run_app(secret_keys=ring) as app:
        refreshed = await connect(app).refresh(member.refresh_token)
        assert await scalar(app.state.services, "SELECT key_id FROM mfa_sessions") == key_id(NEW)
    async with run_app(secret_keys=NEW) as app:
        assert await connect(app).me(refreshed["tokens"]["accessToken"]) == member.session["user"]


async def test_a_refresh_under_an_older_key_is_repeated_with_the_same_pair(
    run_app: RunApp, connect: Connect, member: Member
) -> None:
    async with run_app() as app:
        refreshed = await connect(app).refresh(member.refresh_token)
    async with run_app(secret_keys=ROTATED) as app:
        assert await connect(app).refresh(member.refresh_token) == refreshed


async def test_a_refresh_under_an_older_key_is_repeated_by_its_retry_key(
    run_app: RunApp, connect: Connect, clock: Clock, member: Member
) -> None:
    async with run_app() as app:
        tokens = (await connect(app).refresh(member.refresh_token, RETRY_KEY))["tokens"]
    clock.advance(1800)
    async with run_app(secret_keys=new_key()) as app:
        lacking = connect(app, "203.0.113.9")
        assert await lacking.refresh(member.refresh_token, RETRY_KEY) == failure("SessionExpired")
    async with run_app(secret_keys=ROTATED) as app:
        api = connect(app, "203.0.113.9")
        repeated = (await api.refresh(member.refresh_token, RETRY_KEY))["tokens"]
        assert repeated["refreshToken"] == tokens["refreshToken"]
        assert await api.me(repeated["accessToken"]) == member.session["user"]


async def test_a_refresh_under_a_leaked_key_is_not_repeated(run_app: RunApp, connect: Connect, member: Member) -> None:
    async with run_app() as app:
        await connect(app).refresh(member.refresh_token, RETRY_KEY)
    async with run_app(secret_keys=LEAKED) as app:
        for key in (None, RETRY_KEY):
            assert await connect(app).refresh(member.refresh_token, key) == failure("SessionExpired")


@RINGS
async def test_a_right_code_re_encrypts_the_secret_with_the_current_key(
    run_app: RunApp, connect: Connect, clock: Clock, member: Member, ring: str
) -> None:
    async with run_app(secret_keys=ring) as app:
        api = connect(app)
        assert await sealed_by(app.state.services) == key_id(KEY)
        signed_in = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
        assert signed_in["__typename"] == "SignedIn"
        assert await sealed_by(app.state.services) == key_id(NEW)
    clock.advance(30)
    async with run_app(secret_keys=NEW) as app:
        api = connect(app)
        signed_in = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
        assert signed_in["__typename"] == "SignedIn"


async def test_the_code_that_confirms_an_enrollment_re_encrypts_its_secret(
    run_app: RunApp, connect: Connect, clock: Clock
) -> None:
    async with run_app() as app:
        registered = await connect(app).register()
    async with run_app(secret_keys=ROTATED) as app:
        code = code_at(registered["enrollment"]["secret"], clock())
        confirmed = await connect(app).verify_otp(registered["challenge"], code)
        assert confirmed["__typename"] == "EnrollmentConfirmed"
        assert await sealed_by(app.state.services) == key_id(NEW)


async def test_a_refused_code_does_not_re_encrypt_the_secret(
    run_app: RunApp, connect: Connect, clock: Clock, member: Member
) -> None:
    async with run_app(secret_keys=ROTATED) as app:
        api = connect(app)
        challenge = await api.challenge()
        codes = [wrong_code(member.secret, clock()), code_at(member.secret, clock(), -1), "not a code"]
        refused = [await api.verify_otp(challenge, code) for code in codes]
        assert [answer["__typename"] for answer in refused] == ["InvalidOtp", "OtpAlreadyUsed", "InvalidOtp"]
        assert await sealed_by(app.state.services) == key_id(KEY)


async def test_a_code_is_accepted_once_while_its_secret_is_re_encrypted(
    run_app: RunApp, connect: Connect, clock: Clock, member: Member
) -> None:
    async with run_app(secret_keys=ROTATED) as app, run_app(secret_keys=ROTATED) as other:
        apis = [connect(app), connect(other)]
        challenges = [await apis[0].challenge() for _ in range(8)]
        code = code_at(member.secret, clock())
        answers = await at_once(
            apis[number % 2].verify_otp(challenge, code) for number, challenge in enumerate(challenges)
        )
        assert kinds(answers) == {"SignedIn": 1, "OtpAlreadyUsed": 7}
        assert await sealed_by(app.state.services) == key_id(NEW)
