"""Plans: lists of steps that can be run again or only shown, and the lock under which they run."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from deploy.language import gettext as _
from deploy.ops.layout import Layout
from left4me.core.processes import process_guard


@dataclass(frozen=True)
class Step:
    """One step. `title` says what it does, in the imperative; `is_done` changes nothing; `apply` may run twice."""

    title: str
    is_done: Callable[[], bool]
    apply: Callable[[], object]
    details: Sequence[str] = ()


class CannotGoOn(Exception):
    """The machine is not in the state that the plan needs; the message contains the cure."""


def run(steps: Iterable[Step], *, dry_run: bool, out: IO[str] | None = None) -> int:
    """Apply the steps that are not done, in order, and print each; returns their number.

    With `dry_run` they are printed only.
    """
    sink = out or sys.stdout
    count = 0
    # Not inside the text below: xgettext does not look into f-strings.
    verb = _("would do") if dry_run else _("doing")
    for step in steps:
        if step.is_done():
            continue
        count += 1
        sink.write(f"{verb}: {step.title}\n")
        for line in step.details:
            sink.write(f"    {line}\n")
        sink.flush()
        if not dry_run:
            step.apply()
    return count


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Let one command at a time change the machine; raises CannotGoOn for a second one.

    Programs that it starts end with this process, even when it is killed.
    """
    layout.program.mkdir(parents=True, exist_ok=True)
    refusal = CannotGoOn(_("Another installation, upgrade or restore is in progress. Wait until it has finished."))
    with exclusive(layout.program / ".left4mectl.lock", refusal):
        process_guard.guard_this_process()
        yield


@contextmanager
def exclusive(path: Path, refusal: Exception) -> Iterator[None]:
    """Hold the lock file at `path`; raises `refusal` when another process holds it."""
    with path.open("w") as lock:
        # Whoever may open the file may lock it.
        os.fchmod(lock.fileno(), 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refusal from None
        yield
