"""Attack: query the whole schema repeatedly, with one document or with different ones."""

import gc
import tracemalloc
from collections.abc import Callable

import pytest
from graphql import build_client_schema, get_introspection_query, lexicographic_sort_schema, print_schema

from graphql_mfa import Settings
from graphql_mfa.http.schema import Schema
from tests.api_client import Api
from tests.http.requests import function_calls, operation, post

QUERY = get_introspection_query()
DEAR = {
    "standard query": QUERY,
    "all of every type": "{ __schema { types { ...T fields { ...F args { ...V } } inputFields { ...V } "
    "enumValues { name description } interfaces { ...T } possibleTypes { ...T } } } } "
    "fragment T on __Type { kind name description ofType { name } } "
    "fragment F on __Field { name description isDeprecated deprecationReason type { ...T } } "
    "fragment V on __InputValue { name description defaultValue type { ...T } }",
    "twice": "{ __schema { types { name fields { name description type { name } } } } "
    "a: __schema { types { name fields { name description type { name } } } } }",
}


@pytest.mark.parametrize("query", DEAR.values(), ids=DEAR)
async def test_introspection_is_computed_once_in_a_thread(api: Api, query: str) -> None:
    with function_calls(of_new_threads=False):
        first = await post(api, operation(query))
    with function_calls(5000):
        second = await post(api, operation(query))

    assert set(first.json()) == {"data"}
    assert second.content == first.content


async def test_introspection_returns_the_whole_schema(api: Api, make_settings: Callable[..., Settings]) -> None:
    answer = (await post(api, operation(get_introspection_query(specified_by_url=True)))).json()

    shown = print_schema(lexicographic_sort_schema(build_client_schema(answer["data"])))
    assert shown == print_schema(lexicographic_sort_schema(Schema(make_settings())._schema))


async def test_introspection_is_cached_by_variables(api: Api) -> None:
    """Another operation of the document is cached separately, and errors are not cached."""
    query = 'query A($name: String!) { __type(name: $name) { name } } query B { __type(name: "Session") { kind } }'
    answers = [
        (await post(api, operation(query, variables=variables, operationName=name))).json()
        for name, variables in [
            ("A", {"name": "User"}),
            ("A", {"name": "Session"}),
            ("A", {"name": "Nobody"}),
            ("B", {"name": "User"}),
            ("A", {}),
            ("A", {"name": "User"}),
        ]
    ]

    assert [answer.get("data") for answer in answers] == [
        {"__type": {"name": "User"}},
        {"__type": {"name": "Session"}},
        {"__type": None},
        {"__type": {"kind": "OBJECT"}},
        None,
        {"__type": {"name": "User"}},
    ]
    assert "$name" in answers[4]["errors"][0]["message"]


async def test_introspection_by_distinct_documents_takes_little_memory(api: Api) -> None:
    await post(api, operation(QUERY))
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(30):
            await post(
                api, operation(f"{{ __schema {{ types {{ a{number}: name fields {{ name description }} }} }} }}")
            )
            await post(api, operation("{ __schema { description } }", variables={"a": f"{number}" * 25_000}))
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 10_000_000, f"{kept:,} bytes"
