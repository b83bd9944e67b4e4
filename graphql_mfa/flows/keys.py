"""The key ring: where it is loaded from, what each key is needed for, and re-encryption with the current one."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from uuid import UUID

from graphql_mfa.core.keys import InvalidKeyError, KeyRing, SealBrokenError, new_key
from graphql_mfa.flows.sessions import REFRESH_RETRY_TIME
from graphql_mfa.flows.totp import seal_secret, secret_of
from graphql_mfa.settings import Settings
from graphql_mfa.store import Connection, keys
from graphql_mfa.store.database import Database, is_of_another_program, sqlite_file
from graphql_mfa.store.outages import UnsupportedDatabaseError


class MissingKeyError(ValueError):
    """No key is set, and no key file is created: the database is shared, or was written with another key."""


def load_key_ring(settings: Settings, *, shared: bool = False) -> KeyRing:
    """The key ring of a deployment. With SQLite and no setting, a key file is created beside the database.

    shared: the database is a host's, so no key file is created. Raises MissingKeyError, InvalidKeyError,
    UnsupportedDatabaseError and UnavailableError.
    """
    database = None if shared else sqlite_file(settings.database_url)
    if settings.secret_keys is not None:
        return _parse(settings.secret_keys.get_secret_value(), "GRAPHQL_MFA_SECRET_KEYS")
    if database is None:
        raise MissingKeyError(
            "Set GRAPHQL_MFA_SECRET_KEYS to a key from `graphql-mfa new-key`, the same on all servers."
        )
    file = database.with_name(f"{database.name}.key")
    # In this order, since another process that starts creates the key before the database.
    used = database.exists() and database.stat().st_size > 0
    if not file.exists():
        if used and is_of_another_program(database):
            raise UnsupportedDatabaseError(
                f"{database} is another program's database: choose a file of its own in GRAPHQL_MFA_DATABASE_URL, or "
                "set GRAPHQL_MFA_SECRET_KEYS to share it."
            )
        if used:
            raise MissingKeyError(
                f"{database} was written with a key that is not here: restore {file}, or set GRAPHQL_MFA_SECRET_KEYS."
            )
        _create(file)
    return _parse(file.read_text(), str(file))


def _parse(text: str, source: str) -> KeyRing:
    try:
        return KeyRing.parse(text)
    except InvalidKeyError as error:
        raise InvalidKeyError(f"{source}: {error}") from None


def _create(file: Path) -> None:
    """Create the file atomically. When several processes start at once, all of them read the first one's key."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(f"{new_key()}\n")
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()


class KeyPlace(StrEnum):
    """Where a key is in the ring. SPARE: a new key that will be moved to the front, or an old one."""

    CURRENT = "current"
    SPARE = "spare"
    DECRYPT_ONLY = "decrypt-only"
    MISSING = "missing"


@dataclass(frozen=True)
class KeyUsage:
    """The secrets that a key encrypts, and the live sessions whose tokens it made and that are still accepted."""

    id: bytes
    place: KeyPlace
    secrets: int
    sessions: int


async def key_usage(database: Database, ring: KeyRing, settings: Settings, now: datetime) -> list[KeyUsage]:
    """Every key of the ring in its order, then the missing ones that something was encrypted or signed with."""
    # How long a session's access token is checked with its key, and how long the pair is repeated.
    since = now - timedelta(seconds=max(settings.access_token_seconds, settings.refresh_grace_seconds))
    retries_since = now - REFRESH_RETRY_TIME

    def count(connection: Connection) -> tuple[dict[bytes, int], dict[bytes, int]]:
        return keys.count_secrets(connection), keys.count_sessions(connection, now, since, retries_since)

    sealed, tokens = await database.read(count)
    in_ring = [key.id for key in ring.keys]
    missing = sorted((sealed.keys() | tokens.keys()) - set(in_ring))

    def usage(id: bytes) -> KeyUsage:
        key = ring.get(id)
        if key is None:
            place = KeyPlace.MISSING
        elif key.decrypt_only:
            place = KeyPlace.DECRYPT_ONLY
        else:
            place = KeyPlace.CURRENT if key is ring.current else KeyPlace.SPARE
        # Tokens of a leaked key are not accepted.
        live = 0 if place is KeyPlace.DECRYPT_ONLY else tokens.get(id, 0)
        return KeyUsage(id, place, sealed.get(id, 0), live)

    return [usage(key_id) for key_id in in_ring + missing]


BATCH_ROWS = 500


@dataclass(frozen=True)
class ReEncrypted:
    """A batch: how many secrets were re-encrypted, and why the others could not be."""

    count: int
    faults: list[str]


async def rotate_keys(database: Database, ring: KeyRing) -> AsyncIterator[ReEncrypted]:
    """Re-encrypt the secrets of the ring's other keys with the current one, in small transactions.

    After an interruption, another run continues. A secret that can't be decrypted is left as it is.
    """
    for key_id in await database.read(keys.sealing_keys):
        if key_id == ring.current.id or ring.get(key_id) is None:
            continue
        after = UUID(int=0)
        while devices := await database.read(partial(keys.sealed_by_key, key_id=key_id, after=after, rows=BATCH_ROWS)):
            sealed, faults = [], []
            for device in devices:
                try:
                    sealed.append((device, seal_secret(ring, device.id, secret_of(ring, device))))
                except SealBrokenError as error:
                    faults.append(str(error))
            await database.write(partial(keys.re_encrypt, devices=sealed))
            yield ReEncrypted(len(sealed), faults)
            after = devices[-1].id
