"""Numbers that the processes of the web share in memory."""

from __future__ import annotations

import mmap
from typing import Final

_BYTES: Final = 4


class SharedCounts:
    """A row of numbers for each process. A process changes only its own row; all may read the sums of the columns.

    The memory is inherited by fork. It needs no lock and no other program, and what a dead process had counted does
    not stay: the parent clears its row.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self._columns = columns
        # Pages of it that nobody has written to cost nothing.
        self._cells = memoryview(mmap.mmap(-1, _BYTES * rows * columns)).cast("I")

    def add(self, row: int, column: int, number: int) -> None:
        self._cells[row * self._columns + column] += number

    def total(self, column: int) -> int:
        return sum(self._cells[column :: self._columns])

    def clear(self, row: int) -> None:
        first = row * self._columns
        for cell in range(first, first + self._columns):
            # Read first: writing would take memory for numbers that nobody has changed.
            if self._cells[cell]:
                self._cells[cell] = 0


class _Figures:
    """What the parent knows, for metrics. Made before the processes, so that all of them read the same."""

    _RUNNING, _REPLACED = 0, 1

    def __init__(self) -> None:
        self._counts = SharedCounts(1, 2)

    def started(self) -> None:
        self._counts.add(0, self._RUNNING, 1)

    def ended(self) -> None:
        self._counts.add(0, self._RUNNING, -1)

    def replaced(self) -> None:
        self._counts.add(0, self._REPLACED, 1)

    @property
    def running(self) -> int:
        """How many processes serve the web; 1 when it has no parent."""
        return self._counts.total(self._RUNNING) or 1

    @property
    def replacements(self) -> int:
        """How many processes were started in place of one that had ended by itself."""
        return self._counts.total(self._REPLACED)


figures: Final = _Figures()
