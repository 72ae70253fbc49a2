"""The copies that servers of this host have of files of the game and of overlays, and the operations on them.

`servers.gamehost.shadows` finds them. How many of them hide what an update of the game has changed is stored on the
server's row, for pages and for what needs attention.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from left4me.core.redis import signals
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed
from overlays.replication import layers as replication_layers
from servers.gamehost import shadows
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.game import NoVersion
from servers.gamehost.shadows import Shadow, State
from servers.gamehost.storage import KEPT
from servers.hosts import this_host
from servers.hosts.rpc import Reply
from servers.models import Server

logger = logging.getLogger(__name__)

GAME = ""


def _layers(server: Server) -> list[tuple[str, Path]]:
    """Names and directories of what the next start mounts below the writable layer, as far as it is here."""
    overlays = server.blueprint.layers
    trees = replication_layers.present(overlays)
    named = [(overlay.name, trees[overlay.pk]) for overlay in overlays if overlay.pk in trees]
    with contextlib.suppress(NoVersion):
        named.append((GAME, this_host.games().current().path))
    return named


def find(server: Server) -> list[tuple[str, Shadow]]:
    """The copies of a server, each with the name of the overlay whose file it hides, or GAME."""
    layers = _layers(server)
    previous = None
    with contextlib.suppress(NoVersion):
        previous = this_host.games().previous().path
    directory = this_host.storage().of(server.pk)
    found = shadows.find(
        directory.upper,
        [tree for _name, tree in layers],
        # Without the game, the last layer is an overlay.
        previous_game=previous if layers and layers[-1][0] == GAME else None,
        besides=directory.read_generated(),
    )
    return [(layers[shadow.layer][0], shadow) for shadow in found]


def note(server: Server) -> int:
    """Store how many copies of game files hide newer ones; returns the number. Raises OSError."""
    outdated = sum(layer == GAME and shadow.state is State.OUTDATED for layer, shadow in find(server))
    if Server.objects.filter(pk=server.pk).exclude(outdated_files=outdated).update(outdated_files=outdated):
        signals.send_after_commit(server.resource)
    return outdated


def note_all() -> None:
    """`note` for every server of this host; what cannot be read is left as it was."""
    for server in Server.objects.on_host(settings.LEFT4ME_HOST).select_related("blueprint"):
        try:
            note(server)
        except OSError as fault:
            logger.warning("The files of server %s could not be compared: %s", server.pk, fault)


def forget_aside(*, now: datetime) -> None:
    """Delete what was set aside a week ago."""
    storage, before = this_host.storage(), (now - KEPT).timestamp()
    for server_id in storage.ids():
        shadows.forget_aside(storage.of(server_id), before=before)


def answer(*, server: int) -> Reply | None:
    """What pages show: the copies, and what was set aside and can be put back."""
    row = Server.objects.select_related("blueprint").filter(pk=server).first()
    if row is None:
        return None
    files = [
        {
            **{name: value for name, value in asdict(shadow).items() if name != "layer"},
            "overlay": layer,
        }
        for layer, shadow in find(row)
    ]
    directory = this_host.storage().of(server)
    aside = shadows.aside(directory)
    facts: dict[str, Any] = {"files": files, "aside": None}
    if aside:
        facts["aside"] = {"files": len(aside), "at": directory.aside.stat().st_mtime}
    return Reply(facts)


def use_originals(server: Server, run: JobContext) -> None:
    """Set copies aside, so that the server uses the files of the game and of overlays again."""
    _change(server, run, shadows.set_aside, "Set aside")


def keep(server: Server, run: JobContext) -> None:
    """Count copies as wanted: they are not outdated any more until the next update changes the file."""
    _change(server, run, shadows.keep, "Kept")


def put_back(server: Server, run: JobContext) -> None:
    """Put back what was set aside."""
    with _at_rest(server) as directory:
        run.log(f"Put back {shadows.put_back(directory)} files.")
    note(server)


def _change(
    server: Server, run: JobContext, change: Callable[[ServerDirectory, Sequence[str]], int], done: str
) -> None:
    """Change the copies that `files` of the job names, or without it all that are outdated."""
    wanted = run.params.get("files")
    with _at_rest(server) as directory:
        # Only what is a copy now: nothing else of the server may be changed this way.
        paths = [
            shadow.path
            for _layer, shadow in find(server)
            if (shadow.state is State.OUTDATED if wanted is None else shadow.path in wanted)
        ]
        for path in paths:
            run.log(path)
        run.log(f"{done}: {change(directory, paths)} files.")
    note(server)


@contextlib.contextmanager
def _at_rest(server: Server) -> Iterator[ServerDirectory]:
    """The server's directory, locked, so that no game of it runs or starts meanwhile. Raises Failed."""
    directory = this_host.storage().of(server.pk)
    if not directory.upper.is_dir():
        raise Failed("The server has no files of its own.")
    if (lock := directory.try_lock()) is None:
        raise Failed("The server is running. Stop it, then try again.")
    try:
        yield directory
    except OSError as fault:
        raise Failed(f"The files could not be changed: {fault}") from fault
    finally:
        os.close(lock)
