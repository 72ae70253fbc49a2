"""Query and control the systemd units of game servers. All calls of systemctl without root go through here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from left4me.core.processes import commands
from servers.gamehost.port import RuntimeFault, State

_SHOW_SECONDS: Final = 20
_MANAGE_SECONDS: Final = 120
_RUN_SECONDS: Final = 86_400
_PROPERTIES: Final = (
    "Id",
    "ActiveState",
    "SubState",
    "Result",
    "MainPID",
    "NRestarts",
    "ActiveEnterTimestamp",
    "ExecMainExitTimestamp",
    "ExecMainCode",
    "ExecMainStatus",
    "CPUUsageNSec",
    "MemoryCurrent",
    "TasksCurrent",
)
_KILLED: Final = {"2", "3"}  # CLD_KILLED, CLD_DUMPED
_STATES: Final = {
    ("active", "running"): State.RUNNING,
    ("activating", "auto-restart"): State.CRASHED,
    ("inactive", "dead"): State.STOPPED,
}
_STATES_BY_ACTIVE: Final = {
    "active": State.STOPPING,  # active (exited) and similar: the game has ended, the unit has not yet
    "activating": State.STARTING,
    "deactivating": State.STOPPING,
    "inactive": State.STOPPED,
    "failed": State.GAVE_UP,
}


@dataclass(frozen=True, kw_only=True)
class Unit:
    """The properties of one unit from `systemctl show`. None stands for `[not set]`."""

    active_state: str
    sub_state: str
    result: str
    pid: int | None
    restarts: int
    started_at: datetime | None
    ended_at: datetime | None
    exit_status: int
    was_killed_by: int | None
    cpu_seconds: float | None
    memory: int | None
    tasks: int | None

    @property
    def state(self) -> State:
        exact = _STATES.get((self.active_state, self.sub_state))
        return exact or _STATES_BY_ACTIVE.get(self.active_state, State.UNKNOWN)

    @property
    def is_on(self) -> bool:
        """Whether it runs, or systemd will restart it."""
        return self.active_state not in ("inactive", "failed")


def systemd_since() -> str:
    """The time at which systemd started, on the kernel's clock. It differs after each boot, also of a container.

    Raises RuntimeFault.
    """
    try:
        return _systemctl(["show", "--property=UserspaceTimestampMonotonic", "--value"], _SHOW_SECONDS).output.strip()
    except commands.CommandError as error:
        raise RuntimeFault(f"systemd is not responding: {error}") from error


def name(server_id: int) -> str:
    return f"left4me-server@{server_id}.service"


def show(server_ids: Iterable[int]) -> dict[int, Unit]:
    """Query many units with one command. Raises CommandError."""
    ids = list(server_ids)
    if not ids:
        return {}
    done = _systemctl(
        ["show", "--timestamp=unix", f"--property={','.join(_PROPERTIES)}", *map(name, ids)], _SHOW_SECONDS
    )
    blocks = [_facts(block) for block in done.output.split("\n\n") if block.strip()]
    by_name = {facts["Id"]: facts for facts in blocks if "Id" in facts}
    return {server_id: _read(by_name.get(name(server_id), {})) for server_id in ids}


def show_one(server_id: int) -> Unit:
    """Query one unit. Raises RuntimeFault when systemd does not answer."""
    try:
        return show([server_id])[server_id]
    except commands.CommandError as error:
        raise RuntimeFault(f"systemd is not responding: {error}") from error


def manage(verb: str, server_id: int, *, block: bool = True) -> None:
    """Start or stop the unit. Raises CommandFailed when the job fails, RuntimeFault when systemd does not answer."""
    waiting = [] if block else ["--no-block"]
    try:
        _systemctl([verb, *waiting, name(server_id)], _MANAGE_SECONDS)
    except commands.CommandFailed:
        raise
    except commands.CommandError as error:
        raise RuntimeFault(f"systemd is not responding: {error}") from error


def run(unit: str, *, cancelled: Callable[[], bool]) -> None:
    """Start a unit that ends by itself and wait for its end; one that is already active is only waited for.

    Raises CommandError, and Cancelled: then the unit goes on.
    """
    commands.run(["systemctl", "--no-ask-password", "start", unit], timeout=_RUN_SECONDS, cancelled=cancelled)


def kill(server_id: int) -> None:
    """Send KILL to every process of the unit. Does nothing when it has none."""
    _systemctl(["kill", "--signal=KILL", "--kill-who=all", name(server_id)], _MANAGE_SECONDS, check=False)


def forget_failures(server_id: int) -> None:
    """Reset a failed unit: it becomes inactive, and its starts are counted from 0 again."""
    _systemctl(["reset-failed", name(server_id)], _MANAGE_SECONDS, check=False)


def _systemctl(arguments: list[str], seconds: float, *, check: bool = True) -> commands.Finished:
    argv = ["systemctl", "--no-ask-password", "--no-pager", *arguments]
    return commands.run(argv, timeout=seconds, check=check)


def _facts(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _read(facts: dict[str, str]) -> Unit:
    status = _number(facts.get("ExecMainStatus")) or 0
    cpu = _number(facts.get("CPUUsageNSec"))
    return Unit(
        active_state=facts.get("ActiveState", "unknown"),
        sub_state=facts.get("SubState", ""),
        result=facts.get("Result", ""),
        pid=_number(facts.get("MainPID")) or None,
        restarts=_number(facts.get("NRestarts")) or 0,
        started_at=_moment(facts.get("ActiveEnterTimestamp")),
        ended_at=_moment(facts.get("ExecMainExitTimestamp")),
        exit_status=status,
        was_killed_by=status if facts.get("ExecMainCode") in _KILLED else None,
        cpu_seconds=None if cpu is None else cpu / 1e9,
        memory=_number(facts.get("MemoryCurrent")),
        tasks=_number(facts.get("TasksCurrent")),
    )


def _number(text: str | None) -> int | None:
    # "[not set]", and on some versions the largest 64-bit number for the same.
    number = int(text) if text and text.isdigit() else None
    return None if number is None or number >= 2**64 - 1 else number


def _moment(text: str | None) -> datetime | None:
    seconds = (text or "").removeprefix("@")
    return datetime.fromtimestamp(int(seconds), UTC) if seconds.isdigit() and int(seconds) else None
