"""What a resolver knows of its request."""

from dataclasses import dataclass, field

import strawberry

from graphql_mfa.flows.services import Client, Services


@dataclass
class RequestContext:
    """One GraphQL request.

    access_token: None when none was sent. response_headers: what resolvers add to the answer.
    """

    services: Services
    client: Client
    access_token: str | None
    operation_name: str | None
    response_headers: dict[str, str] = field(default_factory=dict)


Info = strawberry.Info[RequestContext, None]
