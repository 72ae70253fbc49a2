"""Upgrading a machine that only runs games for a web elsewhere: a worker, and no database of its own."""

from __future__ import annotations

import time
from typing import Final

from deploy.ops import application, releases
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.progress import Progress
from left4me.core.processes import commands

# A worker that cannot work ends within its first seconds.
_WATCH_SECONDS: Final = 8.0


class SecondFault(Exception):
    """The upgrade did not happen, or was taken back; the message says why and what to do."""


def upgrade(layout: Layout, *, to: str | None, progress: Progress) -> str:
    """Bring this machine to `to`, else to where the present branch stands; returns the release that runs then.

    Upgrade the web's machine first: a worker that is newer than the database takes no jobs. Games go on.
    """
    old = releases.running(layout)
    progress.phase("fetching")
    releases.fetch(layout)
    new = releases.resolve(layout, to)
    progress.end_phase()
    if new == old:
        progress.say(f"{old} is what runs already")
        return old
    progress.phase(f"building {new}")
    tree = releases.build(layout, new)
    try:
        application.manage(layout, "check", "--fail-level=ERROR", release=tree)
    except commands.CommandError as error:
        raise SecondFault(f"{new} does not accept this machine's settings: {error}") from error
    progress.phase(f"starting {new}")
    _switch(layout, new)
    why = trouble(layout)
    progress.end_phase()
    if why:
        _switch(layout, old)
        raise SecondFault(f"{new} failed, and {old} runs again: {why}. journalctl -u {services.WORKER}")
    releases.prune(layout, keep={old, new})
    return new


def trouble(layout: Layout, *, seconds: float = _WATCH_SECONDS) -> str:
    """Why the worker is not well, watched for some seconds; empty when it is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.5)
        if not services.are_active(layout, [services.WORKER]):
            return "the worker ended"
    return ""


def _switch(layout: Layout, release: str) -> None:
    services.stop(layout)
    releases.switch(layout, release)
    services.start(layout)
