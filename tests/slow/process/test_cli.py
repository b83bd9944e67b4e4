"""The graphql-mfa command, except `demo` and a running `serve`."""

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import make_url
from typer.testing import Result

from graphql_mfa.core.keys import KeyRing
from graphql_mfa.store import migrations, purging
from graphql_mfa.store.database import Database
from graphql_mfa.store.migrations import HEAD
from tests.authenticator import code_at
from tests.conftest import postgresql_only
from tests.postgresql import PostgresqlServer
from tests.slow.process.conftest import Command
from tests.store import rows

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # of the test vectors of RFC 6238, appendix B
KEY = "mfak_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-zmLND"


def test_help_describes_the_command() -> None:
    ran = subprocess.run([sys.executable, "-m", "graphql_mfa", "--help"], capture_output=True, text=True, check=True)
    for name in ("serve", "migrate", "schema", "new-key", "totp", "demo", "purge", "keys"):
        assert f" {name} " in ran.stdout


def test_version_is_printed(command: Command) -> None:
    assert command("--version").stdout == f"{metadata.version('graphql-mfa')}\n"


def test_schema_prints_the_exported_schema(command: Command) -> None:
    assert command("schema").stdout == (Path(__file__).parents[3] / "schema.graphql").read_text()


def test_new_key_prints_a_key_that_the_key_ring_accepts(command: Command) -> None:
    one, other = command("new-key").stdout, command("new-key").stdout
    assert len(KeyRing.parse(f"{one},{other}").public) == 2


def test_a_warning_about_a_setting_is_one_line(command: Command, tmp_path: Path) -> None:
    command("migrate")
    ran = subprocess.run(
        [sys.executable, "-m", "graphql_mfa", "keys", "status"],
        cwd=tmp_path,
        env=os.environ | {"GRAPHQL_MFA_BCRYPT_ROUNDS": "4"},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = ran.stderr.splitlines()
    assert line.startswith("GRAPHQL_MFA_BCRYPT_ROUNDS=4 makes passwords cheap to guess")


@pytest.mark.parametrize("typed", [SECRET, SECRET.lower(), " ".join(SECRET[i : i + 4] for i in range(0, 32, 4))])
def test_totp_prints_what_an_authenticator_shows(command: Command, typed: str) -> None:
    before = datetime.now(UTC)
    ran = command("totp", typed)
    assert ran.exit_code == 0
    assert ran.stdout.strip() in {code_at(SECRET, at) for at in (before, datetime.now(UTC))}


def test_totp_takes_an_imported_secret_of_80_bits(command: Command) -> None:
    before = datetime.now(UTC)
    ran = command("totp", "JBSW-Y3DP-EHPK-3PXP")
    assert ran.exit_code == 0
    assert ran.stdout.strip() in {code_at("JBSWY3DPEHPK3PXP", at) for at in (before, datetime.now(UTC))}


@pytest.mark.parametrize("garbage", ["not base32!", "", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1", "GEZDGNBV", "Ä" * 32])
def test_totp_refuses_a_malformed_secret_without_repeating_it(command: Command, garbage: str) -> None:
    ran = command("totp", garbage)
    assert ran.exit_code == 2
    assert isinstance(ran.exception, SystemExit), repr(ran.exception)
    assert "not a TOTP secret" in ran.stderr
    assert not garbage or garbage not in ran.output


def test_migrate_creates_a_database_that_only_its_owner_can_read(command: Command, tmp_path: Path) -> None:
    address = f"sqlite+aiosqlite:///{tmp_path}/graphql_mfa.db"
    assert command("migrate").stdout == f"Created the tables of version {HEAD} in {address}.\n"
    assert command("migrate").stdout == f"{address} is up to date, at version {HEAD}.\n"
    assert (tmp_path / "graphql_mfa.db").stat().st_mode & 0o777 == 0o600


def test_purge_deletes_expired_rows_and_prints_their_number(command: Command, tmp_path: Path) -> None:
    async def fill() -> None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / 'graphql_mfa.db'}")
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        await database.write(lambda connection: rows.add_user(connection, enrollment_expires_at=long_ago))
        await database.close()

    command("migrate")
    asyncio.run(fill())
    for deleted in (1, 0):
        printed = command("purge").output
        counts = dict(line.split(": ") for line in printed.splitlines())
        assert counts.pop("users") == str(deleted)
        assert len(counts) > 5
        assert set(counts.values()) == {"0"}


def test_purge_names_the_tables_that_fail_and_purges_the_others(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = purging.batches

    def fail(_: object) -> NoReturn:
        raise LookupError("hunter2")

    command("migrate")
    monkeypatch.setattr(purging, "batches", lambda *given, **named: batches(*given, **named) | {"outbox": fail})
    ran = command("purge")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert ran.stderr.endswith("outbox: LookupError\n")
    assert "hunter2" not in ran.output


@pytest.mark.parametrize(
    "name",
    [
        "users list",
        "users show alice",
        "users unlock alice",
        "users reset-mfa alice --yes",
        "users disable alice --yes",
        "users enable alice",
        "users delete alice --yes",
        "users release-name alice",
        "keys status",
        "keys rotate",
        "webhooks status",
        "webhooks retry",
        "purge",
    ],
)
@pytest.mark.parametrize("keys", ["", KEY], ids=["key file", "set key"])
def test_a_command_in_another_folder_than_the_servers_creates_nothing(
    command: Command, tmp_path: Path, name: str, keys: str
) -> None:
    ran = command(*name.split(), **({"GRAPHQL_MFA_SECRET_KEYS": keys} if keys else {}))
    assert isinstance(ran.exception, SystemExit), repr(ran.exception)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr == (
        f"Wrong configuration: There is no database at {tmp_path}/graphql_mfa.db. Run this in the server's folder, or "
        "set GRAPHQL_MFA_DATABASE_URL.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_import_into_no_database_creates_one(command: Command, tmp_path: Path) -> None:
    (tmp_path / "accounts.jsonl").touch()
    assert command("users", "import", "accounts.jsonl").exit_code == 0
    assert (tmp_path / "graphql_mfa.db").exists()


def test_an_empty_list_of_users_says_so(command: Command) -> None:
    command("migrate")
    for options in ([], ["--json"]):
        ran = command("users", "list", *options)
        assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "", "No accounts.\n")


def _is_wrong_configuration(ran: Result, message: str, value: str) -> None:
    assert isinstance(ran.exception, SystemExit), repr(ran.exception)
    assert ran.exit_code == 2
    assert ran.stderr.startswith("Wrong configuration: ")
    assert message in ran.stderr
    assert value not in ran.output


@pytest.mark.parametrize("name", ["serve", "migrate", "purge", "schema", "demo"])
@pytest.mark.parametrize(
    ("variable", "value"), [("GRAPHQL_MFA_BCRYPT_ROUNDS", "99"), ("GRAPHQL_MFA_OTP_DIGITS", "many")]
)
def test_a_wrong_setting_ends_every_command_with_its_name(
    command: Command, name: str, variable: str, value: str
) -> None:
    _is_wrong_configuration(command(name, **{variable: value}), variable, value)


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("OTP_DIGITS", "hunter2", "GRAPHQL_MFA_OTP_DIGITS: Input should be a valid integer, "),
        ("SESSION_TRANSPORT", "hunter2", "GRAPHQL_MFA_SESSION_TRANSPORT: Input should be 'bearer' or 'cookie'\n"),
        ("WEBHOOK_URL", "hunter2", "GRAPHQL_MFA_WEBHOOK_URL must be an https:// or http:// URL in ASCII, "),
        ("REGISTRATION_ATTEMPTS", "hunter2", "GRAPHQL_MFA_REGISTRATION_ATTEMPTS should be attempts and a window, "),
        ("PASSKEY_RP_ID", "hunter2", "GRAPHQL_MFA_PASSKEY_RP_ID and GRAPHQL_MFA_PASSKEY_ORIGINS must be set together"),
    ],
)
def test_the_fault_of_a_setting_reads_as_a_sentence(command: Command, variable: str, value: str, fault: str) -> None:
    ran = command("schema", **{f"GRAPHQL_MFA_{variable}": value})
    _is_wrong_configuration(ran, f"Wrong configuration: {fault}", value)


@pytest.mark.parametrize("name", ["serve", "purge"])
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("hunter2 is my passphrase", "graphql-mfa new-key"),
        (KEY[:-1], "graphql-mfa new-key"),
        (f"{KEY},{KEY}", "names a key twice"),
        (f"decrypt-only:{KEY}", "a first key that is not decrypt-only"),
        (",", "a first key"),
    ],
    ids=["a passphrase", "cut", "twice", "decrypt-only", "nothing"],
)
def test_invalid_keys_end_the_command_without_repeating_them(
    command: Command, tmp_path: Path, name: str, keys: str, message: str
) -> None:
    if name == "purge":
        command("migrate", GRAPHQL_MFA_SECRET_KEYS=KEY)
    before = {file.name for file in tmp_path.iterdir()}
    ran = command(name, GRAPHQL_MFA_SECRET_KEYS=keys)
    _is_wrong_configuration(ran, message, keys if keys != "," else KEY)
    assert KEY[:12] not in ran.output
    assert {file.name for file in tmp_path.iterdir()} == before, "nothing was made"


@pytest.mark.parametrize("name", ["serve", "migrate", "purge"])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("hunter2", "The database URL"),
        ("mysql://root:hunter2@db/accounts", "The database URL"),
        ("sqlite+aiosqlite:///:memory:", "in memory"),
        ("sqlite+aiosqlite:////no/such/folder/test.db", "No such file or directory"),
    ],
)
def test_an_unusable_database_ends_the_command_with_a_message(
    command: Command, tmp_path: Path, name: str, url: str, message: str
) -> None:
    _is_wrong_configuration(command(name, GRAPHQL_MFA_DATABASE_URL=url), message, "hunter2")
    assert list(tmp_path.iterdir()) == [], "nothing was made"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite+aiosqlite://test.db", "three slashes"),
        ("sqlite+aiosqlite:///test.db?password=hunter2", "SQLite has no options"),
        ("postgresql+asyncpg://mfa:p@hunter2@db/mfa", "write @ in the user name or the password as %40"),
        ("postgresql+asyncpg://mfa:p@hunter2@db:5432/mfa", "write @ in the user name or the password as %40"),
        ("postgresql+asyncpg://mfa:hunter2@db:port/mfa", "the port is not a number"),
        ("postgresql+asyncpg://mfa:hunter2@db:65536/mfa", "the port must be from 1 to 65535"),
        ("postgresql+asyncpg://mfa:hunter2@db..example/mfa", "the host is not a host name"),
        ("postgresql+asyncpg://mfa:hunter2@/mfa?host=a:5432&host=b", "each host needs its port"),
        ("postgresql+asyncpg://mfa:hunter2@db/mfa?sslmode=require", "Write ssl= for sslmode="),
        ("postgresql+asyncpg://mfa:hunter2@db/mfa?application_name=mfa", "with ALTER ROLE … SET"),
        ("postgresql+asyncpg://mfa@db/mfa?prepared_statement_cache_size=hunter2", "must be a number, 0 or more"),
        (
            "postgresql+asyncpg://mfa@db/mfa?ssl=hunter2",
            "ssl must be one of disable, allow, prefer, require, verify-ca",
        ),
        ("postgresql+asyncpg://mfa:hunter2@db/mfa?ssl=require&ssl=disable", "has the option ssl twice"),
        ("postgresql+asyncpg://mfa:hunter2@db/mfa?target_session_attrs=standby", "one of any, primary, read-write"),
        ("postgresql+asyncpg://mfa:hunter2@db/mfa?ssl=require&sslrootcert=ca.pem", "needs ssl=verify-full"),
        ("postgresql+asyncpg://mfa:hunter2@db/mfa?ssl=verify-full&sslrootcert=ca.pem", "(ca.pem): No such file"),
    ],
)
def test_an_unusable_url_is_refused_with_a_correct_example(
    command: Command, tmp_path: Path, url: str, message: str
) -> None:
    ran = command("migrate", GRAPHQL_MFA_DATABASE_URL=url)
    _is_wrong_configuration(ran, message, "hunter2")
    assert len(ran.output.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [], "nothing was made"


@pytest.mark.parametrize("variable", ["PGSSLMODE", "PGTARGETSESSIONATTRS", "PGPORT"])
def test_a_wrong_default_of_libpq_is_refused_by_its_name(command: Command, variable: str) -> None:
    url = "postgresql+asyncpg://mfa:hunter2@db/mfa"
    ran = command("migrate", GRAPHQL_MFA_DATABASE_URL=url, **{variable: "hunter2"})
    _is_wrong_configuration(ran, f"{variable} must be ", "hunter2")


@pytest.mark.parametrize("name", ["serve", "purge", "users list", "keys rotate", "webhooks retry", "schema", "demo"])
def test_a_wrong_url_ends_every_command_with_one_line(command: Command, name: str) -> None:
    ran = command(*name.split(), GRAPHQL_MFA_DATABASE_URL="postgresql+asyncpg://mfa:hunter2@db/mfa?sslmode=require")
    _is_wrong_configuration(ran, "Write ssl= for sslmode=", "hunter2")
    assert len(ran.output.splitlines()) == 1


def role_without_rights(server: PostgresqlServer, url: str) -> str:
    """The URL for a role that owns nothing there and was granted nothing."""
    if not server.execute("template1", "SELECT 1 FROM pg_roles WHERE rolname = 'limited'"):
        server.execute("template1", "CREATE ROLE limited LOGIN")
    return url.replace("tests@", "limited:hunter2@")


CREATING = {"serve", "migrate"}
COMMANDS = pytest.mark.parametrize(
    "name", ["serve", "migrate", "purge", "users list", "keys status"], ids=lambda name: name.split()[0]
)


def _is_one_line_about_the_database(ran: Result, message: str, code: int) -> None:
    assert isinstance(ran.exception, SystemExit), repr(ran.exception)
    assert ran.exit_code == code
    (line,) = ran.output.splitlines()
    assert message in line
    assert "hunter2" not in line


@COMMANDS
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hunter2" * 1_000, "test.db is not an SQLite database."),
        (
            b"SQLite format 3\0" + b"hunter2" * 1_000,
            "The database can't be used: file is not a database; check the file",
        ),
        (None, "Is a directory: 'test.db'"),
    ],
    ids=["another file", "a broken one", "a folder"],
)
def test_a_file_that_is_no_database_ends_every_command_and_stays_as_it_is(
    command: Command, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    file = tmp_path / "test.db"
    file.mkdir() if content is None else file.write_bytes(content)
    url = "sqlite+aiosqlite:///test.db"
    ran = command(*name.split(), GRAPHQL_MFA_DATABASE_URL=url, GRAPHQL_MFA_SECRET_KEYS=KEY)
    _is_one_line_about_the_database(ran, message, 2)
    assert ran.stderr.startswith("Wrong configuration: ")
    assert list(tmp_path.iterdir()) == [file]
    assert content is None or file.read_bytes() == content


@COMMANDS
def test_a_file_that_can_not_be_read_ends_every_command(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(file: Path, mode: str) -> NoReturn:
        raise PermissionError(13, "Permission denied", file.name)

    (tmp_path / "graphql_mfa.db").touch()
    # root may read every file.
    monkeypatch.setattr(Path, "open", refuse)
    ran = command(*name.split(), GRAPHQL_MFA_SECRET_KEYS=KEY)
    _is_one_line_about_the_database(ran, "Permission denied: 'graphql_mfa.db'", 2)


@COMMANDS
@pytest.mark.parametrize("existing", [True, False])
def test_a_folder_that_can_not_be_written_to_ends_every_command(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, existing: bool
) -> None:
    if existing:
        command("migrate")
    before = {file.name for file in tmp_path.iterdir()}
    # root may write everywhere.
    monkeypatch.setattr("os.access", lambda path, _: path.resolve() != tmp_path)
    ran = command(*name.split())
    missing = not existing and name not in CREATING
    message = (
        f"There is no database at {tmp_path}/" if missing else f"Wrong configuration: {tmp_path} can't be written to."
    )
    _is_one_line_about_the_database(ran, message, 2)
    assert {file.name for file in tmp_path.iterdir()} == before


@COMMANDS
@pytest.mark.parametrize("version", ["9999", "abc"])
def test_a_store_of_an_unknown_version_ends_every_command(
    command: Command, tmp_path: Path, name: str, version: str
) -> None:
    command("migrate")
    with closing(sqlite3.connect(tmp_path / "graphql_mfa.db", isolation_level=None)) as database:
        database.execute("UPDATE mfa_version SET version_num = ?", (version,))
    ran = command(*name.split())
    _is_one_line_about_the_database(ran, f"mfa_version holds '{version}', which this release does not know", 2)


@postgresql_only
@COMMANDS
def test_a_shared_store_of_an_unknown_version_ends_every_command(
    command: Command, postgresql: PostgresqlServer, name: str
) -> None:
    url = postgresql.migrated_database()
    postgresql.execute(make_url(url).database or "", "UPDATE mfa_version SET version_num = '9999'")
    ran = command(*name.split(), GRAPHQL_MFA_DATABASE_URL=url, GRAPHQL_MFA_SECRET_KEYS=KEY)
    _is_one_line_about_the_database(ran, "mfa_version holds '9999', which this release does not know", 2)


@COMMANDS
def test_a_file_of_another_program_ends_every_command_and_stays_as_it_is(
    command: Command, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "graphql_mfa.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY)")
    before = file.read_bytes()
    ran = command(*name.split())
    _is_one_line_about_the_database(ran, "graphql_mfa.db is another program's database", 2)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == before


def test_a_file_shared_with_another_program_works(command: Command, tmp_path: Path) -> None:
    command("migrate")
    with closing(sqlite3.connect(tmp_path / "graphql_mfa.db")) as database:
        database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY)")
    assert command("migrate").stdout.endswith(f" is up to date, at version {HEAD}.\n")


@COMMANDS
def test_a_schema_on_sqlite_ends_every_command(command: Command, tmp_path: Path, name: str) -> None:
    if name not in CREATING:
        command("migrate", GRAPHQL_MFA_SECRET_KEYS=KEY)
    before = {file.name for file in tmp_path.iterdir()}
    ran = command(*name.split(), GRAPHQL_MFA_DATABASE_SCHEMA="sign_in", GRAPHQL_MFA_SECRET_KEYS=KEY)
    _is_one_line_about_the_database(ran, "SQLite has no schemas", 2)
    assert {file.name for file in tmp_path.iterdir()} == before


@postgresql_only
@COMMANDS
@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("tests", 'database "nowhere" does not exist; create it'),
        ("stranger", 'role "stranger" does not exist; check user'),
    ],
    ids=["no such database", "no such user"],
)
def test_a_server_that_refuses_the_connection_ends_every_command(
    command: Command, postgresql: PostgresqlServer, name: str, user: str, message: str
) -> None:
    url = postgresql.url("nowhere").replace("tests@", f"{user}:hunter2@")
    ran = command(*name.split(), GRAPHQL_MFA_DATABASE_URL=url, GRAPHQL_MFA_SECRET_KEYS=KEY)
    _is_one_line_about_the_database(ran, f"The database can't be used: {message}", 2)


@postgresql_only
@pytest.mark.parametrize("name", ["purge", "users list", "keys status"])
def test_a_database_that_is_not_migrated_is_reported(command: Command, postgresql: PostgresqlServer, name: str) -> None:
    url = postgresql.empty_database()
    ran = command(*name.split(), GRAPHQL_MFA_DATABASE_URL=url, GRAPHQL_MFA_SECRET_KEYS=KEY)
    message = "The database is not migrated, no table mfa_version was found in it: run `graphql-mfa migrate`."
    _is_one_line_about_the_database(ran, message, 1)
    postgresql.execute(make_url(url).database or "", "CREATE TABLE mfa_version AS SELECT '0004' AS version_num")
    ran = command(*name.split(), GRAPHQL_MFA_DATABASE_URL=url, GRAPHQL_MFA_SECRET_KEYS=KEY)
    message = (
        f"The database is not migrated, it is at version 0004 and this release needs {HEAD}: run `graphql-mfa migrate`."
    )
    _is_one_line_about_the_database(ran, message, 1)


@postgresql_only
@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "permission denied for schema public at CREATE TABLE"),
        ({"GRAPHQL_MFA_DATABASE_SCHEMA": "sign_in"}, "at CREATE SCHEMA"),
    ],
    ids=["tables", "schema"],
)
def test_a_role_that_may_not_create_can_not_migrate(
    command: Command, postgresql: PostgresqlServer, environment: dict[str, str], message: str
) -> None:
    url = role_without_rights(postgresql, postgresql.empty_database())
    ran = command("migrate", GRAPHQL_MFA_DATABASE_URL=url, **environment)
    _is_one_line_about_the_database(ran, message, 2)
    assert "grant the role this right" in ran.stderr


@postgresql_only
@COMMANDS
def test_a_database_that_can_not_store_every_name_ends_every_command(
    command: Command, postgresql: PostgresqlServer, name: str
) -> None:
    if not postgresql.execute("template1", "SELECT 1 FROM pg_database WHERE datname = 'latin1'"):
        postgresql.execute("template1", "CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    url = postgresql.url("latin1")
    ran = command(*name.split(), GRAPHQL_MFA_DATABASE_URL=url, GRAPHQL_MFA_SECRET_KEYS=KEY)
    _is_one_line_about_the_database(ran, "its encoding is LATIN1, which can't store every name", 2)


@postgresql_only
@COMMANDS
def test_tables_of_another_owner_end_every_command_naming_the_missing_right(
    command: Command, postgresql: PostgresqlServer, name: str
) -> None:
    url = role_without_rights(postgresql, postgresql.migrated_database())
    ran = command(*name.split(), GRAPHQL_MFA_DATABASE_URL=url, GRAPHQL_MFA_SECRET_KEYS=KEY)
    _is_one_line_about_the_database(
        ran, "permission denied for table mfa_version at SELECT; grant the role this right", 2
    )


@postgresql_only
def test_a_right_missing_at_run_time_ends_the_command_with_one_line(
    command: Command, postgresql: PostgresqlServer
) -> None:
    owned = postgresql.migrated_database()
    url = role_without_rights(postgresql, owned)
    database = make_url(owned).database or ""
    postgresql.execute(database, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO limited")
    ran = command("users", "unlock", "alice", GRAPHQL_MFA_DATABASE_URL=url, GRAPHQL_MFA_SECRET_KEYS=KEY)
    _is_one_line_about_the_database(ran, "permission denied for table mfa_users at SELECT FOR UPDATE", 2)
    postgresql.execute(database, "UPDATE mfa_version SET version_num = '0004'")
    _is_one_line_about_the_database(command("migrate", GRAPHQL_MFA_DATABASE_URL=url), "must be owner of table mfa_", 2)


@postgresql_only
def test_migrate_prints_both_versions_and_the_database(command: Command, postgresql: PostgresqlServer) -> None:
    url = make_url(postgresql.empty_database()).set(password="hunter2")

    async def third_version() -> None:
        database = Database(url.render_as_string(hide_password=False))
        await database.write(lambda connection: migrations.upgrade(connection, "0003"))
        await database.close()

    asyncio.run(third_version())
    ran = command("migrate", GRAPHQL_MFA_DATABASE_URL=url.render_as_string(hide_password=False))
    assert ran.stdout.startswith(f"Migrated postgresql+asyncpg:///{url.database}?host=")
    assert ran.stdout.endswith(f" from version 0003 to {HEAD}.\n")
    assert "hunter2" not in ran.output


@postgresql_only
def test_tables_that_block_a_migration_are_named(command: Command, postgresql: PostgresqlServer) -> None:
    url = postgresql.migrated_database()
    postgresql.execute(make_url(url).database or "", "DROP TABLE mfa_version")
    ran = command("migrate", GRAPHQL_MFA_DATABASE_URL=url)
    _is_one_line_about_the_database(ran, 'migrating changed nothing, since relation "mfa_throttles" already exists', 2)


@pytest.mark.parametrize("name", ["migrate", "purge", "users list", "keys status", "keys rotate"])
def test_an_unreachable_server_ends_a_command(command: Command, name: str) -> None:
    url = "postgresql+asyncpg://root:hunter2@127.0.0.1:1/accounts"
    ran = command(*name.split(), GRAPHQL_MFA_DATABASE_URL=url, GRAPHQL_MFA_SECRET_KEYS=KEY)
    _is_one_line_about_the_database(ran, "The database is unavailable: Connection refused.", 1)


def test_a_postgresql_database_needs_a_configured_key(command: Command) -> None:
    ran = command("serve", GRAPHQL_MFA_DATABASE_URL="postgresql+asyncpg://root:hunter2@127.0.0.1:1/accounts")
    _is_wrong_configuration(ran, "Set GRAPHQL_MFA_SECRET_KEYS", "hunter2")


@pytest.mark.parametrize("name", ["serve", "purge"])
def test_a_lost_key_is_not_replaced(command: Command, tmp_path: Path, name: str) -> None:
    command("migrate")
    (tmp_path / "graphql_mfa.db.key").unlink()
    _is_wrong_configuration(command(name), "graphql_mfa.db.key", "mfak_")
    assert not (tmp_path / "graphql_mfa.db.key").exists()


def test_an_unknown_setting_is_reported(command: Command) -> None:
    ran = command("migrate", GRAPHQL_MFA_BCRYPT_ROUND="hunter2")
    assert ran.exit_code == 0
    assert "GRAPHQL_MFA_BCRYPT_ROUND" in ran.stderr
    assert "hunter2" not in ran.output


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "sign-in.example.com"])
def test_serve_dev_refuses_an_address_that_other_machines_reach(command: Command, tmp_path: Path, host: str) -> None:
    _is_wrong_configuration(command("serve", "--dev", "--host", host), "--host must be a loopback address", "hunter2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "advice"), [([], "`--port {}`."), (["--dev"], "`--port {0}`, or `make run PORT={0}`.")]
)
def test_serve_on_a_port_in_use_suggests_a_command(command: Command, options: list[str], advice: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ran = command("serve", *options, "--port", str(port))
    assert ran.exit_code == 1
    assert ran.output == f"Port {port} is in use. Choose another: {advice.format(port + 1)}\n"


def test_serve_with_a_metrics_port_that_is_in_use_names_its_setting(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ran = command("serve", "--port", "0", GRAPHQL_MFA_METRICS_PORT=str(port))
    assert ran.exit_code == 1
    expected = f"Can't show metrics on port {port} of 127.0.0.1: Address already in use."
    assert ran.output == f"{expected} See GRAPHQL_MFA_METRICS_PORT and GRAPHQL_MFA_METRICS_HOST.\n"


def test_serve_on_an_address_of_another_machine_ends_with_one_line(command: Command) -> None:
    ran = command("serve", "--host", "192.0.2.1")
    assert ran.exit_code == 1
    assert ran.output == "Can't listen on port 8000 of 192.0.2.1: Cannot assign requested address.\n"


def test_an_empty_variable_counts_as_unset_and_is_named(command: Command) -> None:
    ran = command("migrate", GRAPHQL_MFA_METRICS_HOST="")
    assert ran.exit_code == 0
    assert ran.stderr == "GRAPHQL_MFA_METRICS_HOST is empty, which counts as unset.\n"


def test_secrets_come_from_files(command: Command, tmp_path: Path) -> None:
    for name, value in (("keys", KEY), ("url", "sqlite+aiosqlite:///test.db")):
        (tmp_path / name).write_text(f"{value}\n")
    files = {"GRAPHQL_MFA_SECRET_KEYS_FILE": "keys", "GRAPHQL_MFA_DATABASE_URL_FILE": "url"}
    command("migrate", **files)
    ran = command("keys", "status", **files)
    assert KeyRing.parse(KEY).current.id.hex() in ran.stdout
    assert (tmp_path / "test.db").exists()
    ran = command("keys", "status", GRAPHQL_MFA_SECRET_KEYS_FILE="nowhere")
    _is_wrong_configuration(ran, "GRAPHQL_MFA_SECRET_KEYS_FILE can't be read: No such file or directory: nowhere", KEY)


def test_a_wrong_configuration_sets_the_exit_code(tmp_path: Path) -> None:
    environment = {"GRAPHQL_MFA_SECRET_KEYS": "hunter2", "GRAPHQL_MFA_LOG_FORMAT": "text"}
    command = [sys.executable, "-m", "graphql_mfa", "serve"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr.startswith("Wrong configuration: ")
    assert "Traceback" not in ran.stderr
    assert "hunter2" not in ran.stderr
