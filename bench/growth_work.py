"""A work of bench/growth, and how its cost is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connection, transaction

# A page shows a bounded number of rows, so it may not notice how many there are; a little for deeper indexes.
FLAT = 0.1
LINEAR = 1.1


@dataclass(frozen=True)
class Work:
    """One thing whose cost is measured. `limit` is the highest exponent that it may have.

    A page is compared from the size on at which it is `full`: 10 servers do not fill a list that shows 50. What
    writes is `undone` after each time.
    """

    name: str
    do: Callable[[], object]
    limit: float
    full: int = 1
    undone: bool = False


class Queries:
    """Counts the queries of a connection, with the seconds and the CPU seconds that pass during them."""

    def __init__(self) -> None:
        self.number, self.wall, self.cpu = 0, 0.0, 0.0

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, *rest: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return execute(sql, params, *rest)
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu += time.process_time() - cpu
            self.number += 1


def _backend_cpu() -> float | None:
    """The CPU seconds of PostgreSQL's process for this connection; None where there is none on this machine."""
    if connection.vendor != "postgresql":
        return None
    connection.ensure_connection()
    try:
        return int(Path(f"/proc/{connection.connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return None


class _Undo(Exception):
    """Ends a transaction without its changes."""


def measure(work: Work) -> dict[str, Any]:
    """Do the work once. The cost is CPU time, also that of PostgreSQL; if that is elsewhere, the time of queries."""
    queries = Queries()
    took, backend, backend_after = 0.0, None, None
    surrounding: AbstractContextManager[Any] = transaction.atomic() if work.undone else nullcontext()
    try:
        with surrounding:
            with connection.execute_wrapper(queries):
                backend, began = _backend_cpu(), time.process_time()
                work.do()
                took = time.process_time() - began
                backend_after = _backend_cpu()
            if work.undone:
                raise _Undo
    except _Undo:
        pass
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    if backend is not None and backend_after is not None:
        took += backend_after - backend
    elif connection.vendor == "postgresql":
        took += queries.wall - queries.cpu
    return {"ms": 1000 * took, "queries": queries.number, "queries_ms": 1000 * queries.wall}
