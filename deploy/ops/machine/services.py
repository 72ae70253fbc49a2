"""The units of the application on this machine, through systemctl."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from deploy.ops.layout import Layout
from left4me.core.processes import commands

SOCKET: Final = "left4me-web.socket"
WEB: Final = "left4me-web.service"
WORKER: Final = "left4me-worker.service"
BEAT: Final = "left4me-beat.service"
REDIS: Final = "left4me-redis.service"
# Only where other hosts have been added.
CONTENT: Final = "left4me-content.service"
GAMES: Final = "left4me-server@*.service"

# In the order in which they start: what a unit needs stands before it.
CENTRAL: Final = (REDIS, SOCKET, WEB, WORKER, BEAT)
# A host that only runs games for a web elsewhere.
SECOND: Final = (WORKER,)

_SECONDS: Final = 300


def of_this_machine(layout: Layout) -> tuple[str, ...]:
    """The units that run here: all of them, or the worker alone on a second host."""
    if is_second(layout):
        return SECOND
    return (*CENTRAL, CONTENT) if (layout.settings / "hosts/content.env").exists() else CENTRAL


def is_second(layout: Layout) -> bool:
    """Whether this machine runs games for a web elsewhere."""
    return not (layout.units / WEB).exists()


def stop(layout: Layout) -> None:
    """Beat and worker first, web last; the socket stays, so that visitors wait instead of being refused."""
    ours = of_this_machine(layout)
    _systemctl("stop", *(unit for unit in (BEAT, WORKER, CONTENT) if unit in ours))
    if WEB in ours:
        _systemctl("stop", WEB)


def stop_all(layout: Layout) -> None:
    """Everything that uses the data: the application, its socket and all games."""
    if SOCKET in of_this_machine(layout):
        # The service too, in one transaction: a visitor in between would start it again.
        _systemctl("stop", SOCKET, WEB)
    stop(layout)
    _systemctl("stop", GAMES)


def start(layout: Layout) -> None:
    ours = of_this_machine(layout)
    _systemctl("reset-failed", *ours, check=False)
    _systemctl("start", *ours)


def restart(layout: Layout, units: Iterable[str]) -> None:
    _systemctl("restart", *units)


def enable(layout: Layout, units: Iterable[str]) -> None:
    """Start them now and at each boot."""
    _systemctl("enable", "--now", "--quiet", *units)


def disable(layout: Layout, units: Iterable[str]) -> None:
    _systemctl("disable", "--now", "--quiet", *units)


def reload(layout: Layout) -> None:
    """Have systemd read changed unit files."""
    _systemctl("daemon-reload")


def states(layout: Layout) -> dict[str, str]:
    """How systemd sees each unit: active, inactive, failed …"""
    ours = of_this_machine(layout)
    lines = _systemctl("is-active", *ours, check=False).splitlines()
    return dict(zip(ours, lines, strict=False))


def are_enabled(layout: Layout, units: Iterable[str]) -> bool:
    wanted = list(units)
    lines = _systemctl("is-enabled", *wanted, check=False).splitlines()
    return lines == ["enabled"] * len(wanted)


def are_active(layout: Layout, units: Iterable[str]) -> bool:
    wanted = list(units)
    return _systemctl("is-active", *wanted, check=False).splitlines() == ["active"] * len(wanted)


def _systemctl(*arguments: str, check: bool = True) -> str:
    argv = ["systemctl", "--no-ask-password", *arguments]
    return commands.run(argv, timeout=_SECONDS, check=check).output
