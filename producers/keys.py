"""Keys for new rows, reserved ahead from the tables' own sequences.

Other writers never get the same keys, and events need no database access. The session reserves
more keys between transactions.
"""

from collections import deque
from collections.abc import Sequence

from producers.rows import TABLE_OF

LOW = 64
"""Upper bound of the keys of one table that a single event uses."""
_FIRST_BLOCK = 256
_LARGEST_BLOCK = 16_384


class Keys:
    """The reserved keys of each table.

    Attributes:
        is_low: whether the next event might need more keys than are reserved.
    """

    def __init__(self) -> None:
        self._free: dict[str, deque[int]] = {table: deque() for table in TABLE_OF.values()}
        self.is_low = True
        self._block = dict.fromkeys(self._free, _FIRST_BLOCK)

    def take(self, table: str) -> int:
        """Return the next key of `table`."""
        free = self._free[table]
        key = free.popleft()
        if len(free) < LOW:
            self.is_low = True
        return key

    def wanted(self, at_least: int = LOW) -> dict[str, int]:
        """Return how many keys to reserve, for each table that has fewer than `at_least`.

        Block sizes double each time: few round trips in a long run, few unused keys in a short one.
        """
        wanted = {}
        for table, free in self._free.items():
            if len(free) < at_least:
                wanted[table] = max(self._block[table], at_least)
                self._block[table] = min(2 * self._block[table], _LARGEST_BLOCK)
        return wanted

    def add(self, table: str, keys: Sequence[int]) -> None:
        """Add reserved keys."""
        self._free[table].extend(keys)
        self.is_low = any(len(free) < LOW for free in self._free.values())
