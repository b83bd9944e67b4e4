"""Connections to PostgreSQL over TLS."""

import asyncio
import os
import pwd
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import text

from graphql_mfa.store.database import Database
from graphql_mfa.store.outages import UnusableDatabaseError
from tests.conftest import postgresql_only, require_program
from tests.ports import reserved_port
from tests.postgresql import program, running_server

pytestmark = postgresql_only


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def certificate(
    name: str, issuer: str, key: EllipticCurvePrivateKey, issuer_key: EllipticCurvePrivateKey, *, authority: bool
) -> bytes:
    """A certificate in PEM."""
    builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer))
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    now = datetime.now(UTC)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(issuer_key, SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The certificates `ours.pem` and `another.pem` of authorities, and a server's by the first, for localhost."""
    # pytest's own folders can't be entered by the user that the server runs as.
    with tempfile.TemporaryDirectory(prefix="graphql-mfa-") as name:
        folder = Path(name)
        authority, another, server = (generate_private_key(SECP256R1()) for _ in range(3))
        (folder / "ours.pem").write_bytes(certificate("Ours", "Ours", authority, authority, authority=True))
        (folder / "another.pem").write_bytes(certificate("Another", "Another", another, another, authority=True))
        (folder / "server.pem").write_bytes(certificate("localhost", "Ours", server, authority, authority=False))
        key = server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "server.key").write_bytes(key)
        (folder / "server.key").chmod(0o600)
        if os.geteuid() == 0:
            for file in (folder, *folder.iterdir()):
                os.chown(file, pwd.getpwnam("nobody").pw_uid, -1)
        yield folder


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """Where a server takes connections over TLS alone."""
    require_program("PostgreSQL's server", program("initdb"))
    files = (f"ssl_cert_file={folder}/server.pem", f"ssl_key_file={folder}/server.key")
    with (
        reserved_port() as port,
        running_server("ssl=on", *files, "listen_addresses=127.0.0.1", f"port={port}"),
    ):
        yield port


async def is_encrypted(url: str) -> object:
    """Whether the server says that a connection of the store is."""
    database = Database(url)
    try:
        return await database.read(
            lambda connection: connection.scalar(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
        )
    finally:
        await database.close()


async def test_a_certificate_of_a_configured_authority_is_verified(folder: Path, port: int) -> None:
    for mode in ("verify-full", "verify-ca"):
        assert await is_encrypted(
            f"postgresql+asyncpg://tests@localhost:{port}/template1?ssl={mode}&sslrootcert={folder}/ours.pem"
        )


@pytest.mark.parametrize("option", ["", "&sslrootcert=system"])
async def test_a_certificate_of_a_system_authority_is_verified(
    folder: Path, port: int, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{folder}/ours.pem")
    assert await is_encrypted(f"postgresql+asyncpg://tests@localhost:{port}/template1?ssl=verify-full{option}")


async def test_migrations_verify_the_certificate_too(folder: Path, port: int) -> None:
    url = f"postgresql+asyncpg://tests@localhost:{port}/postgres?ssl=verify-full&sslrootcert={folder}/ours.pem"
    database = Database(url)
    try:
        await database.migrate()
        assert await database.require_migrated()
    finally:
        await database.close()


UNKNOWN_AUTHORITY = "unable to get local issuer certificate; name its authority with sslrootcert in the database URL"


@pytest.mark.parametrize(
    ("host", "query", "message"),
    [
        ("127.0.0.1", "ssl=verify-full&sslrootcert={}/ours.pem", "IP address mismatch, .* not valid for '127.0.0.1'"),
        ("localhost", "ssl=verify-full&sslrootcert={}/another.pem", UNKNOWN_AUTHORITY),
        ("localhost", "ssl=verify-ca&sslrootcert={}/another.pem", UNKNOWN_AUTHORITY),
        ("localhost", "ssl=verify-full", UNKNOWN_AUTHORITY),
    ],
    ids=["another host", "another authority", "another authority, any host", "no authority of the system"],
)
async def test_an_invalid_certificate_is_refused(folder: Path, port: int, host: str, query: str, message: str) -> None:
    url = f"postgresql+asyncpg://tests:hunter2@{host}:{port}/template1?{query.format(folder)}"
    with pytest.raises(UnusableDatabaseError, match=f"the server's certificate is refused, {message}") as refusal:
        await is_encrypted(url)
    assert "hunter2" not in str(refusal.value)


async def test_verify_ca_accepts_a_certificate_for_another_host(folder: Path, port: int) -> None:
    query = f"ssl=verify-ca&sslrootcert={folder}/ours.pem"
    assert await is_encrypted(f"postgresql+asyncpg://tests@127.0.0.1:{port}/template1?{query}")


@asynccontextmanager
async def server_without_tls() -> AsyncIterator[int]:
    """Where something refuses TLS as a server of PostgreSQL does."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1") as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_server_without_tls_is_refused_when_tls_is_required() -> None:
    async with server_without_tls() as port:
        with pytest.raises(UnusableDatabaseError, match="the server offers no TLS"):
            await is_encrypted(f"postgresql+asyncpg://tests@127.0.0.1:{port}/template1?ssl=require")
