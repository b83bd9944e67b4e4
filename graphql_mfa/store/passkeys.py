"""Passkeys: add, find, use, name, remove; and ceremonies that were answered."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    LargeBinary,
    bindparam,
    case,
    delete,
    func,
    select,
    update,
)

from graphql_mfa.core.passkeys import Assertion, CredentialRecord
from graphql_mfa.store import columns_of, find_all, find_one, insert_unless_there
from graphql_mfa.store.accounts import StoredUser, is_live, select_users, update_user, user_of
from graphql_mfa.store.models import KnownAddressRow, PasskeyRow, UsedCeremonyRow, UserRow

_of_user = PasskeyRow.user_id == bindparam("user")
_that_one = (PasskeyRow.id == bindparam("passkey"), _of_user)


@dataclass(frozen=True)
class StoredPasskey(CredentialRecord):
    """A passkey of an account."""

    id: UUID
    name: str
    created_at: datetime
    last_used_at: datetime | None


_columns = columns_of(PasskeyRow, StoredPasskey)


def use_ceremony(connection: Connection, digest: bytes, expires_at: datetime) -> bool:
    """Store that a ceremony was answered: true for exactly one caller."""
    return insert_unless_there(connection, UsedCeremonyRow, {"digest": digest, "expires_at": expires_at})


_HANDLE = select(UserRow.webauthn_handle).where(UserRow.id == bindparam("user"))


def find_handle(connection: Connection, user_id: UUID) -> bytes | None:
    """The handle by which authenticators know the account; None until it first begins to add a passkey."""
    return connection.scalar(_HANDLE, {"user": user_id})


def set_handle(connection: Connection, user_id: UUID, handle: bytes) -> None:
    """Set the account's handle, which never changes. The account's row is locked."""
    connection.execute(update_user, {"user": user_id, "webauthn_handle": handle})


def add(
    connection: Connection, *, id: UUID, user_id: UUID, passkey: CredentialRecord, name: str, now: datetime
) -> StoredPasskey | None:
    """Add a passkey; None if any account has its credential id."""
    added = StoredPasskey(**vars(passkey), id=id, name=name, created_at=now, last_used_at=None)
    return added if insert_unless_there(connection, PasskeyRow, vars(added) | {"user_id": user_id}) else None


_OF_USER = select(*_columns).where(_of_user).order_by(PasskeyRow.created_at, PasskeyRow.id)


def of_user(connection: Connection, user_id: UUID) -> list[StoredPasskey]:
    """The passkeys of the account, oldest first."""
    return find_all(connection, _OF_USER, {"user": user_id}, StoredPasskey)


_LOCK = select(*_columns).where(*_that_one).with_for_update()


def lock(connection: Connection, id: UUID, user_id: UUID) -> StoredPasskey | None:
    """Lock that passkey of that account."""
    return find_one(connection, _LOCK, {"passkey": id, "user": user_id}, StoredPasskey)


_FIND_BY_CREDENTIAL = (
    select(*_columns)
    .join(UserRow, UserRow.id == PasskeyRow.user_id)
    .where(
        PasskeyRow.credential_id == bindparam("credential"),
        _of_user,
        UserRow.webauthn_handle == func.coalesce(bindparam("handle", type_=LargeBinary), UserRow.webauthn_handle),
    )
)


def find_of_user(
    connection: Connection, credential_id: bytes, user_id: UUID, handle: bytes | None
) -> StoredPasskey | None:
    """The account's passkey of that credential id, if the account has that handle; None allows any.

    The account's row is locked.
    """
    given = {"credential": credential_id, "user": user_id, "handle": handle}
    return find_one(connection, _FIND_BY_CREDENTIAL, given, StoredPasskey)


_LOCK_OWNER = (
    select_users.join(PasskeyRow, PasskeyRow.user_id == UserRow.id)
    .where(PasskeyRow.credential_id == bindparam("credential"), is_live)
    .with_for_update(of=UserRow)
)


def lock_owner(connection: Connection, credential_id: bytes, now: datetime) -> StoredUser | None:
    """Lock the account that has that credential id, a disabled one too."""
    return find_one(connection, _LOCK_OWNER, {"credential": credential_id, "now": now}, user_of)


_FIND_KNOWN_OWNER = (
    select(PasskeyRow.user_id)
    .join(KnownAddressRow, KnownAddressRow.user_id == PasskeyRow.user_id)
    .where(PasskeyRow.credential_id == bindparam("credential"), KnownAddressRow.address == bindparam("address"))
)


def find_known_owner(connection: Connection, credential_id: bytes, address: str) -> UUID | None:
    """The account that has that credential id, if it ever signed in from that address."""
    return connection.scalar(_FIND_KNOWN_OWNER, {"credential": credential_id, "address": address})


_counter: BindParameter[int] = bindparam("counter", type_=BigInteger)
_USE = (
    update(PasskeyRow)
    .where(PasskeyRow.id == bindparam("passkey"))
    .values(sign_count=case((PasskeyRow.sign_count < _counter, _counter), else_=PasskeyRow.sign_count))
)


def use(connection: Connection, id: UUID, assertion: Assertion, now: datetime) -> None:
    """Store a right answer. The sign counter never goes back."""
    given = {
        "passkey": id,
        "counter": assertion.sign_count,
        "backed_up": assertion.backed_up,
        "user_verified": assertion.user_verified,
        "last_used_at": now,
    }
    connection.execute(_USE, given)


_RENAME = update(PasskeyRow).where(*_that_one).returning(*_columns)


def rename(connection: Connection, id: UUID, user_id: UUID, name: str) -> StoredPasskey | None:
    """Rename that passkey of that account; None when it has none of that id."""
    return find_one(connection, _RENAME, {"passkey": id, "user": user_id, "name": name}, StoredPasskey)


_REMOVE_ALL = delete(PasskeyRow).where(_of_user)


def remove_all(connection: Connection, user_id: UUID) -> None:
    """Remove every passkey of the account."""
    connection.execute(_REMOVE_ALL, {"user": user_id})


_REMOVE = delete(PasskeyRow).where(PasskeyRow.id == bindparam("passkey"))


def remove(connection: Connection, id: UUID) -> None:
    """Remove a passkey whose account is locked."""
    connection.execute(_REMOVE, {"passkey": id})
