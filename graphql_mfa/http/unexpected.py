"""Logging what clients see masked, once, and nothing that a client sent."""

import logging
import traceback
from collections.abc import Iterator

from graphql_mfa.core.access_tokens import InvalidClaimsError
from graphql_mfa.store.outages import UnavailableError

_log = logging.getLogger("graphql_mfa")


def log_unexpected(error: BaseException, where: str) -> None:
    """Log where an exception and its causes came from, but not their messages: one can hold a password.

    Errors with messages of ours are logged in one line instead.
    """
    if isinstance(error, UnavailableError | InvalidClaimsError):
        # Their messages are ours, and hold nothing that was sent.
        _log.error("%s: %s", where, error)
        return
    _log.error("Unexpected error in %s:\n%s", where, trace_of(error))


def trace_of(error: BaseException) -> str:
    """Frames and types as Python prints them, without what the exceptions say."""
    return "".join(_trace(error))


def _trace(error: BaseException) -> Iterator[str]:
    """The cause first."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause:
        yield from _trace(cause)
        yield "which led to\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}\n"
