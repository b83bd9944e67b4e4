"""Loading the key ring from the setting, or from a key file beside an SQLite database."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from graphql_mfa.core.keys import InvalidKeyError, KeyRing, new_key
from graphql_mfa.settings import Settings
from graphql_mfa.store.database import is_of_another_program, sqlite_file
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
        raise MissingKeyError("Set GRAPHQL_MFA_SECRET_KEYS to a key from `graphql-mfa new-key`, the same everywhere.")
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
