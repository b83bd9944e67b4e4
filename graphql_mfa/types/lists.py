"""A limit on the cost of all lists in one operation."""

from collections.abc import Iterable, Sequence

from strawberry.types.nodes import SelectedField, Selection

from graphql_mfa.context import Info
from graphql_mfa.types.errors import PublicError

# In bytes of the answer: all fields of 100 sessions and 100 events with the longest `User-Agent`. Resolving a field of
# a row takes about 50 function calls on the event loop.
_MAX_BYTES = 880_000
_BYTES_PER_LIST = 27_000  # the cost of its statement
_BYTES_PER_FIELD = 350


def weigh_list(info: Info) -> None:
    """Count a list, before its query. Raises PublicError."""
    _weigh(info, _BYTES_PER_LIST)


def weigh_rows(info: Info, user_agents: Iterable[str | None]) -> None:
    """Count the rows of a list, given their user agents, and their fields with aliases. Raises PublicError."""
    fields = sum(_fields(selected) for selected in info.selected_fields)
    _weigh(info, fields * sum(_BYTES_PER_FIELD + len((text or "").encode()) for text in user_agents))


def _weigh(info: Info, size: int) -> None:
    info.context.listed_bytes += size
    if info.context.listed_bytes > _MAX_BYTES:
        raise PublicError("This operation lists too much: ask for fewer lists, rows or fields at once.")


def _fields(selection: Selection) -> int:
    """The number of selected fields, fragments included."""
    inner: Sequence[Selection] = selection.selections
    return sum(_fields(each) + isinstance(each, SelectedField) for each in inner)
