"""A notebook with multi-factor sign-in: graphql_mfa in an application that has routes and a schema of its own.

uvicorn --app-dir examples/embedded --no-access-log --no-proxy-headers app:app

Register with the header `X-Invitation: welcome-7`, which works once.
"""

from collections import defaultdict
from typing import Annotated
from uuid import UUID

import strawberry
from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse

import graphql_mfa
from graphql_mfa import Authenticated, GraphQLMFA, Registration, SignedIn

notes: dict[UUID, list[str]] = defaultdict(list)  # by user; a real application has a database
invitations = {"welcome-7"}


def owner(info: strawberry.Info) -> UUID:
    """The id of the signed-in user's account. SignedIn sets the session."""
    session: Authenticated = info.context.session
    return session.account.id


@strawberry.type
class Query(graphql_mfa.Query):
    """`me` and `policy`, and the application's queries."""

    @strawberry.field(extensions=[SignedIn()])
    async def notes(self, info: strawberry.Info) -> list[str]:
        return notes[owner(info)]


@strawberry.type
class Mutation(graphql_mfa.Mutation):
    """`registerUser`, `login`, `verifyOtp` and the others, and the application's mutations."""

    @strawberry.mutation(extensions=[SignedIn()])
    async def add_note(self, info: strawberry.Info, text: str) -> list[str]:
        notes[owner(info)].append(text)
        return notes[owner(info)]

    # A session is enough to read. Deleting requires a second factor verified within the last five minutes.
    @strawberry.mutation(extensions=[SignedIn(max_age=300)])
    async def delete_notes(self, info: strawberry.Info) -> int:
        return len(notes.pop(owner(info), []))


async def invited(registration: Registration) -> str | None:
    """Require an invitation, which the client sends in a header. A captcha would be checked here in the same way."""
    invitation = registration.client.headers.get("x-invitation", "")
    if invitation not in invitations:
        return "Registration is by invitation: ask somebody who has an account."
    invitations.remove(invitation)
    return None


# Settings come from GRAPHQL_MFA_*, or are passed as `settings`.
mfa = GraphQLMFA(query=Query, mutation=Mutation, before_registration=invited)


app = FastAPI(title="Notebook", lifespan=mfa.lifespan, telemetry={"tracing": False})
app.include_router(mfa.router("/api/graphql"))


@app.get("/notes.txt", response_class=PlainTextResponse)
async def download(session: Annotated[Authenticated, Depends(mfa.signed_in())]) -> str:
    """A route of the application, for signed-in users only."""
    return "\n".join(notes[session.account.id])


@app.delete("/notes")
async def delete(session: Annotated[Authenticated, Depends(mfa.signed_in(max_age=300))]) -> int:
    """A sensitive operation: it requires a recent second factor."""
    return len(notes.pop(session.account.id, []))
