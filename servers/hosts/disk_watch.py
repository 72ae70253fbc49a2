"""Ends games that fill the disk of this host, and games whose end nobody could write down.

Neither needs a row, a file or a message of Celery: on a full disk none of them can be written. What happened is noted
down as soon as there is room. A thread of the worker, because without room no periodic task arrives either.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from celery import signals
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from left4me.core.files import reserve, room
from left4me.core.redis import keys, pubsub
from servers.gamehost.port import RuntimeFault, ServerRuntime, State
from servers.gamehost.storage import Storage, Used
from servers.hosts import this_host
from servers.models import Server
from servers.state import state_log

logger = logging.getLogger(__name__)

_SCARCE_BYTES: Final = 128 * 1024**2
_SCARCE_FILES: Final = 256
# What a game must have written since the last look to count as the one that fills the disk.
_MUCH: Final = Used(size=64 * 1024**2, files=1_000)
_MEASURE_EVERY: Final = 30.0
_PAUSE: Final = 1.0
_GB: Final = 1_000_000_000


@dataclass(frozen=True)
class _Note:
    server_id: int
    text: str


class DiskWatch:
    def __init__(self, root: Path, *, runtime: ServerRuntime, limit: int, scarce: int = _SCARCE_BYTES) -> None:
        """`limit`: the most bytes of one server, 0 for any number. Fewer free bytes than `scarce` are too few."""
        self._root = root
        self._runtime = runtime
        self._storage = Storage(root)
        self._limit = limit
        self._scarce = scarce
        self._used: dict[int, Used] = {}
        self._measure_at = 0.0
        self._notes: list[_Note] = []

    def look(self) -> None:
        """End what writes too much, and note down what was ended. Costs one system call while all is well."""
        missing = room.shortage(self._root, size=self._scarce, files=_SCARCE_FILES)
        if missing or time.monotonic() >= self._measure_at:
            self._measure_at = time.monotonic() + _MEASURE_EVERY
            self._measure(missing)
        self._write_notes()

    def end(self, server_id: int, *, forcibly: bool, why: str) -> None:
        """End a game now; what came of it is noted down when there is room."""
        try:
            self._runtime.kill(server_id) if forcibly else self._runtime.stop(server_id)
        except (RuntimeFault, OSError) as fault:
            logger.error("server %s could not be ended: %s", server_id, fault)
            return
        logger.error("server %s was ended: %s", server_id, why)
        self._notes.append(_Note(server_id, why))

    def _measure(self, missing: str) -> None:
        ids = self._storage.ids()
        running = [pk for pk, seen in self._runtime.observe(ids).items() if seen.state is not State.STOPPED]
        used = {pk: self._storage.used(pk) for pk in running}
        if missing:
            if reserve.give_up(self._root):
                logger.critical("The disk of this host has no free %s: its reserve was given up", missing)
            self._end_worst(used, missing)
        else:
            with contextlib.suppress(OSError):
                reserve.keep(self._root)
        for pk, has in used.items():
            if self._limit and has.size > self._limit:
                why = (
                    f"It had written {has.size / _GB:.1f} GB and was ended: a server may write "
                    f"{self._limit / _GB:.0f} GB (LEFT4ME_SERVER_DISK_GB). Delete what it wrote, or raise the limit."
                )
                self.end(pk, forcibly=True, why=why)
        self._used = used

    def _end_worst(self, used: dict[int, Used], missing: str) -> None:
        """End the game that wrote most since the last look, if that was much. The others are left alone."""
        grown = {pk: has.since(self._used.get(pk)) for pk, has in used.items()}
        by_inodes = missing == "inodes"
        worst = max(grown, key=lambda pk: grown[pk].files if by_inodes else grown[pk].size, default=None)
        if worst is None or not (grown[worst].files > _MUCH.files if by_inodes else grown[worst].size > _MUCH.size):
            return
        has = used[worst]
        why = (
            f"The disk of its host was full, and it wrote most: {has.size / _GB:.1f} GB in {has.files} files. "
            "It was ended so that the others go on. Delete what it wrote before you start it again."
        )
        self.end(worst, forcibly=True, why=why)

    def _write_notes(self) -> None:
        while self._notes:
            note = self._notes[0]
            try:
                server = Server.objects.filter(pk=note.server_id).first()
                if server is not None:
                    _note_down(server, note.text)
            except (DatabaseError, OSError) as error:
                logger.warning("What became of server %s cannot be noted down yet: %s", note.server_id, error)
                return
            self._notes.pop(0)


def _note_down(server: Server, text: str) -> None:
    Server.objects.filter(pk=server.pk).update(
        desired_state=Server.Desired.STOPPED, failed_starts=0, next_start_at=None, hung_since=None
    )
    state_log.record_state(server, Server.State.STOPPED, now=timezone.now(), detail=text)
    state_log.set_last_error(server, text)


def ask_to_end(server: Server, *, forcibly: bool) -> bool:
    """Ask the host of `server` to end its game without a job; return whether Redis took the message.

    Redis passes messages on also while it refuses to store anything.
    """
    message = json.dumps({"end": server.pk, "forcibly": forcibly})
    return pubsub.publish(keys.cancel_channel(server.host.name), message)


@signals.worker_ready.connect
def start(**_: object) -> None:
    """Watch the disk for as long as this worker runs."""
    threading.Thread(target=_watch, name="disk-watch", daemon=True).start()


def _watch() -> None:
    watch = DiskWatch(this_host.root(), runtime=this_host.runtime(), limit=settings.LEFT4ME_SERVER_DISK_GB * _GB)
    said = ""
    while True:
        try:
            # Without a message it yields once a second.
            with pubsub.listen(keys.cancel_channel(settings.LEFT4ME_HOST)) as messages:
                said = ""
                for message in messages:
                    if message and message.startswith(b"{"):
                        asked = json.loads(message)
                        why = "It was ended without a job, because nothing could be written on its host or the web's."
                        watch.end(int(asked["end"]), forcibly=bool(asked["forcibly"]), why=why)
                    watch.look()
                    close_old_connections()
        # Whatever it is, the thread must survive it.
        except Exception as error:
            if str(error) != said:
                said = str(error)
                logger.warning("The disk of this host is watched without Redis: %s", error)
            time.sleep(_PAUSE)
            with contextlib.suppress(Exception):
                watch.look()
