"""Check username and password, and ask for the second factor."""

from datetime import datetime, timedelta

from graphql_mfa.client import Client
from graphql_mfa.core.password_hashing import PasswordVerdict
from graphql_mfa.core.throttling import Refusal
from graphql_mfa.core.usernames import lookup_key
from graphql_mfa.flows import limits
from graphql_mfa.flows.challenges import issue_challenge
from graphql_mfa.flows.second_factor import usable_factors
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, throttles, totp_devices, users
from graphql_mfa.store.users import LockedUser, LoginCandidate
from graphql_mfa.types.sign_in import InvalidCredentials, LoginResult, OtpRequired
from graphql_mfa.types.throttling import RateLimited


async def login(services: Services, username: str, password: str, client: Client) -> LoginResult:
    """Wait for a turn of the hashing threads, then check the password."""
    async with services.hashing.slot(client.address) as slot:
        if isinstance(slot, timedelta):
            return RateLimited.until(slot)
        return await _check(services, username, password, client)


async def _check(services: Services, username: str, password: str, client: Client) -> LoginResult:
    """Count the attempt, compare the password, open a challenge.

    An attempt is counted, and committed, before the password is looked at; a success gives it back. An unknown name
    costs the same statements and the same hash as a known one.
    """
    settings = services.settings
    now = services.clock()
    name_key = lookup_key(username)

    def reserve(connection: Connection) -> tuple[LoginCandidate | None, limits.Limits] | RateLimited:
        candidate = users.find_for_login(connection, name_key, client.address, now)
        knows_address = candidate is not None and candidate.knows_address
        # A name that no account can have is counted as it was typed.
        choices = limits.login(settings, name_key or username, client, knows_address=knows_address)
        counted = throttles.reserve_first(connection, choices, now)
        return RateLimited.by(counted) if isinstance(counted, Refusal) else (candidate, counted)

    reserved = await services.database.write(reserve)
    if isinstance(reserved, RateLimited):
        return reserved
    candidate, counted = reserved
    verdict = await services.hashing.run(
        services.hashing.hasher.verify,
        password,
        candidate.password_hash if candidate else None,
    )
    if candidate is None or not verdict.right:
        user_id = candidate.id if candidate else None
        await services.database.write(
            lambda connection: services.events.record_wrong_password(connection, user_id, now, client)
        )
        return InvalidCredentials()

    def succeed(connection: Connection) -> OtpRequired | InvalidCredentials:
        user = users.lock(connection, candidate.id, now)
        if user is None or user.password_hash != candidate.password_hash:
            return InvalidCredentials()
        throttles.give_back(connection, counted)
        return _ask_for_second_factor(connection, services, user, verdict, now)

    return await services.database.write(succeed)


def _ask_for_second_factor(
    connection: Connection, services: Services, user: LockedUser, verdict: PasswordVerdict, now: datetime
) -> OtpRequired:
    if verdict.new_hash:
        users.replace_password_hash(connection, user.id, verdict.new_hash)
    enabled = user.account.mfa_enabled
    has_device = enabled or bool(totp_devices.of_user(connection, user.id, confirmed=False))
    factors = usable_factors(user, now, has_device=has_device)
    challenge = issue_challenge(connection, services, user.id, now, factors=factors, otp_wait=user.otp_wait(now))
    return OtpRequired(challenge=challenge, enrollment_pending=not enabled)
