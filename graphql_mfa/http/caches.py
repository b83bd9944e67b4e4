"""A cache that is bounded by what its entries weigh, since clients choose how large they are."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class WeighedCache(Generic[V]):
    """The entries used last, as long as all of them together weigh no more than `capacity`, in the caller's unit."""

    def __init__(self, capacity: int) -> None:
        self._left = capacity
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        """The value kept for a key; None when there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Hashable, value: V, weight: int) -> None:
        """Keep a value, and drop those that were not used for longest when there is no room."""
        if replaced := self._entries.pop(key, None):
            self._left += replaced[1]
        self._entries[key] = (value, weight)
        self._left -= weight
        while self._left < 0:
            _, (_, freed) = self._entries.popitem(last=False)
            self._left += freed
