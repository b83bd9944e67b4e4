"""Shared by authenticator apps and passkeys: which factors can answer, and removing one."""

from uuid import UUID

from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.services import Transaction
from graphql_mfa.store import accounts, passkeys, sessions
from graphql_mfa.store.accounts import StoredUser
from graphql_mfa.store.sessions import StoredSession
from graphql_mfa.types.accounts import User
from graphql_mfa.types.errors import shown_id
from graphql_mfa.types.second_factors import FactorRemoved


def usable_factors(
    transaction: Transaction, user: StoredUser, session: StoredSession | None = None
) -> list[FactorKind]:
    """The factors that can answer now: a challenge, or a step-up of that session.

    A session that no password opened needs a passkey that verifies its user.
    """
    accepts_codes = user.otp_wait(transaction.now) is None and not user.otp_disabled
    has_passkey = user.passkeys > 0
    if session and not session.by_password:
        has_passkey = any(passkey.user_verified for passkey in passkeys.of_user(transaction.connection, user.id))
    usable = {
        FactorKind.TOTP: user.devices and accepts_codes,
        FactorKind.PASSKEY: has_passkey and transaction.services.settings.passkey_rp_id,
        FactorKind.RECOVERY_CODE: user.account.recovery_codes_left,
    }
    return [factor for factor, is_usable in usable.items() if is_usable]


def is_last_factor(transaction: Transaction, user_id: UUID, factor: FactorKind) -> bool:
    """Whether no other app or passkey is left without one of this kind. Passkeys don't count while they are off."""
    left = accounts.count_factors(transaction.connection, user_id)
    devices = left.devices - (factor is FactorKind.TOTP)
    other_passkeys = left.passkeys - (factor is FactorKind.PASSKEY)
    return devices == 0 and (other_passkeys == 0 or transaction.services.settings.passkey_rp_id is None)


def factor_removed(
    transaction: Transaction, user: StoredUser, session: StoredSession, factor_id: UUID
) -> FactorRemoved:
    """End or mark the sessions that a removed app or passkey opened or verified.

    The other sessions that it opened or verified last may be a thief's: they end. This session, if it verified the
    factor last, has to verify another one before sensitive operations.
    """
    connection, now = transaction.connection, transaction.now
    ended = sessions.end_others_of_factor(connection, factor_id, session.id, user.id, now)
    if session.verified_by == factor_id:
        sessions.make_stale(connection, session.id, now)
    return FactorRemoved(id=shown_id(factor_id), user=User.of(user.account, session.id), sessions_ended=ended)
