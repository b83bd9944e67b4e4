"""Verify a second factor again within a session."""

from dataclasses import replace
from uuid import UUID

from graphql_mfa.client import Client
from graphql_mfa.core.accounts import Account, FactorKind
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows import limits
from graphql_mfa.flows.claims import asking_for_claims
from graphql_mfa.flows.recovery_codes import consume_recovery_code
from graphql_mfa.flows.second_factor import Verified, answer_with_otp, attempts_before_a_wait, otp_refusal
from graphql_mfa.flows.sessions import access_token_of
from graphql_mfa.flows.signed_in import Caller, act_counted
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, sessions, throttles, totp_devices, users
from graphql_mfa.types.accounts import User
from graphql_mfa.types.recovery_codes import InvalidRecoveryCode
from graphql_mfa.types.sessions import Reauthenticated, seconds_until
from graphql_mfa.types.sign_in import ReauthenticateResult
from graphql_mfa.types.throttling import RateLimited
from graphql_mfa.types.totp import FactorDisabled, InvalidOtp, OtpAlreadyUsed


@asking_for_claims
async def reauthenticate(
    services: Services, access_token: str | None, otp: str | None, recovery_code: str | None, client: Client
) -> ReauthenticateResult:
    """Count and compare as at sign-in, then renew the session's `auth_time`; its refresh token stays as it is.

    Give one of the two: a one-time code or a recovery code.
    """

    def transact(connection: Connection, caller: Caller) -> ReauthenticateResult:
        if otp is not None:
            answer = _answer_with_otp(connection, services, caller, otp, client)
            if not isinstance(answer, Verified):
                return answer
            return _renew(connection, services, caller, caller.user.account, FactorKind.TOTP, answer.device_id)
        if refusal := _answer_with_code(connection, services, caller, recovery_code or "", client):
            return refusal
        account = users.find(connection, caller.user.id)
        return _renew(connection, services, caller, account, FactorKind.RECOVERY_CODE)

    return await act_counted(services, access_token, transact)


def _answer_with_otp(
    connection: Connection, services: Services, caller: Caller, otp: str, client: Client
) -> Verified | InvalidOtp | OtpAlreadyUsed | FactorDisabled | RateLimited:
    user = caller.user
    if refusal := otp_refusal(user, caller.now):
        return refusal
    devices = totp_devices.of_user(connection, user.id, confirmed=True)
    attempts_left = attempts_before_a_wait(services.settings, user)
    repeated = user.otp_failures > 0
    return answer_with_otp(
        connection, services, user, devices, otp, client, caller.now, attempts_left, repeated=repeated
    )


def _answer_with_code(
    connection: Connection, services: Services, caller: Caller, code: str, client: Client
) -> InvalidRecoveryCode | RateLimited | None:
    counted = limits.recovery_code(services.settings, caller.user.id, client.address)
    if wait := throttles.reserve_all(connection, counted, caller.now):
        return RateLimited.until(wait)
    if not consume_recovery_code(connection, caller.user.id, code):
        services.events.record(connection, caller.user.id, caller.now, client, SecurityEventKind.SIGN_IN_FAILED)
        return InvalidRecoveryCode.of(throttles.attempts_left(connection, counted))
    throttles.give_back(connection, counted)
    services.events.record(connection, caller.user.id, caller.now, client, SecurityEventKind.RECOVERY_CODE_USED)
    return None


def _renew(
    connection: Connection,
    services: Services,
    caller: Caller,
    account: Account,
    factor: FactorKind,
    device_id: UUID | None = None,
) -> Reauthenticated:
    factors = tuple(dict.fromkeys((*caller.session.factors, factor)))
    session = replace(caller.session, authenticated_at=caller.now, factors=factors, verified_by=device_id)
    sessions.reauthenticate(connection, session)
    token, expires_at = access_token_of(services, account, session, caller.now, services.key_ring.current)
    return Reauthenticated(
        access_token=token,
        access_token_expires_at=expires_at,
        access_token_expires_in=seconds_until(expires_at, caller.now),
        user=User.of(account, session.id),
    )
