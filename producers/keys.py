"""Keys for new rows, reserved ahead from the tables' own sequences.

So nobody else who inserts gets the same ones, and making up changes needs no database. The shop
only hands out what is here: whoever runs it fills up between two transactions.
"""

from collections import deque
from collections.abc import Sequence

from producers.rows import TABLE_OF

LOW = 64
"""More keys of one table than a single event ever takes."""
_FIRST_BLOCK = 256
_LARGEST_BLOCK = 16_384


class Keys:
    """The reserved keys of each table.

    Attributes:
        is_low: whether the next event might take more keys than there are.
    """

    def __init__(self) -> None:
        self._free: dict[str, deque[int]] = {table: deque() for table in TABLE_OF.values()}
        self.is_low = True
        self._block = dict.fromkeys(self._free, _FIRST_BLOCK)

    def take(self, table: str) -> int:
        """The next key of `table`."""
        free = self._free[table]
        key = free.popleft()
        if len(free) < LOW:
            self.is_low = True
        return key

    def wanted(self, at_least: int = LOW) -> dict[str, int]:
        """How many keys to reserve, for each table that has fewer than `at_least`.

        Blocks double from one time to the next: few round trips in a long run, and few keys
        left unused after a short one.
        """
        wanted = {}
        for table, free in self._free.items():
            if len(free) < at_least:
                wanted[table] = max(self._block[table], at_least)
                self._block[table] = min(2 * self._block[table], _LARGEST_BLOCK)
        return wanted

    def add(self, table: str, keys: Sequence[int]) -> None:
        """Put reserved keys at hand."""
        self._free[table].extend(keys)
        self.is_low = any(len(free) < LOW for free in self._free.values())
