import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from pydantic import SecretStr
from sqlalchemy import NullPool, create_engine

from graphql_mfa import Settings
from graphql_mfa.core.keys import InvalidKeyError, KeyRing, new_key
from graphql_mfa.flows.keys import MissingKeyError, load_key_ring
from graphql_mfa.store import migrations
from tests.store import unprefixed

WORKERS = 20


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An SQLite database and no key set."""
    monkeypatch.delenv("GRAPHQL_MFA_SECRET_KEYS", raising=False)
    return Settings(database_url=f"sqlite+aiosqlite:///{tmp_path}/users.db")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the key belongs."""
    return tmp_path / "users.db.key"


@pytest.fixture
def _generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_generous_umask")
def test_a_key_file_is_created_beside_the_database_for_its_owner_only(settings: Settings, file: Path) -> None:
    ring = load_key_ring(settings)
    assert list(file.parent.iterdir()) == [file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert KeyRing.parse(file.read_text()).current == ring.current


def test_a_key_is_created_once_and_read_afterwards(settings: Settings, file: Path) -> None:
    first = load_key_ring(settings)
    text = file.read_text()
    assert load_key_ring(settings).current == first.current
    assert file.read_text() == text


def test_the_default_database_has_its_key_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAPHQL_MFA_SECRET_KEYS", raising=False)
    monkeypatch.delenv("GRAPHQL_MFA_DATABASE_URL", raising=False)
    load_key_ring(Settings())
    assert [entry.name for entry in tmp_path.iterdir()] == ["graphql_mfa.db.key"]


def test_workers_started_at_once_share_one_key_and_leave_no_other_file(settings: Settings, file: Path) -> None:
    start = Barrier(WORKERS)

    def work(_: int) -> bytes:
        start.wait()
        return load_key_ring(settings).current.id

    with ThreadPoolExecutor(WORKERS) as workers:
        ids = set(workers.map(work, range(WORKERS)))
    assert len(ids) == 1
    assert list(file.parent.iterdir()) == [file]


def test_a_configured_key_is_used_and_no_file_is_created(settings: Settings, file: Path) -> None:
    key = new_key()
    ring = load_key_ring(settings.model_copy(update={"secret_keys": SecretStr(key)}))
    assert ring.current == KeyRing.parse(key).current
    assert list(file.parent.iterdir()) == []


def test_a_configured_key_takes_precedence_over_the_file(settings: Settings) -> None:
    key = new_key()
    made = load_key_ring(settings)
    ring = load_key_ring(settings.model_copy(update={"secret_keys": SecretStr(key)}))
    assert ring.current == KeyRing.parse(key).current != made.current


@pytest.mark.parametrize("key", ["", "correct-horse-battery-staple"])
def test_an_invalid_configured_key_is_refused_rather_than_replaced(settings: Settings, file: Path, key: str) -> None:
    with pytest.raises(InvalidKeyError):
        load_key_ring(settings.model_copy(update={"secret_keys": SecretStr(key)}))
    assert not file.exists()


@pytest.mark.parametrize("text", ["", "correct-horse-battery-staple\n"])
def test_an_invalid_key_file_is_refused_and_kept(settings: Settings, file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(InvalidKeyError):
        load_key_ring(settings)
    assert file.read_text() == text


def test_postgresql_without_a_key_names_the_missing_setting(settings: Settings, file: Path) -> None:
    with pytest.raises(MissingKeyError, match="GRAPHQL_MFA_SECRET_KEYS"):
        load_key_ring(settings.model_copy(update={"database_url": "postgresql+asyncpg://mfa@db/mfa"}))
    assert list(file.parent.iterdir()) == []


def test_a_failed_key_creation_leaves_no_temporary_file(
    settings: Settings, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network and FAT file systems have no hard links."""

    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(PermissionError):
        load_key_ring(settings)
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize("revision", ["0003", migrations.HEAD])
def test_a_lost_key_is_reported_for_stores_of_every_release(settings: Settings, file: Path, revision: str) -> None:
    engine = create_engine(f"sqlite:///{file.with_suffix('')}", poolclass=NullPool)
    with engine.begin() as connection:
        (unprefixed if revision == "0003" else migrations).upgrade(connection, revision)
    with pytest.raises(MissingKeyError, match="restore"):
        load_key_ring(settings)
    assert not file.exists()
