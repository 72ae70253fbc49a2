"""A job context for tests that call the body of an operation as a plain function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from left4me.core.concurrency import Cancelled
from left4me.core.processes import commands


class RecordedRun:
    """Implements `JobContext`; remembers what was said, cancels when told to."""

    def __init__(self, resource: str = "server:1", **params: Any) -> None:
        self.job_id = 1
        self.resource = resource
        self.host = "local"
        self.attempt = 1
        self.params: Mapping[str, Any] = params
        self.lines: list[str] = []
        self.phases: list[str] = []
        self.slept: list[float] = []
        self.cancel_after_sleeps: int | None = None

    @property
    def resource_id(self) -> int:
        return int(self.resource.partition(":")[2])

    def log(self, line: str, stream: Literal["stdout", "stderr", "event"] = "stdout") -> None:
        self.lines.append(line)

    def progress(self, *, phase: str, done: int, total: int | None = None, unit: str = "") -> None:
        self.phases.append(phase)

    def mask(self, *secrets: str) -> None:
        pass

    def cancelled(self) -> bool:
        return self.cancel_after_sleeps is not None and len(self.slept) >= self.cancel_after_sleeps

    def check(self) -> None:
        if self.cancelled():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.check()

    def command(self, argv: Sequence[str | Path], *, timeout: float, check: bool = True) -> commands.Finished:
        return commands.run(argv, timeout=timeout, check=check)
