"""Recovery codes: making a set, and using one up."""

from dataclasses import replace
from uuid import UUID

from graphql_mfa.core.accounts import FactorKind, Proof
from graphql_mfa.core.recovery_codes import RECOVERY_CODE_COUNT, new_recovery_code, parse_recovery_code
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.tokens import Purpose, digest
from graphql_mfa.flows import limits
from graphql_mfa.flows.signed_in import Caller, run_with_recent_mfa
from graphql_mfa.services import Call, Transaction
from graphql_mfa.store import Connection, recovery_codes, sessions, throttles
from graphql_mfa.store.accounts import StoredUser
from graphql_mfa.store.sign_in import LockedChallenge
from graphql_mfa.types.accounts import User
from graphql_mfa.types.errors import RateLimited
from graphql_mfa.types.recovery_codes import InvalidRecoveryCode, RecoveryCodes, RegenerateRecoveryCodesResult


async def regenerate_recovery_codes(call: Call) -> RegenerateRecoveryCodesResult:
    """Replace the set; the old codes are dead at once. Of parallel requests, the codes of the last one stay.

    The account's other sessions have to verify a second factor again before sensitive operations: it may have been one
    of the old codes that they verified.
    """

    def regenerate(transaction: Transaction, caller: Caller) -> RecoveryCodes:
        account, session_id = caller.user.account, caller.session.id
        codes = replace_recovery_codes(transaction, account.id)
        sessions.make_others_stale(transaction.connection, session_id, account.id, transaction.now)
        transaction.record(account.id, SecurityEventKind.RECOVERY_CODES_REGENERATED)
        account = replace(account, recovery_codes_left=len(codes))
        return RecoveryCodes(recovery_codes=codes, user=User.of(account, session_id))

    return await run_with_recent_mfa(call, regenerate)


def replace_recovery_codes(transaction: Transaction, user_id: UUID) -> list[str]:
    """A new set in place of the old one. The codes are shown this once."""
    codes = [new_recovery_code() for _ in range(RECOVERY_CODE_COUNT)]
    recovery_codes.replace(transaction.connection, user_id, [_digest(code) for code in codes])
    return codes


def answer_with_recovery_code(
    transaction: Transaction, user: StoredUser, recovery_code: str, challenge: LockedChallenge | None = None
) -> Proof | InvalidRecoveryCode | RateLimited:
    """Use a code up, as typed, or count the attempt.

    The waits for one-time codes don't apply to recovery codes, nor the other way round. challenge: the one that the
    code answers; None in a session.
    """
    connection, counted = transaction.connection, limits.recovery_code(user.id, transaction.client.address)
    if wait := transaction.limit(counted):
        return RateLimited.until(wait)
    if not consume_recovery_code(connection, user.id, recovery_code):
        transaction.record(user.id, SecurityEventKind.SIGN_IN_FAILED, factor=FactorKind.RECOVERY_CODE)
        attempts_left = challenge.attempts_left if challenge else throttles.attempts_left(connection, counted)
        return InvalidRecoveryCode.of(attempts_left, in_session=challenge is None)
    transaction.release(counted)
    transaction.record(user.id, SecurityEventKind.RECOVERY_CODE_USED, factor=FactorKind.RECOVERY_CODE)
    return Proof(FactorKind.RECOVERY_CODE)


def consume_recovery_code(connection: Connection, user_id: UUID, raw: str) -> bool:
    """Use a code up, as typed: true for exactly one caller."""
    return recovery_codes.consume(connection, user_id, _digest(raw))


def lock_recovery_code(connection: Connection, user_id: UUID, raw: str) -> bool:
    """Whether the account has that code, as typed; other transactions can't use it up meanwhile."""
    return recovery_codes.lock(connection, user_id, _digest(raw))


def _digest(raw: str) -> bytes:
    """The digest of a code, as typed; a text of another form has the digest of no code."""
    return digest(Purpose.RECOVERY_CODE, parse_recovery_code(raw) or "")
