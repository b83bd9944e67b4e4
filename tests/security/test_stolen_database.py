"""Attack: read the database file, or write to it."""

import base64
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text as sql

from graphql_mfa.core.keys import KeyRing, new_key
from graphql_mfa.flows.keys import rotate_keys
from graphql_mfa.services import Services
from tests.api_client import PASSWORD, VERIFY_OTP, Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import KEY, Connect, Server, sqlite_only
from tests.security.attacks import execute, real_api, real_member, scalar, sessions_of

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]


def database_files(folder: Path) -> list[Path]:
    """The database and SQLite's files beside it, without the key file."""
    return [file for file in folder.iterdir() if re.fullmatch(r"test\.db(-wal|-shm|-journal)?", file.name)]


def forms(secret: str) -> Iterator[bytes]:
    """The secret as it may lie somewhere: as text, without its groups, decoded, in hexadecimal digits."""
    yield secret.encode()
    yield secret.replace("-", "").encode()
    yield secret.encode().hex().encode()
    yield secret.encode("utf-16-le")
    yield base64.b64encode(secret.encode())
    _, _, opaque = secret.partition("_")
    if len(opaque) == 43:
        yield base64.urlsafe_b64decode(opaque + "=")
        yield opaque.encode()
    if re.fullmatch("[A-Z2-7]{32}", secret):
        yield base64.b32decode(secret)
        yield base64.b32decode(secret).hex().encode()


async def column(services: Services, name: str) -> list[Any]:
    """All values of `table.column`."""
    table, _, of = name.partition(".")
    return await services.database.read(lambda connection: list(connection.scalars(sql(f"SELECT {of} FROM {table}"))))


@sqlite_only
async def test_stolen_database_contains_no_secret(api: Api, clock: Clock, tmp_path: Path) -> None:
    """Neither in the tables nor in the write-ahead log, which still contains deleted rows."""
    member = await api.member()
    pending = await api.register("bob", "another horse battery staple")
    restarted = await api.restart_enrollment(pending["challenge"])
    open_challenge = await api.challenge()
    answered = await api.challenge()
    signed_in = await api.verify_recovery_code(answered, member.recovery_codes[0])
    refreshed = await api.refresh(signed_in["tokens"]["refreshToken"])
    secrets = {
        PASSWORD,
        "another horse battery staple",
        member.secret,
        pending["enrollment"]["secret"],
        restarted["enrollment"]["secret"],
        *member.recovery_codes,
        open_challenge["token"],
        answered["token"],
        pending["challenge"]["token"],
        restarted["challenge"]["token"],
        *(
            tokens[name]
            for tokens in (member.session["tokens"], signed_in["tokens"], refreshed["tokens"])
            for name in ("accessToken", "refreshToken")
        ),
    }
    assert len(secrets) == 25
    files = database_files(tmp_path)
    assert {file.name for file in files} >= {"test.db", "test.db-wal"}
    content = b"".join(file.read_bytes() for file in files)
    assert b"alice" in content  # it does see something

    found = [secret for secret in secrets for form in forms(secret) if form in content]
    access_token_parts = [part for secret in secrets if secret.count(".") == 2 for part in secret.split(".")[1:]]

    assert found == []
    assert [part for part in access_token_parts if part.encode() in content] == []


async def test_stolen_database_contains_no_secret_in_any_column(api: Api, services: Services) -> None:
    """Secrets are stored encrypted, as a password hash, or as a digest of fixed size."""
    member = await api.member()
    await api.challenge()
    await api.refresh(member.refresh_token)

    (password_hash,) = await column(services, "mfa_users.password_hash")
    assert re.fullmatch(r"\$bcrypt-sha256\$v=2,t=2b,r=4\$[./A-Za-z0-9]{22}\$[./A-Za-z0-9]{31}", password_hash)
    (sealed,) = await column(services, "mfa_totp_devices.sealed_secret")
    assert len(sealed) == 4 + 12 + 32 + 16
    for digests in (
        "mfa_recovery_codes.digest",
        "mfa_challenges.digest",
        "mfa_sessions.refresh_digest",
        "mfa_sessions.family_digest",
        "mfa_throttles.key",
    ):
        assert {len(value) for value in await column(services, digests)} == {32}, digests


async def test_stolen_database_opens_nothing(run_app: RunApp, connect: Connect) -> None:
    """Whatever stands in a column is not accepted in place of the secret it was made from."""
    async with run_app() as app:
        api = connect(app)
        member = await api.member()
        challenge = await api.challenge()
        services: Services = app.state.services
        stolen = [
            *await column(services, "mfa_challenges.digest"),
            *await column(services, "mfa_sessions.refresh_digest"),
            *await column(services, "mfa_sessions.family_digest"),
            *(codes := await column(services, "mfa_recovery_codes.digest")),
            *await column(services, "mfa_totp_devices.sealed_secret"),
        ]
        (password_hash,) = await column(services, "mfa_users.password_hash")
        for value in stolen:
            for text in (value.hex(), base64.urlsafe_b64encode(value).rstrip(b"=").decode()):
                assert (await api.verify_otp({"token": f"mfac_{text}"}, "000000"))["__typename"] == "ChallengeExpired"
                assert (await api.refresh(f"mfar_{text}"))["__typename"] in {"SessionExpired", "RateLimited"}
        assert (await api.login(password=password_hash))["__typename"] == "InvalidCredentials"
        assert (await api.verify_recovery_code(challenge, codes[0].hex()))["__typename"] == "InvalidRecoveryCode"
        assert await sessions_of(services) == 1
        assert await api.me(member.access_token) is not None


async def test_written_database_with_the_secret_of_another_row(api: Api, clock: Clock, services: Services) -> None:
    """Sealed for its row: a thief who can write copies their own sealed secret into the victim's row in vain."""
    await api.member("alice")
    thief = await api.member("mallory")
    await execute(
        services,
        "UPDATE mfa_totp_devices SET sealed_secret = (SELECT sealed_secret FROM mfa_totp_devices JOIN mfa_users "
        "ON mfa_users.id = user_id WHERE username = 'mallory') "
        "WHERE user_id = (SELECT id FROM mfa_users WHERE username = 'alice')",
    )

    challenge = await api.challenge("alice")
    variables = {"input": {"challengeToken": challenge["token"], "otp": code_at(thief.secret, clock())}}
    response = await api.send(
        "mutation ($input: VerifyOtpInput!) { verifyOtp(input: $input) { __typename } }", variables
    )

    assert response.json()["data"] is None
    assert response.json()["errors"][0]["message"] == "Internal server error."
    assert await sessions_of(services, "alice") == 1


@pytest.mark.parametrize("position", [0, 4, 20, -1])
async def test_written_database_with_an_altered_secret(
    api: Api, clock: Clock, services: Services, position: int
) -> None:
    """Key id, nonce, ciphertext, tag: whichever byte is changed, nothing is accepted."""
    member = await api.member()
    row = await services.database.read(
        lambda connection: connection.exec_driver_sql("SELECT sealed_secret FROM mfa_totp_devices").scalar_one()
    )
    altered = bytearray(row)
    altered[position] ^= 1
    await execute(services, "UPDATE mfa_totp_devices SET sealed_secret = :sealed", sealed=bytes(altered))

    challenge = await api.challenge()
    variables = {"input": {"challengeToken": challenge["token"], "otp": code_at(member.secret, clock())}}
    response = await api.send(
        "mutation ($input: VerifyOtpInput!) { verifyOtp(input: $input) { __typename } }", variables
    )

    assert response.json()["data"] is None
    assert await sessions_of(services) == 1


async def test_written_database_with_the_id_of_another_key_of_the_ring(
    run_app: RunApp, connect: Connect, clock: Clock
) -> None:
    """A thief of an old key who marks a secret as sealed by it does not get the server to open the secret with it."""
    stolen = new_key()
    async with run_app(secret_keys=f"{KEY},{stolen}") as app:
        api = connect(app)
        member = await api.member()
        (sealed,) = await column(app.state.services, "mfa_totp_devices.sealed_secret")
        key = KeyRing.parse(stolen).current.id
        marked = {"key": key, "sealed": key + sealed[4:]}
        await execute(
            app.state.services, "UPDATE mfa_totp_devices SET key_id = :key, sealed_secret = :sealed", **marked
        )

        challenge = await api.challenge()
        variables = {"input": {"challengeToken": challenge["token"], "otp": code_at(member.secret, clock())}}
        response = await api.send(VERIFY_OTP, variables)

        assert response.json()["data"] is None
        assert await sessions_of(app.state.services) == 1


async def test_written_database_with_the_secret_of_another_row_and_a_rotation_of_keys(
    run_app: RunApp, connect: Connect, clock: Clock
) -> None:
    """Rotation re-encrypts only secrets that it can open, so it does not assign the thief's secret to the victim."""
    async with run_app() as app:
        api = connect(app)
        await api.member("alice")
        thief = await api.member("mallory")
        await execute(
            app.state.services,
            "UPDATE mfa_totp_devices SET sealed_secret = (SELECT sealed_secret FROM mfa_totp_devices JOIN mfa_users "
            "ON mfa_users.id = user_id WHERE username = 'mallory')",
        )
    async with run_app(secret_keys=f"{new_key()},{KEY}") as app:
        services, api = app.state.services, connect(app)
        faults = [fault async for batch in rotate_keys(services.database, services.key_ring) for fault in batch.faults]
        victim = await scalar(
            services,
            "SELECT mfa_totp_devices.id FROM mfa_totp_devices JOIN mfa_users ON mfa_users.id = user_id "
            "WHERE username = 'alice'",
        )
        assert faults == [f"totp_devices.sealed_secret:{UUID(str(victim))} was altered, or encrypted for another row."]

        challenge = await api.challenge("alice")
        variables = {"input": {"challengeToken": challenge["token"], "otp": code_at(thief.secret, clock())}}
        response = await api.send(VERIFY_OTP, variables)

        assert response.json()["data"] is None
        assert await sessions_of(services, "alice") == 1


def installation(folder: Path) -> tuple[bytes, dict[str, int], str]:
    """The content of all files but the key's, the permissions of each file, and the key."""
    files = {file.name: file for file in folder.iterdir()}
    content = b"".join(file.read_bytes() for name, file in files.items() if not name.endswith(".key"))
    modes = {name: stat.S_IMODE(file.stat().st_mode) for name, file in files.items()}
    return content, modes, files["graphql_mfa.db.key"].read_text().strip()


async def test_stolen_database_of_a_real_server(tmp_path: Path) -> None:
    """The files of an installation: readable by their owner only, and the key is in none but its own."""
    server = Server(tmp_path).start()
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
        member = await real_member(real_api(http), "alice")
    content, modes, key = installation(tmp_path)
    server.stop()

    assert {"graphql_mfa.db", "graphql_mfa.db-wal", "graphql_mfa.db.key"} <= set(modes)
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
    assert key.startswith("mfak_")
    for secret in (key, key.removeprefix("mfak_"), member.secret, member.refresh_token, PASSWORD):
        assert secret.encode() not in content
    assert base64.urlsafe_b64decode(key.removeprefix("mfak_"))[:32] not in content
