"""The systemd units of left4me on this machine, and `systemctl` as root."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from deploy.ops.layout import Layout, Role
from left4me.core.processes import commands

SOCKET: Final = "left4me-web.socket"
WEB: Final = "left4me-web.service"
WORKER: Final = "left4me-worker.service"
BEAT: Final = "left4me-beat.service"
REDIS: Final = "left4me-redis.service"
# Runs only where other hosts have been added.
CONTENT: Final = "left4me-content.service"
GAMES: Final = "left4me-server@*.service"
# Not part of the application: they run at boot and at night.
RECOVER: Final = "left4me-recover.service"
# Enabled by the operator: not every machine lets nftables decide.
FIREWALL: Final = "left4me-firewall.service"
# Runs as long as the firewall's unit.
FIREWALL_COUNTERS: Final = "left4me-firewall-counters.timer"
BACKUP_TIMER: Final = "left4me-backup.timer"
WORKSHOP_TIMER: Final = "left4me-workshop-refresh.timer"
# Whether these are enabled is up to the operator, and part of what a machine was set up to do.
OPTIONAL: Final = (FIREWALL, BACKUP_TIMER, WORKSHOP_TIMER)

# What an installation enables, in the order in which it starts: each unit after those it needs.
INSTALLED: Final = {Role.WEB: (REDIS, SOCKET, WEB, WORKER, BEAT), Role.WORKER_HOST: (WORKER,)}

_SECONDS: Final = 300


def role(layout: Layout) -> Role:
    """The role that this machine was installed in."""
    return Role.WEB if (layout.units / WEB).exists() else Role.WORKER_HOST


def is_worker_host(layout: Layout) -> bool:
    """Whether this machine was installed as a worker host, also when units of it are missing."""
    if (layout.units / WEB).exists():
        return False
    is_interrupted = (layout.units / WORKER).exists() and not (layout.units / BEAT).exists()
    return layout.central_authority.exists() or is_interrupted


def of_this_machine(layout: Layout) -> tuple[str, ...]:
    """The units of the application that should run on this machine."""
    units = INSTALLED[role(layout)]
    return (*units, CONTENT) if (layout.settings / "hosts/content.env").exists() else units


def stop(layout: Layout) -> None:
    """Stop beat and worker, then the web. Its socket stays open, so that visitors wait instead of being refused."""
    units = of_this_machine(layout)
    systemctl("stop", *(unit for unit in (BEAT, WORKER, CONTENT) if unit in units))
    if WEB in units:
        systemctl("stop", WEB)


def stop_all(layout: Layout) -> None:
    """Stop everything that uses the data: the application, its socket and all games."""
    if SOCKET in of_this_machine(layout):
        # Both in one transaction: a visitor who came between two would start the web again.
        systemctl("stop", SOCKET, WEB)
    stop(layout)
    systemctl("stop", GAMES)


def start(layout: Layout) -> None:
    units = of_this_machine(layout)
    # A unit that failed too often is not started again while systemd remembers that.
    systemctl("reset-failed", *units, check=False)
    systemctl("start", *units)


def restart(units: Iterable[str]) -> None:
    systemctl("restart", *units)


def enable(units: Iterable[str]) -> None:
    """Start `units` now and at each boot."""
    systemctl("enable", "--now", "--quiet", *units)


def enable_at_boot(units: Iterable[str]) -> None:
    """Let `units` start at each boot, without starting them now."""
    if given := list(units):
        systemctl("enable", "--quiet", *given)


def start_also(units: Iterable[str]) -> None:
    """Start units besides those of `start`. Raises CommandError."""
    if given := list(units):
        systemctl("start", *given)


def renew_firewall() -> None:
    """Load the rules of the release that runs now in the place of those before, where the firewall is in use.

    What fails here does not end an upgrade: the rules before are kept then, and the doctor names it.
    """
    if are_active([FIREWALL]):
        systemctl("reload", FIREWALL, check=False)
        systemctl("start", FIREWALL_COUNTERS, check=False)


def disable(units: Iterable[str], *, stop: bool) -> None:
    """Let `units` not start at boot, and with `stop` end those that run."""
    if given := list(units):
        systemctl("disable", *(["--now"] if stop else []), "--quiet", *given, check=False)


def reload() -> None:
    """Make systemd read changed unit files."""
    systemctl("daemon-reload")


def states(layout: Layout) -> dict[str, str]:
    """The state of each unit as systemd names it: active, inactive, failed …"""
    units = of_this_machine(layout)
    lines = systemctl("is-active", *units, check=False).splitlines()
    return dict(zip(units, lines, strict=False))


def are_enabled(units: Iterable[str]) -> bool:
    expected = list(units)
    return systemctl("is-enabled", *expected, check=False).splitlines() == ["enabled"] * len(expected)


def enabled(units: Iterable[str]) -> list[str]:
    """Those of `units` that start at boot."""
    try:
        return [unit for unit in units if systemctl("is-enabled", unit, check=False).strip() == "enabled"]
    except commands.CommandError:
        return []  # without systemd


def are_active(units: Iterable[str]) -> bool:
    expected = list(units)
    try:
        return systemctl("is-active", *expected, check=False).splitlines() == ["active"] * len(expected)
    except commands.CommandMissing:
        return False  # without systemd


def properties(unit: str, *names: str) -> dict[str, str]:
    """Properties of a unit as `systemctl show` prints them."""
    lines = systemctl("show", unit, *(f"--property={name}" for name in names)).splitlines()
    return dict(line.partition("=")[::2] for line in lines)


def systemctl(*arguments: str, check: bool = True) -> str:
    """Run systemctl, which never asks for a password; returns its output. Raises CommandError if `check`."""
    argv = ["systemctl", "--no-ask-password", *arguments]
    return commands.run(argv, timeout=_SECONDS, check=check).output
