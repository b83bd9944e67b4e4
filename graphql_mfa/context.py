"""The context of a GraphQL request, for resolvers."""

from dataclasses import dataclass, field

import strawberry
from starlette.datastructures import MutableHeaders
from starlette.requests import Request

from graphql_mfa.services import Authenticated, Call, Client, Services

INVALID_TOKEN = 'Bearer error="invalid_token"'


@dataclass
class RequestContext:
    """One GraphQL request.

    request_id: in the log and the response. access_token: None without an Authorization header. refresh_cookie: the
    refresh token in cookie mode. session: set by the field extension RequireSession. listed_bytes: the size of the
    lists in the response. uses_cookie: whether the current field uses the refresh token of the cookie. operation,
    outcomes: for the log, as in "mutation Login" and [("login", "OtpRequired")]. error_codes, reason: for the log, the
    distinct codes of the response's errors, and the message of a refusal, which contains no value of the request.
    """

    request: Request
    request_id: str
    services: Services
    client: Client
    access_token: str | None
    refresh_cookie: str | None = None
    operation_name: str | None = None
    session: Authenticated | None = None
    listed_bytes: int = 0
    uses_cookie: bool = False
    response_headers: MutableHeaders = field(default_factory=MutableHeaders)
    operation: str | None = None
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    error_codes: list[str] = field(default_factory=list)
    reason: str | None = None

    @property
    def call(self) -> Call:
        """The parts of the request that a use case needs."""
        return Call(self.services, self.client, self.access_token)

    def choose_refresh_token(self, sent: str | None) -> str | None:
        """The refresh token of the argument, else of the cookie."""
        self.uses_cookie = not sent or sent == self.refresh_cookie
        return sent or self.refresh_cookie

    def reject_access_token(self) -> None:
        """Respond that the access token, if one was sent, is invalid (RFC 6750 3.1)."""
        if self.access_token is not None:
            self.response_headers["WWW-Authenticate"] = INVALID_TOKEN


Info = strawberry.Info[RequestContext, None]
