"""The copies that servers of this host have of files of the game and of overlays, and the operations on them.

`servers.gamehost.shadows` finds them. How many of them hide what an update of the game has changed is stored on the
server's row, for pages and for what needs attention.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from django.conf import settings
from django.utils import timezone

from left4me.core.redis import signals
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed
from overlays.replication import layers as replication_layers
from servers.gamehost import copies, shadows
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.game import NoVersion
from servers.gamehost.shadows import Shadow, State
from servers.gamehost.storage import KEPT
from servers.hosts import this_host
from servers.hosts.rpc import Reply
from servers.models import Server

logger = logging.getLogger(__name__)

GAME: Final = ""
# A page and the API list so many, what matters most first.
MOST_SHOWN: Final = 500


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
        kept=directory.read_kept(),
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
        try:
            copies.forget_aside(storage.of(server_id), before=before)
        except OSError as fault:
            logger.warning("what was set aside of server %s could not be deleted: %s", server_id, fault)


def answer(*, server: int) -> Reply | None:
    """What pages show: the copies, and what was set aside and can be put back."""
    row = Server.objects.select_related("blueprint").filter(pk=server).first()
    if row is None:
        return None
    found = find(row)
    files = [
        {
            "path": shadow.path,
            "overlay": layer,
            "state": shadow.state,
            "size": shadow.size,
            "changed_at": shadow.changed_at,
            "original_changed_at": shadow.original_changed_at,
        }
        for layer, shadow in found[:MOST_SHOWN]
    ]
    aside = copies.aside(this_host.storage().of(server))
    return Reply(
        {
            "files": files,
            "more": len(found) - len(files),
            "aside": {"files": aside.files, "at": aside.at} if aside else None,
        }
    )


def use_originals(server: Server, run: JobContext) -> None:
    """Set copies aside, so that the server uses the files of the game and of overlays again."""

    def change(directory: ServerDirectory, chosen: Sequence[Shadow], _found: Sequence[Shadow]) -> int:
        return copies.set_aside(directory, [shadow.path for shadow in chosen], now=timezone.now().timestamp())

    _change(server, run, change, "Set aside")


def keep(server: Server, run: JobContext) -> None:
    """Count copies as wanted: they are not outdated any more until the next update changes the file."""

    def change(directory: ServerDirectory, chosen: Sequence[Shadow], found: Sequence[Shadow]) -> int:
        return copies.keep(directory, chosen, found=found)

    _change(server, run, change, "Kept")


def put_back(server: Server, run: JobContext) -> None:
    """Put back what was set aside, or of it what `files` of the job names."""
    with _at_rest(server) as directory:
        put = copies.put_back(directory, only=run.params.get("files"))
        run.log(f"Put back: {put.done} files.")
        if put.left:
            run.log(f"Still set aside, because the server has others in their places: {put.left} files.")


_Change = Callable[[ServerDirectory, Sequence[Shadow], Sequence[Shadow]], int]


def _change(server: Server, run: JobContext, change: _Change, done: str) -> None:
    """Change the copies that `files` of the job names, or without it all that are outdated."""
    wanted = run.params.get("files")
    with _at_rest(server) as directory:
        # Only what is a copy now: nothing else of the server may be changed this way.
        found = [shadow for _layer, shadow in find(server)]
        if wanted is None:
            chosen = [shadow for shadow in found if shadow.state is State.OUTDATED]
        else:
            named = set(wanted)
            chosen = [shadow for shadow in found if shadow.path in named]
        for shadow in chosen:
            run.log(shadow.path)
        run.log(f"{done}: {change(directory, chosen, found)} files.")
        if wanted is not None and len(chosen) < len(named):
            run.log(f"Not changed, because they are no copies any more: {len(named) - len(chosen)} files.")


@contextlib.contextmanager
def _at_rest(server: Server) -> Iterator[ServerDirectory]:
    """The server's directory, locked, so that no game of it runs or starts meanwhile. Raises Failed.

    Afterwards what the server's row tells is true again, also of a change that failed half-way.
    """
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
        with contextlib.suppress(OSError):
            note(server)
