"""`python -m tests.bounds_table` prints the list of docs/security.md from what the models say."""

from graphql_mfa.store.models import Base

_HEAD = """| table | rows of an account | rows from an address | gone |
|---|---|---|---|
"""


def bounds_table() -> str:
    """The list, as it is to be. Raises AttributeError for a model that doesn't say by what it is bounded."""
    models = sorted((mapper.class_ for mapper in Base.registry.mappers), key=lambda model: str(model.__tablename__))
    rows = [(model.__tablename__, *vars(model.bounds).values()) for model in models]
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    print(bounds_table(), end="")
