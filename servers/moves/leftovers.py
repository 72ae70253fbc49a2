"""Files of servers that are on another host now: the mark by which they are known, and their removal.

The old host marks a server's directory before it sends anything, and the new one marks what it has made until the web
has put the server there. A directory with a mark is removed when its server is not on this host; one without stays,
whatever the database says, since that may have been restored from an older copy.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from typing import Final

from django.conf import settings

from left4me.core.files import walk
from left4me.jobs.models import Job
from servers.actions.moves import OPERATION
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.storage import open_up
from servers.hosts import belongings, this_host
from servers.models import Server
from servers.moves import depot

logger = logging.getLogger(__name__)

_MARK: Final = "moves"


def mark(directory: ServerDirectory) -> None:
    (directory.path / _MARK).touch()


def unmark(directory: ServerDirectory) -> None:
    (directory.path / _MARK).unlink(missing_ok=True)


def is_marked(directory: ServerDirectory) -> bool:
    return (directory.path / _MARK).exists()


def remove(directory: ServerDirectory) -> None:
    """Remove all files of a server. Nothing may run. Raises OSError and walk.TooDeep."""
    try:
        shutil.rmtree(directory.path)
    except PermissionError:
        # A game of the same user may have closed its folders.
        open_up(directory.path)
        shutil.rmtree(directory.path)


def remove_moved() -> int:
    """Remove what servers left here that have moved away; returns how many."""
    storage = this_host.storage()
    marked = [server_id for server_id in storage.ids() if is_marked(storage.of(server_id))]
    moving = _moving()
    here = set(Server.objects.on_host(settings.LEFT4ME_HOST).filter(pk__in=marked).values_list("pk", flat=True))
    removed = 0
    for server_id in marked:
        directory = storage.of(server_id)
        if server_id in moving or directory.is_held():
            continue
        if server_id in here:
            # Its move failed.
            unmark(directory)
            continue
        try:
            remove(directory)
            for name in belongings.names():
                shutil.rmtree(belongings.folder(name, server_id), ignore_errors=True)
            removed += 1
        except (OSError, walk.TooDeep) as fault:
            logger.warning("the files of server %s, which has moved, could not be removed: %s", server_id, fault)
    return removed


def remove_unfinished() -> None:
    """On worker hosts: remove what a broken move has left of the files that it took."""
    moving = _moving()
    for server_id in depot.ids():
        if server_id not in moving:
            depot.drop(server_id)


def _moving() -> set[int]:
    """The servers that a job of this host moves now."""
    jobs = Job.objects.live().on_host(settings.LEFT4ME_HOST).filter(operation=OPERATION)
    found = set()
    for resource in jobs.values_list("resource", flat=True):
        with contextlib.suppress(ValueError):
            found.add(int(resource.partition(":")[2]))
    return found
