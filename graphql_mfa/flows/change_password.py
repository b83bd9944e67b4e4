"""Set a new password in place of the current one."""

from datetime import timedelta

from graphql_mfa.client import Client
from graphql_mfa.core import passwords
from graphql_mfa.core.problems import Problem
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.usernames import username_key
from graphql_mfa.flows import limits
from graphql_mfa.flows.signed_in import Caller, act, act_freshly
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, challenges, sessions, throttles, users
from graphql_mfa.types.errors import InvalidInput
from graphql_mfa.types.passwords import ChangePasswordResult, PasswordChanged
from graphql_mfa.types.sign_in import InvalidCredentials
from graphql_mfa.types.throttling import RateLimited

_FIELD = "newPassword"


async def change_password(
    services: Services, access_token: str | None, current_password: str, new_password: str, client: Client
) -> ChangePasswordResult:
    """Compare the current password, judge the new one, and store it if the compared one is still there.

    A missing slot before the hashing threads is reported last: after a session that ended or is stale, and after a new
    password with a wrong form.
    """
    settings = services.settings
    problem = passwords.format_problem(
        new_password, shortest=settings.password_min_length, longest=settings.password_max_length, field=_FIELD
    )
    async with services.hashing.slot(client.address) as slot:

        def admit(connection: Connection, caller: Caller) -> Caller | InvalidInput | RateLimited:
            if problem:
                return InvalidInput.of([problem])
            if isinstance(slot, timedelta):
                return RateLimited.until(slot)
            wait = throttles.reserve_all(connection, _counted(services, caller), caller.now)
            return caller if wait is None else RateLimited.until(wait)

        caller = await act_freshly(services, access_token, admit)
        if not isinstance(caller, Caller):
            return caller
        return await _change(services, access_token, caller, current_password, new_password, client)


async def _change(
    services: Services,
    access_token: str | None,
    before: Caller,
    current_password: str,
    new_password: str,
    client: Client,
) -> ChangePasswordResult:
    hashing = services.hashing
    stored_hash = before.user.password_hash
    verdict = await hashing.run(hashing.hasher.verify, current_password, stored_hash)

    def refuse(connection: Connection, caller: Caller) -> InvalidCredentials:
        services.events.record(connection, caller.user.id, caller.now, client, SecurityEventKind.SIGN_IN_FAILED)
        return InvalidCredentials(message="Your current password is wrong.")

    if not verdict.right:
        return await act(services, access_token, refuse)
    if problem := await _judge(services, before.user.account.username, current_password, new_password):
        # It was the right one: whoever chooses an easy password three times has not guessed three times.
        await services.database.write(lambda connection: throttles.give_back(connection, _counted(services, before)))
        return InvalidInput.of([problem])
    new_hash = await hashing.run(hashing.hasher.hash, new_password)

    def replace(connection: Connection, caller: Caller) -> PasswordChanged | InvalidCredentials:
        if caller.user.password_hash != stored_hash:
            return refuse(connection, caller)
        throttles.give_back(connection, _counted(services, caller))
        return _replace(connection, services, caller, new_hash, client)

    return await act(services, access_token, replace)


async def _judge(services: Services, username: str, current_password: str, new_password: str) -> Problem | None:
    return passwords.unchanged_problem(new_password, current_password, field=_FIELD) or await services.hashing.run(
        passwords.guessability_problem,
        new_password,
        name_key=username_key(username),
        fewest_guesses=services.settings.password_min_guesses_log10,
        field=_FIELD,
    )


def _replace(
    connection: Connection, services: Services, caller: Caller, new_hash: str, client: Client
) -> PasswordChanged:
    """Whoever opened a session or a challenge with the old password is out; the session that changes it goes on.

    Codes are switched off since somebody knows the old password. Guesses that did not get that far still count.
    """
    user = caller.user
    users.replace_password_hash(connection, user.id, new_hash)
    events = [SecurityEventKind.PASSWORD_CHANGED]
    if user.otp_disabled:
        users.forget_otp_failures(connection, user.id)
        events += [SecurityEventKind.FACTOR_ENABLED]
    challenges.end_all(connection, user.id)
    ended = sessions.end_others(connection, caller.session.id, user.id, caller.now)
    services.events.record(connection, user.id, caller.now, client, *events)
    return PasswordChanged(sessions_ended=ended)


def _counted(services: Services, caller: Caller) -> limits.Limits:
    return limits.current_password(services.settings, caller.session.id)
