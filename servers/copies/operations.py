"""The jobs of copies: one sends the files of a server to the machine of the web, the other takes them from there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from django.utils.translation import gettext_lazy as _

from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed, Lock, RequestedJob, backup_lock, lock_with_backups, operation
from overlays.replication.attempts import Unavailable
from servers.copies import doors, pieces, selection, store
from servers.copies.desk import MOST_ASKED, Told
from servers.copies.doors import FarDoor
from servers.copies.store import Piece
from servers.gamehost import parcels
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.storage import used
from servers.hosts import belongings, this_host
from servers.hosts.server_steps import SENT_AT_ONCE, Declined, check_of
from servers.lifecycle.operations import rcon_passwords
from servers.models import Server
from servers.models.copies import COPY, RESTORE
from servers.moves import arrival, depot, leftovers

# So many bytes are held while the web is asked which pieces it has.
_HELD: Final = 4 * SENT_AT_ONCE
_MB: Final = 1_000_000
_STAYS: Final = "The copy stays on the web server's machine. Retry this job when the cause is mended."


def _one_after_the_other(job: RequestedJob) -> Iterable[Lock]:
    """A game may start and stop meanwhile. Copies of one host take turns, and do not hold up its other jobs."""
    yield backup_lock(job)
    yield Lock("copies", exclusive=True)


def copy(run: JobContext) -> None:
    """Send what has changed of the server's files since the last copy. A game that runs goes on."""
    server = Server.objects.select_related("host").filter(pk=run.resource_id, host__name=run.host).first()
    directory = this_host.storage().of(run.resource_id)
    if server is None:
        run.log("The server was deleted, or is on another host now; nothing to do.")
        return
    # Of one that was never started, there is an empty copy.
    directory.prepare()
    if not server.is_at_rest:
        run.log("The game is running. Files that it writes meanwhile may be from different moments.")
    try:
        with doors.sending(run) as door:
            _Sending(run, door, directory).send()
    except (Declined, Unavailable) as fault:
        raise Failed(str(fault)) from fault
    except selection.TooLarge as fault:
        raise Failed(
            f"The server has written {fault.size / _MB:,.1f} MB, more than LEFT4ME_HOST_COPY_GB on the web server's "
            "machine allows for a copy. Delete files of the server, or raise it there."
        ) from fault
    except parcels.TooMany as fault:
        raise Failed(f"The server has more than {parcels.MOST_ENTRIES:,} files.") from fault
    except OSError as fault:
        raise Failed(f"The server's files could not be copied: {fault}.") from fault


class _Sending:
    """Sends one stream: the web is asked for several pieces at once which of them it has."""

    def __init__(self, run: JobContext, door: FarDoor, directory: ServerDirectory) -> None:
        self._run, self._door, self._directory = run, door, directory
        self._digest = hashlib.sha256()
        self._listed: list[Piece] = []
        self._held: dict[str, bytes] = {}
        self._sent = self._done = 0

    def send(self) -> None:
        run, most = self._run, self._door.begin()
        with arrival.notes(self._directory) as notes:
            self._send_all({**notes, **belongings.trees(self._directory, run.resource_id)}, most=most)

    def _send_all(self, trees: Mapping[str, Path], *, most: int) -> None:
        run = self._run
        expected = sum(used(tree).size for tree in trees.values())
        chosen = selection.choose(trees, most=most)
        left_out = parcels.LeftOut(chosen.count, list(chosen.names))
        besides = {**chosen.besides, "upper": self._directory.read_generated()}
        stream = parcels.pack(trees, besides=besides, left_out=left_out, while_in_use=True)
        for piece in pieces.cut(stream):
            run.check()
            self._hold(piece)
            run.progress(phase="copying", done=self._done, total=max(expected, self._done), unit="bytes")
        self._flush()
        self._finish(left_out)

    def _hold(self, piece: bytes) -> None:
        digest = check_of(piece)
        self._digest.update(piece)
        self._listed.append(Piece(digest, len(piece)))
        self._done += len(piece)
        self._held[digest] = piece
        if len(self._held) >= MOST_ASKED or sum(map(len, self._held.values())) >= _HELD:
            self._flush()

    def _flush(self) -> None:
        if not self._held:
            return
        for digest in self._door.missing(list(self._held)):
            self._run.check()
            self._door.put(self._held[digest])
            self._sent += len(self._held[digest])
        self._held.clear()

    def _finish(self, left_out: parcels.LeftOut) -> None:
        listed = store.as_list(self._listed)
        if len(listed) > SENT_AT_ONCE:
            raise Declined("The server has too many files for a copy.")
        self._door.put(listed)
        told = Told(
            list_of_pieces=check_of(listed),
            sha256=self._digest.hexdigest(),
            sent=self._sent,
            left_out=left_out.count,
            left_out_paths=left_out.paths,
        )
        self._door.finish(told)
        if left_out.count:
            self._run.log(f"Left out {left_out.count}: {', '.join(left_out.paths)}", stream="stderr")
        self._run.log(
            f"Copied {self._done / _MB:,.1f} MB; {self._sent / _MB:,.1f} MB of it had changed and were sent."
        )


def restore(run: JobContext) -> None:
    """Take the files of a server of a lost host from the copy."""
    directory = this_host.storage().of(run.resource_id)
    try:
        with doors.taking(run) as door:
            offer = door.offer()
            run.log(f"Taking the copy of {offer.copied_at} from host {offer.lost_host}, {offer.size / _MB:,.1f} MB.")
            parcel = arrival.Parcel(offer.size, offer.sha256, door.pieces(offer.size))
            arrival.receive(run, directory, parcel, fresh=depot.root() / f"copy-{run.resource_id}")
            leftovers.unmark(directory)
            belongings.have_arrived(Server.objects.get(pk=run.resource_id))
            door.taken()
    except (Declined, Unavailable, arrival.NotReceived) as fault:
        raise Failed(f"{fault} {_STAYS}") from fault
    except (OSError, parcels.Malformed, store.NotWhole) as fault:
        raise Failed(f"The server's files could not be restored: {fault}. {_STAYS}") from fault
    run.log(f"The server has its files of {offer.copied_at} again.")


def register() -> None:
    """Called once when Django is ready."""
    operation(
        COPY,
        title=_("Copy to the web server's machine"),
        locks=_one_after_the_other,
        idempotent=True,
        needs_change=True,
        secrets=rcon_passwords,
    )(copy)
    operation(
        RESTORE,
        title=_("Restore from the copy"),
        locks=lock_with_backups,
        idempotent=True,
        final=True,
        needs_change=True,
        secrets=rcon_passwords,
    )(restore)
