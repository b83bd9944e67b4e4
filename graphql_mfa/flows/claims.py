"""Claims of the host in access tokens."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from functools import wraps
from inspect import isawaitable
from typing import Any, Concatenate, ParamSpec, TypeVar

from graphql_mfa.services import Claims, ClaimsRequest, Services
from graphql_mfa.store.database import RolledBackError

P = ParamSpec("P")
T = TypeVar("T")


class ClaimsNeededError(RolledBackError):
    """A transaction is about to issue an access token, for which the host has not been asked for claims yet."""

    def __init__(self, request: ClaimsRequest) -> None:
        """request: what to ask."""
        super().__init__()
        self.request = request


def claims_for(services: Services, request: ClaimsRequest) -> Mapping[str, object]:
    """The host's claims for a token. Raises ClaimsNeededError in a use case that has to ask first."""
    if services.claims is None:
        return {}
    if request not in services.given_claims:
        raise ClaimsNeededError(request)
    return services.given_claims[request]


def asking_for_claims(
    use_case: Callable[Concatenate[Services, P], Awaitable[T]],
) -> Callable[Concatenate[Services, P], Coroutine[Any, Any, T]]:
    """Ask the host for claims between two runs of a use case that issues an access token.

    The first run verifies everything, and its transaction is rolled back where it would sign. The second one commits.
    So the host is asked outside of a transaction and for verified users only, and if it fails, or the client leaves,
    nothing is consumed: the client repeats the same request. Wrong answers are counted in the first run.

    The clock stands still meanwhile: a code that is right in the first run is right in the second.
    """

    @wraps(use_case)
    async def run(services: Services, /, *args: P.args, **kwargs: P.kwargs) -> T:
        claims = services.claims
        if claims is None:
            return await use_case(services, *args, **kwargs)
        now = services.clock()
        services = replace(services, clock=lambda: now, given_claims={})
        while True:  # again when the session changed meanwhile, so that no token has claims for another request
            try:
                return await use_case(services, *args, **kwargs)
            except ClaimsNeededError as needed:
                request = needed.request
            services.given_claims[request] = await _ask(claims, request)  # here, so that its errors have no context

    return run


async def _ask(claims: Claims, request: ClaimsRequest) -> Mapping[str, object]:
    answer = claims(request)
    return await answer if isawaitable(answer) else answer
