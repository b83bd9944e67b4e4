"""`python -m tests.outcomes_table` prints docs/outcomes.md from schema.graphql."""

from pathlib import Path

from graphql import GraphQLObjectType, GraphQLUnionType, build_schema, get_named_type

_HEAD = """# Outcomes

Every outcome of every mutation. In each operation select `__typename`, the outcomes that you handle, and
`... on UserError { message }`, which every failure has: a sentence for the user, in English. Keep a default branch that
shows `message`, since new outcomes may join any `…Result` union, and new values any enum.

`me` is null without a valid access token. A token that was sent and is not valid also gets the header
`WWW-Authenticate: Bearer error="invalid_token"`: refresh the session then. Anything in `errors` is a mistake in the
request or a fault of the server, never an expected outcome.

| `__typename` | returned by | meaning | what to do |
|---|---|---|---|
"""


def outcomes_page() -> str:
    """The page. Raises ValueError for an outcome whose description has no second paragraph, which says what to do."""
    schema = build_schema((Path(__file__).parent.parent / "schema.graphql").read_text())
    assert schema.mutation_type
    mutations_by_outcome: dict[GraphQLObjectType, list[str]] = {}
    for name, field in schema.mutation_type.fields.items():
        union = get_named_type(field.type)
        assert isinstance(union, GraphQLUnionType)
        for outcome in union.types:
            mutations_by_outcome.setdefault(outcome, []).append(name)
    rows = []
    for outcome, mutations in mutations_by_outcome.items():
        meaning, action = (outcome.description or "").split("\n\n")
        others = [name for name in schema.mutation_type.fields if name not in mutations]
        shown = ", ".join(mutations) if len(mutations) <= len(others) else f"all but {', '.join(others)}"
        rows.append(f"| `{outcome.name}` | {shown} | {meaning} | {action} |\n")
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    print(outcomes_page(), end="")
