"""graphql_mfa on a host's own engine, in the database that the host uses too."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiosqlite
import asyncpg
import pytest
from fastapi import FastAPI
from sqlalchemy import AsyncAdaptedQueuePool, Connection, StaticPool, event, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import graphql_mfa
from graphql_mfa import GraphQLMFA, Settings
from graphql_mfa.flows.keys import MissingKeyError
from graphql_mfa.store.outages import UnsupportedDatabaseError
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine, postgresql_only, sqlite_only

pytestmark = on_each_engine

PARALLEL = 10  # an account has as many challenges at most


@pytest.fixture
async def engine_of_host(database_url: str) -> AsyncIterator[AsyncEngine]:
    """As a host creates it, with a table of the host's own."""
    engine = create_async_engine(database_url)
    if engine.dialect.name == "sqlite":
        graphql_mfa.configure_sqlite(engine)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE notes (body TEXT)"))
    yield engine
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE notes"))
    await engine.dispose()


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    """Settings whose URL leads nowhere."""
    return make_settings(database_url="nonsense")


async def add_note(engine: AsyncEngine, body: str = "milk") -> None:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO notes VALUES (:body)"), {"body": body})


async def notes(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM notes")) or 0)


def serve(mfa: GraphQLMFA) -> FastAPI:
    app = FastAPI()
    app.include_router(mfa.router())
    return app


async def test_a_sign_in_runs_on_the_hosts_engine_which_stays_usable(
    engine_of_host: AsyncEngine, settings: Settings, clock: Clock, connect: Connect
) -> None:
    mfa = GraphQLMFA(settings, engine=engine_of_host, clock=clock)
    for username in ("alice", "bob"):
        async with mfa.lifespan():
            api = connect(serve(mfa))
            member = await api.member(username)
            assert (await api.refresh(member.refresh_token))["user"]["username"] == username
        # The host's transactions are as they were: a rollback undoes them.
        async with engine_of_host.connect() as connection:
            await connection.execute(text("INSERT INTO notes VALUES ('eggs')"))
            await connection.rollback()
        await add_note(engine_of_host)
    assert await notes(engine_of_host) == 2


async def test_parallel_uses_of_one_code_have_one_winner_while_the_host_writes(
    engine_of_host: AsyncEngine, settings: Settings, clock: Clock, connect: Connect
) -> None:
    mfa = GraphQLMFA(settings, engine=engine_of_host, clock=clock)
    async with mfa.lifespan():
        api = connect(serve(mfa))
        member = await api.member()
        challenges = [await api.challenge() for _ in range(PARALLEL)]
        results = await asyncio.gather(
            *(api.verify_recovery_code(challenge, member.recovery_codes[0]) for challenge in challenges),
            *(add_note(engine_of_host) for _ in range(PARALLEL)),
        )
    outcomes = [result["__typename"] for result in results if result]
    assert outcomes.count("SignedIn") == 1
    assert outcomes.count("InvalidRecoveryCode") == PARALLEL - 1
    assert await notes(engine_of_host) == PARALLEL


def keys_in(folder: Path) -> list[Path]:
    return list(folder.glob("*.key"))


async def test_no_key_file_is_created_beside_the_hosts_database(
    engine_of_host: AsyncEngine, settings: Settings, tmp_path: Path
) -> None:
    mfa = GraphQLMFA(settings.model_copy(update={"secret_keys": None}), engine=engine_of_host)
    with pytest.raises(MissingKeyError, match="GRAPHQL_MFA_SECRET_KEYS"):
        async with mfa.lifespan():
            pass
    assert keys_in(tmp_path) == []


def on_connect(engine: AsyncEngine, statement: str) -> None:
    event.listen(engine.sync_engine, "connect", lambda connection, _: connection.execute(statement))


def begin_in_an_event(engine: AsyncEngine) -> None:
    """As SQLAlchemy's documentation of SQLite shows it, for savepoints."""

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    graphql_mfa.configure_sqlite(engine)
    event.listen(engine.sync_engine, "begin", begin)


def configure_without(statement: str) -> Callable[[AsyncEngine], None]:
    def configure(engine: AsyncEngine) -> None:
        graphql_mfa.configure_sqlite(engine)
        on_connect(engine, statement)

    return configure


LINE = r".*`graphql_mfa\.configure_sqlite\(engine\)`"


@sqlite_only
@pytest.mark.parametrize(
    ("configure", "options", "refusal"),
    [
        (lambda _: None, {}, rf"\(foreign_keys\){LINE}"),  # the file is in WAL, and FULL is SQLite's default
        (configure_without("PRAGMA busy_timeout = 0"), {}, rf"\(busy_timeout\){LINE}"),
        (configure_without("PRAGMA journal_mode = DELETE"), {}, rf"\(journal_mode\){LINE}"),
        (configure_without("PRAGMA synchronous = NORMAL"), {}, rf"\(synchronous\){LINE}"),
        (begin_in_an_event, {}, "begins transactions by an event"),
        (graphql_mfa.configure_sqlite, {"poolclass": StaticPool}, "StaticPool"),
    ],
    ids=["defaults", "no wait for writers", "no WAL", "no sync", "begin event", "one connection for all"],
)
async def test_an_engine_that_would_lose_writes_is_refused(
    database_url: str,
    settings: Settings,
    configure: Callable[[AsyncEngine], None],
    options: dict[str, Any],
    refusal: str,
) -> None:
    engine = create_async_engine(database_url, **options)
    configure(engine)
    with pytest.raises(UnsupportedDatabaseError, match=refusal):
        async with GraphQLMFA(settings, engine=engine).lifespan():
            pass
    await engine.dispose()


@sqlite_only
@pytest.mark.parametrize("name", ["", "/file:test?mode=memory&cache=shared&uri=true"])
async def test_an_engine_in_memory_is_refused(settings: Settings, name: str) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite://{name}", poolclass=AsyncAdaptedQueuePool)
    graphql_mfa.configure_sqlite(engine)
    with pytest.raises(UnsupportedDatabaseError, match="in memory"):
        async with GraphQLMFA(settings, engine=engine).lifespan():
            pass
    await engine.dispose()


@sqlite_only
@pytest.mark.parametrize("level", ["IMMEDIATE", None])
async def test_the_hosts_own_transactions_begin_as_the_host_configured(
    database_url: str, settings: Settings, level: str | None
) -> None:
    engine = create_async_engine(database_url, pool_size=1, connect_args={"isolation_level": level})
    graphql_mfa.configure_sqlite(engine)
    async with GraphQLMFA(settings, engine=engine).lifespan():
        pass
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        assert driver.isolation_level == level
    await engine.dispose()


@sqlite_only
async def test_an_engine_with_stricter_settings_is_accepted(database_url: str, settings: Settings) -> None:
    engine = create_async_engine(database_url)
    configure_without("PRAGMA synchronous = EXTRA")(engine)
    async with GraphQLMFA(settings, engine=engine).lifespan():
        pass
    await engine.dispose()


@sqlite_only
async def test_an_engine_of_another_database_is_refused(settings: Settings) -> None:
    driver = SimpleNamespace(paramstyle="qmark", version="1", Cursor=object)
    engine = create_async_engine("mssql+aioodbc://root:hunter2@db/test?driver=any", module=driver)
    with pytest.raises(UnsupportedDatabaseError, match=r"sqlite\+aiosqlite, postgresql\+asyncpg") as refusal:
        async with GraphQLMFA(settings, engine=engine).lifespan():
            pass
    assert "hunter2" not in str(refusal.value)


async def test_migrate_uses_the_hosts_engine(fresh_url: str, settings: Settings) -> None:
    url = make_url(fresh_url)

    async def connect() -> Any:
        if url.drivername == "sqlite+aiosqlite":
            return await aiosqlite.connect(url.database or "")
        return await asyncpg.connect(user=url.username, database=url.database, host=str(url.query["host"]))

    engine = create_async_engine(url.set(database="/nowhere", query={}), async_creator=connect)
    if engine.dialect.name == "sqlite":
        graphql_mfa.configure_sqlite(engine)
    mfa = GraphQLMFA(settings, engine=engine)
    await mfa.migrate()
    async with mfa.lifespan():
        assert await mfa.services.database.require_migrated()
    await engine.dispose()


@postgresql_only
async def test_our_transactions_are_read_committed_and_the_hosts_unchanged(
    database_url: str, settings: Settings
) -> None:
    def level(connection: Connection) -> object:
        return connection.scalar(text("SHOW transaction_isolation"))

    engine = create_async_engine(database_url, isolation_level="SERIALIZABLE", pool_size=1)
    mfa = GraphQLMFA(settings, engine=engine)
    async with mfa.lifespan():
        assert await mfa.services.database.write(level) == "read committed"
        async with engine.connect() as connection:
            assert await connection.run_sync(level) == "serializable"
    await engine.dispose()
