"""The interface between the engine and the bodies of operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from left4me.core.processes import commands

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class JobContext(Protocol):
    """A running job, as the body of its operation sees it."""

    @property
    def job_id(self) -> int: ...
    @property
    def resource(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def attempt(self) -> int:
        """1 for the first run; more after a worker died while running this job."""
        ...

    @property
    def resource_id(self) -> int:
        """The number of the resource: 12 for `server:12`."""
        ...

    def log(self, line: str, stream: Literal["stdout", "stderr", "event"] = "stdout") -> None:
        """Add to the job's log. Never blocks. Lines beyond the rate limit are dropped and counted in one line."""
        ...

    def progress(self, *, phase: StrOrPromise, done: int, total: int | None = None, unit: StrOrPromise = "") -> None:
        """Report progress. Cheap: only a few reports per second are published and stored."""
        ...

    def mask(self, *secrets: str) -> None:
        """Mask these words in the log and in the error from now on."""
        ...

    def cancelled(self) -> bool:
        """Return whether to stop at the next safe point. Takes less than a microsecond: call it in every loop."""
        ...

    def check(self) -> None:
        """Raise Cancelled if the job shall stop."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait, for example between retries; raises Cancelled as soon as the job shall stop."""
        ...

    def command(self, argv: Sequence[str | Path], *, timeout: float, check: bool = True) -> commands.Finished:
        """Run a program with its output in the log. Its process group is killed when the job or the worker stops.

        Raises Cancelled, and what `commands.run` raises.
        """
        ...
