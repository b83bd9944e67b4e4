"""Importing accounts of another system: usernames, password hashes and, where there are any, TOTP secrets."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from uuid import uuid4

from graphql_mfa.core import totp
from graphql_mfa.core.accounts import Username, parse_username
from graphql_mfa.core.inputs import Problem, is_text
from graphql_mfa.core.passwords import stored_cost
from graphql_mfa.core.recovery_codes import new_recovery_code
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows.totp import enrollment_code_digest, seal_secret
from graphql_mfa.services import OPERATOR, Services, Transaction
from graphql_mfa.settings import HIGHEST_BCRYPT_ROUNDS, Settings
from graphql_mfa.store import accounts
from graphql_mfa.store.totp import add as add_device

_BATCH_LINES = 500
_REQUIRED = ("username", "passwordHash")
_MEMBERS = (*_REQUIRED, "totpSecret", "createdAt")
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class NewUser:
    """A valid line. totp_secret: in base32; None for an account that has to enroll first."""

    line: int
    name: Username
    password_hash: str
    totp_secret: str | None
    created_at: datetime


@dataclass(frozen=True)
class Imported:
    """An imported account. enrollment_code: for its owner, if it has no second factor. warning: a weakness of it."""

    line: int
    username: str
    enrollment_code: str | None
    warning: str | None


@dataclass(frozen=True)
class Refused:
    """A line that was not imported. The reason repeats nothing of it but the name of an unknown member."""

    line: int
    reason: str


async def import_users(services: Services, lines: Iterable[str]) -> AsyncIterator[Imported | Refused]:
    """Import accounts, 500 lines in each transaction. Each outcome is committed before it is yielded.

    When it is run again after an interruption, the usernames that it imported before are taken.
    """
    settings, now = services.settings, services.clock()
    parsed = (_parse(number, line, settings, now) for number, line in enumerate(lines, 1) if line.strip())
    while batch := list(islice(parsed, _BATCH_LINES)):
        for outcome in await services.write(OPERATOR, partial(_add, batch=batch)):
            yield outcome


def _parse(number: int, line: str, settings: Settings, now: datetime) -> NewUser | Refused:
    if not is_text(line):
        return Refused(number, "it is not UTF-8")
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        return Refused(number, "it is not JSON")
    if not isinstance(given, dict):
        return Refused(number, "it is not a JSON object")
    for member, value in given.items():
        if member not in _MEMBERS:
            shown = json.dumps(member[:_SHOWN_CHARACTERS])
            return Refused(number, f"it has an unknown member {shown}; known are {', '.join(_MEMBERS)}")
        if value is not None and not isinstance(value, str):
            return Refused(number, f"its {member} is not a string")
    given = {member: value for member, value in given.items() if value is not None}
    for member in _REQUIRED:
        if member not in given:
            return Refused(number, f"it has no {member}")
    name = parse_username(
        given["username"], shortest=settings.username_min_length, longest=settings.username_max_length
    )
    if isinstance(name, Problem):
        return Refused(number, name.message)
    cost = stored_cost(given["passwordHash"])
    if cost is None:
        return Refused(number, "its passwordHash is not a bcrypt hash")
    # Cheaper hashes are padded to the work of the others; a more expensive one would show by its time.
    if cost > HIGHEST_BCRYPT_ROUNDS:
        return Refused(
            number,
            f"its passwordHash has cost {cost}, and the highest supported is {HIGHEST_BCRYPT_ROUNDS}: lower the cost "
            "in the exporting system, and export it again once its owner has signed in there",
        )
    if cost > settings.bcrypt_rounds:
        return Refused(number, f"its passwordHash has cost {cost}: raise GRAPHQL_MFA_BCRYPT_ROUNDS to that first")
    secret = None
    if "totpSecret" in given:
        secret = totp.parse_secret(given["totpSecret"])
        if secret is None:
            return Refused(number, "its totpSecret is not base32 of at least 80 bits (16 characters)")
    created_at = now
    if "createdAt" in given:
        try:
            created_at = datetime.fromisoformat(given["createdAt"])
            has_offset = created_at.tzinfo is not None
            # The first and the last representable day may be out of range in UTC.
            created_at = created_at.astimezone(UTC)
        except (ValueError, OverflowError):
            return Refused(number, "its createdAt is not a date and time")
        if not has_offset or created_at > now:
            return Refused(number, "its createdAt has no offset from UTC, or is in the future")
    return NewUser(number, name, given["passwordHash"], secret, created_at)


def _add(transaction: Transaction, batch: list[NewUser | Refused]) -> list[Imported | Refused]:
    refused = [entry for entry in batch if isinstance(entry, Refused)]
    new = [entry for entry in batch if isinstance(entry, NewUser)]
    # One order for all imports, so that they can't deadlock. Of two lines with one username, the first one counts.
    new.sort(key=lambda entry: entry.name.key)
    outcomes = [*refused, *(_add_one(transaction, entry) for entry in new)]
    return sorted(outcomes, key=lambda outcome: outcome.line)


def _add_one(transaction: Transaction, entry: NewUser) -> Imported | Refused:
    connection, now = transaction.connection, transaction.now
    user_id = uuid4()
    code = None if entry.totp_secret else new_recovery_code()
    added = accounts.import_row(
        connection,
        {
            "id": user_id,
            "password_hash": entry.password_hash,
            "created_at": entry.created_at,
            "mfa_enabled_at": now if entry.totp_secret else None,
            "enrollment_code_digest": enrollment_code_digest(code) if code else None,
        },
        entry.name,
        now,
    )
    if not added:
        if accounts.is_reserved(connection, entry.name.key, now):
            reason = "its username is reserved after the deletion of an account; `users release-name` releases it"
            return Refused(entry.line, reason)
        return Refused(entry.line, "its username is taken")
    if entry.totp_secret:
        device = totp.Device(uuid4(), totp.DEFAULT_DEVICE_NAME, confirmed=True, created_at=now)
        sealed_secret = seal_secret(transaction.services.key_ring, device.id, entry.totp_secret)
        add_device(connection, device, user_id, sealed_secret)
    transaction.record(user_id, SecurityEventKind.IMPORTED_BY_OPERATOR)
    return Imported(entry.line, entry.name.shown, code, "; ".join(_warnings(entry, added)) or None)


def _warnings(entry: NewUser, added: accounts.Added) -> Iterator[str]:
    """Why the account could not be registered with this secret or name."""
    if entry.totp_secret and (bits := totp.secret_bits(entry.totp_secret)) < totp.RECOMMENDED_SECRET_BITS:
        yield (
            f"its totpSecret has {bits} bits, less than the {totp.RECOMMENDED_SECRET_BITS} of RFC 4226: ask its owner "
            "to add the authenticator app again, and to remove this one"
        )
    if added.lookalike:
        yield "its username looks like that of another account"
    elif entry.name.mixes_scripts:
        yield "its username mixes scripts, such as Latin and Cyrillic"
