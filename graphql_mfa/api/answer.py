"""What a mutation answers: the outcome as a type, and what goes with it in the headers."""

from graphql_mfa.api import errors, results
from graphql_mfa.api.present import Outcome, Result, present
from graphql_mfa.context import Info
from graphql_mfa.http import cookie_mode
from graphql_mfa.http.signed_in import tell_of_invalid_token


def answer(info: Info, outcome: Outcome, *, refused_cookie: bool = False) -> Result:
    """Present the outcome of a use case.

    refused_cookie: where the outcome is a refusal, the refresh token in the cookie was refused, or there was none.
    """
    now = info.context.services.clock()
    result = present(outcome, now)
    if isinstance(result, results.SignInSuccess):
        cookie_mode.move_to_cookie(info.context, result.tokens, now)
    elif _ends_this_session(result) or (
        refused_cookie and isinstance(result, errors.SessionExpired | errors.NotAuthenticated)
    ):
        cookie_mode.forget(info.context)
    if isinstance(result, errors.NotAuthenticated):
        tell_of_invalid_token(info.context)
    return result


def _ends_this_session(result: Result) -> bool:
    if isinstance(result, results.SessionRevoked):
        return result.id == str(result.user.session_id)
    return isinstance(result, results.LogoutSuccess | results.AccountDeleted)
