"""The application's own tables, which refer to the accounts of graphql_mfa, and the engine of both."""

import os
from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import graphql_mfa

engine = create_async_engine(
    os.environ.get("GRAPHQL_MFA_DATABASE_URL", "sqlite+aiosqlite:///./shared.db"), hide_parameters=True
)
if engine.dialect.name == "sqlite":
    graphql_mfa.configure_sqlite(engine)


class Base(DeclarativeBase):
    """The application's models."""


class Note(Base):
    """A note of an account, deleted with it."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(
        # Without ON DELETE an account that has notes could not be deleted.
        ForeignKey(graphql_mfa.metadata.tables["mfa_users"].c.id, ondelete="CASCADE"),
        index=True,
    )
    body: Mapped[str]
