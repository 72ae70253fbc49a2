"""A plan: steps that each know whether they are done already, so that it can be run again, or only looked at."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True)
class Step:
    """`title` names what is so once the step is done. `is_done` changes nothing; `apply` may be run twice."""

    title: str
    is_done: Callable[[], bool]
    apply: Callable[[], None]
    details: Sequence[str] = ()


class CannotGoOn(Exception):
    """The machine is not as the plan needs it; the message says the cure."""


def run(steps: Iterable[Step], *, dry_run: bool, out: IO[str] | None = None) -> int:
    """Apply what is not done, in order, and say each; returns how many were. `dry_run` says and changes nothing."""
    sink = out or sys.stdout
    count = 0
    for step in steps:
        if step.is_done():
            continue
        count += 1
        sink.write(f"{'would do' if dry_run else 'doing'}: {step.title}\n")
        for line in step.details:
            sink.write(f"    {line}\n")
        sink.flush()
        if not dry_run:
            step.apply()
    return count
