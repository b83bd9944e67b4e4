"""Introspection: answered from a cache, and worked out beside the event loop.

The standard query takes a schema of this size 20 ms and more, and its answer is the same for everybody.
"""

import asyncio
import json
from typing import Any

from graphql import DocumentNode, ExecutionResult, GraphQLSchema, execute_sync

from graphql_mfa.http.documents import WeighedCache

_CACHED_BYTES = 4_000_000


class EncodedData(dict[str, Any]):
    """The `data` of an answer that is in JSON already: empty but for that."""

    def __init__(self, encoded: bytes) -> None:
        super().__init__()
        self.encoded = encoded


class Introspection:
    """Answers operations that read the schema only, one at a time.

    A host's extensions run, but for their `resolve`, which would be called for each field of the schema.
    """

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._answers: WeighedCache[ExecutionResult] = WeighedCache(_CACHED_BYTES)
        self._turn = asyncio.Lock()

    async def execute(
        self, text: str, document: DocumentNode, variables: dict[str, Any] | None, operation_name: str | None
    ) -> ExecutionResult:
        """The result of a valid document. `data` is encoded unless there are errors."""
        key = (text, json.dumps(variables), operation_name)
        if known := self._answers.get(key):
            return known
        async with self._turn:
            # Several clients may have waited for the same answer.
            if waited_for := self._answers.get(key):
                return waited_for
            result = await asyncio.to_thread(_execute, self._schema, document, variables, operation_name)
            if isinstance(result.data, EncodedData):
                self._answers.put(key, result, len(result.data.encoded) + sum(len(part or "") for part in key))
            return result


def _execute(
    schema: GraphQLSchema, document: DocumentNode, variables: dict[str, Any] | None, operation_name: str | None
) -> ExecutionResult:
    result = execute_sync(schema, document, variable_values=variables, operation_name=operation_name)
    if result.errors:
        return result
    data = json.dumps(result.data, ensure_ascii=False, separators=(",", ":"))
    return ExecutionResult(EncodedData(data.encode("utf-8", "backslashreplace")))
