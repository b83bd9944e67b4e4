"""`python -m tests.bounds_table` prints the table of bounds in docs/security.md from the models."""

from graphql_mfa.store.models import Base

_HEAD = """| table | rows per account | rows per address | rows are deleted |
|---|---|---|---|
"""


def bounds_table() -> str:
    """The table. Raises AttributeError for a model without bounds."""
    models = sorted((mapper.class_ for mapper in Base.registry.mappers), key=lambda model: str(model.__tablename__))
    rows = [(model.__tablename__, *vars(model.bounds).values()) for model in models]
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    print(bounds_table(), end="")
