"""Attack: send documents that no cache has, each as large as it may be, until the caches have filled the memory."""

import gc
import tracemalloc
from collections.abc import Callable
from itertools import count

import pytest

from tests.api_client import Api
from tests.http.requests import JSON, operation, post

DOCUMENTS = 100  # kept without end, the largest take 20 MB
MEGABYTES = 10
_NUMBERS = count()

FIELDS = "issuer registrationOpen usernameMinLength usernameMaxLength passwordMinLength otpDigits otpPeriod"


def of_many_fields(number: int) -> str:
    """Valid, and nothing but tokens."""
    return " ".join(f"query Q{number}x{of} {{ policy {{ {FIELDS} }} }}" for of in range(30))


def of_many_short_tokens(number: int) -> str:
    directives = "... @skip(if:$a){a:__typename}" * 25
    return f"query Q{number}($a:Boolean!){{{directives}}}"


def of_many_characters(number: int) -> str:
    return "{ policy { issuer } } #" + str(number) + "x" * 13_000


def with_a_literal_that_errors_print(number: int) -> str:
    values = " ".join(f"z{number}x{member}: 1" for member in range(50))
    return f'mutation {{ login(input: {{ {values} z: "{"x" * 10_000}" }}) {{ __typename }} }}'


@pytest.mark.parametrize(
    "build",
    [
        of_many_fields,
        of_many_short_tokens,
        of_many_characters,
        with_a_literal_that_errors_print,
    ],
    ids=lambda build: build.__name__,
)
async def test_cached_documents_take_little_memory(api: Api, build: Callable[[int], str]) -> None:
    for _ in range(3):
        await post(api, operation(build(next(_NUMBERS))))
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(DOCUMENTS):
            await post(api, operation(build(next(_NUMBERS))))
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < MEGABYTES * 1_000_000, f"{kept:,} bytes"


async def test_distinct_headers_take_no_memory(api: Api) -> None:
    await post(api, operation())
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(100):
            await post(api, operation(), JSON | {"Accept": f"application/json, text/a{number}; a={'b' * 15_000}"})
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000, f"{kept:,} bytes"
