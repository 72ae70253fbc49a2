"""The job that makes a backup of the whole machine. Root makes it: the worker may only start the unit that does."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Final

from django.utils.translation import gettext_lazy as _

from left4me.core.processes import commands
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed, operation
from servers.gamehost.port import LogLine
from servers.gamehost.systemd import journal, units
from servers.hosts import machine_backups
from servers.hosts.rpc import Reply

_LOOK_EVERY: Final = 2.0
_LINES: Final = 100
# A line of `left4mectl backup`: "overlays: 1.2 GB, 34 %".
_SHARE: Final = re.compile(r"\w+: .+, (\d+) %")
_COMPLAINT: Final = "left4mectl backup: "


# Not cancellable: the application may start a backup, and not end one that the timer may have started.
@operation("back_up_machine", title=_("Back up the whole machine"), idempotent=True, cancellable=False)
def back_up_machine(run: JobContext) -> None:
    """Start the unit that backs up the machine every night, and wait for its end; one under way is only awaited."""
    if machine_backups.facts() is None:
        raise Failed("This machine was not set up by deploy/install, so it has no backups of the whole machine.")
    log = _Log(run)
    try:
        units.run(machine_backups.UNIT, cancelled=log.follow)
    except commands.CommandError as fault:
        log.read()
        raise Failed(log.complaint or str(fault)) from fault
    log.read()


def listed() -> Reply | None:
    """The backups of this machine for its page; None where there are none to be made."""
    facts = machine_backups.facts()
    return None if facts is None else Reply({**facts, "items": machine_backups.found()})


class _Log:
    """Takes the new lines of the unit's log into that of the job."""

    def __init__(self, run: JobContext) -> None:
        self._run = run
        self._next = 0.0
        self.complaint = ""
        self._seen = {line.cursor for line in self._newest()}

    def follow(self) -> bool:
        """Read every few seconds; returns whether the job shall stop waiting."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LOOK_EVERY
            self.read()
        return self._run.cancelled()

    def read(self) -> None:
        for line in self._newest():
            if line.cursor in self._seen:
                continue
            self._seen.add(line.cursor)
            self._run.log(line.text)
            if share := _SHARE.fullmatch(line.text):
                self._run.progress(phase="copying", done=int(share[1]), total=100, unit="%")
            elif line.text.startswith(_COMPLAINT):
                self.complaint = line.text.removeprefix(_COMPLAINT)

    def _newest(self) -> list[LogLine]:
        with contextlib.suppress(commands.CommandError):
            return journal.tail(machine_backups.UNIT, _LINES)
        return []
