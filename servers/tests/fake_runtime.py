"""A runtime without processes, for tests of code above the port. The contract suite tests the real ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from servers.gamehost.port import Exit, LogLine, Observed, Outcome, Resources, RuntimeFault, State
from servers.gamehost.spec import InstanceSpec, StopLimits

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class FakeFollower:
    """Gives each line once that a test puts into `lines`."""

    def __init__(self, cursor: str | None) -> None:
        self.cursor = cursor
        self.lines: list[LogLine] = []
        self.fault: Exception | None = None
        self.is_closed = False

    def read(self) -> list[LogLine]:
        if self.fault is not None:
            raise self.fault
        lines, self.lines = self.lines, []
        return lines

    def close(self) -> None:
        self.is_closed = True


class FakeRuntime:
    def __init__(self) -> None:
        self.followers: dict[int, FakeFollower] = {}
        self.observed: dict[int, Observed] = {}
        self.specs: dict[int, InstanceSpec] = {}
        self.faults: dict[str, RuntimeFault] = {}
        self.deleted: list[int] = []
        self.lines: list[str] = []
        self.used: dict[int, Resources] = {}
        self.measured: list[tuple[int, bool]] = []

    def set(self, server_id: int, state: State, **fields: object) -> None:
        self.observed[server_id] = Observed(state=state, **fields)  # type: ignore[arg-type]

    def crash(self, server_id: int, *, at: datetime, state: State = State.CRASHED) -> None:
        self.set(
            server_id,
            state,
            last_exit=Exit(status=None, signal=11, at=at),
            detail="ended with signal 11 (segmentation fault)",
            last_lines=("loading addons", "Segmentation fault"),
        )

    def start(self, spec: InstanceSpec) -> Outcome:
        self._fail("start")
        if self.observe([spec.server_id])[spec.server_id].state is State.RUNNING:
            return Outcome.ALREADY_RUNNING
        self.specs[spec.server_id] = spec
        self.set(spec.server_id, State.RUNNING, pid=1000 + spec.server_id, started_at=EPOCH)
        return Outcome.STARTED

    def stop(
        self, server_id: int, *, quit_game: Callable[[], None] | None = None, limits: StopLimits | None = None
    ) -> Outcome:
        self._fail("stop")
        if self.observe([server_id])[server_id].state is State.STOPPED:
            return Outcome.ALREADY_STOPPED
        self.set(server_id, State.STOPPED)
        return Outcome.STOPPED

    def kill(self, server_id: int) -> Outcome:
        self._fail("kill")
        was = self.observe([server_id])[server_id].state
        self.set(server_id, State.STOPPED)
        return Outcome.ALREADY_STOPPED if was is State.STOPPED else Outcome.KILLED

    def observe(self, server_ids: Iterable[int]) -> dict[int, Observed]:
        return {i: self.observed.get(i, Observed(state=State.STOPPED)) for i in server_ids}

    def tail(self, server_id: int, *, lines: int = 200) -> list[LogLine]:
        return [LogLine(text=text, at=EPOCH, cursor="") for text in self.lines[-lines:]]

    def follow(
        self, server_id: int, *, cursor: str | None, on_news: Callable[[], None] = lambda: None
    ) -> FakeFollower:
        return self.followers.setdefault(server_id, FakeFollower(cursor))

    def resources(self, server_ids: Iterable[int], *, with_disk: Collection[int] = ()) -> dict[int, Resources]:
        return {one: self._used(one, with_disk=one in with_disk) for one in server_ids}

    def _used(self, server_id: int, *, with_disk: bool) -> Resources:
        self.measured.append((server_id, with_disk))
        nothing = Resources(cpu_seconds=None, memory_bytes=None, tasks=None, disk_bytes=None)
        used = self.used.get(server_id, nothing)
        return used if with_disk else replace(used, disk_bytes=None)

    def delete(self, server_id: int, *, now: datetime) -> Outcome:
        self._fail("delete")
        if server_id in self.deleted:
            return Outcome.ALREADY_DELETED
        self.deleted.append(server_id)
        return Outcome.DELETED

    def _fail(self, call: str) -> None:
        if call in self.faults:
            raise self.faults[call]
