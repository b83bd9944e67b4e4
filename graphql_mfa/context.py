"""What a resolver knows of its request."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import strawberry
from starlette.datastructures import MutableHeaders
from starlette.requests import Request

from graphql_mfa.client import Client
from graphql_mfa.core.accounts import Account
from graphql_mfa.services import Services


@dataclass(frozen=True)
class Authenticated:
    """A live session, when it verified a second factor, and its account.

    may_be_fresh: False once that factor was removed or replaced, so that another one has to be verified.
    """

    session_id: UUID
    authenticated_at: datetime
    account: Account
    may_be_fresh: bool = True


@dataclass
class RequestContext:
    """One GraphQL request.

    request_id: what the log and the answer call it. access_token: None when none was sent. operation_name: what the
    client asked to run.

    session: whose it is, set by the field extension SignedIn. listed_bytes: what its lists weigh.

    What comes of it: response_headers, for the answer; operation and outcomes, for the log, as in "mutation Login" and
    ["login=OtpRequired"].
    """

    request: Request
    request_id: str
    services: Services
    client: Client
    access_token: str | None
    operation_name: str | None = None
    session: Authenticated | None = None
    listed_bytes: int = 0
    response_headers: MutableHeaders = field(default_factory=MutableHeaders)
    operation: str | None = None
    outcomes: list[str] = field(default_factory=list)


Info = strawberry.Info[RequestContext, None]
