"""A notebook whose notes are in one database with the accounts of graphql_mfa.

cd examples/shared_database
export GRAPHQL_MFA_SECRET_KEYS=$(graphql-mfa new-key)
python notebook.py      # the tables of graphql_mfa
alembic upgrade head    # then those of the application, which refer to them
uvicorn --no-access-log --no-proxy-headers notebook:app
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import strawberry
from fastapi import FastAPI
from models import Note, engine
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker

import graphql_mfa
from graphql_mfa import Authenticated, GraphQLMFA, SignedIn

new_session = async_sessionmaker(engine)


@strawberry.type
class Query(graphql_mfa.Query):
    """`me` and `policy`, and the application's queries."""

    @strawberry.field(extensions=[SignedIn()])
    async def notes(self, info: strawberry.Info) -> list[str]:
        user: Authenticated = info.context.session
        async with new_session() as session:
            mine = select(Note.body).where(Note.owner_id == user.account.id).order_by(Note.id)
            return list(await session.scalars(mine))


@strawberry.type
class Mutation(graphql_mfa.Mutation):
    """`registerUser`, `login`, `verifyOtp` and the others, and the application's mutations."""

    @strawberry.mutation(extensions=[SignedIn()])
    async def add_note(self, info: strawberry.Info, text: str) -> int:
        user: Authenticated = info.context.session
        async with new_session.begin() as session:
            note = Note(owner_id=user.account.id, body=text)
            session.add(note)
            await session.flush()
            return note.id


mfa = GraphQLMFA(engine=engine, query=Query, mutation=Mutation)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with mfa.lifespan():
        yield
    await engine.dispose()  # it is the application's, so graphql_mfa leaves it open


async def migrate() -> None:
    await mfa.migrate()
    await engine.dispose()


app = FastAPI(title="Notebook", lifespan=lifespan, telemetry={"tracing": False})
app.include_router(mfa.router())

if __name__ == "__main__":
    asyncio.run(migrate())
