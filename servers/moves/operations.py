"""The job that moves a server: on the old host it sends the files, on the new one it takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from django.utils.translation import gettext_lazy as _

from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed, lock_with_backups, operation
from servers.actions import placement
from servers.actions.moves import OPERATION
from servers.gamehost import parcels
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.storage import used
from servers.hosts import belongings, this_host
from servers.hosts.server_steps import SENT_AT_ONCE
from servers.lifecycle import lifecycle
from servers.lifecycle.operations import rcon_passwords
from servers.models import Server, ServerMove
from servers.moves import arrival, depot, doors, leftovers
from servers.moves.doors import Declined, Door, Unavailable

_MB: Final = 1_000_000


def move(run: JobContext) -> None:
    """Send the server's files, or take them, as the stage of the job says."""
    try:
        with doors.opened(run) as door:
            if run.params["stage"] == ServerMove.Stage.PACK:
                _send(run, door)
            else:
                _take(run, door)
    except (Declined, Unavailable) as fault:
        raise Failed(f"{fault} {_STAYS}") from fault
    except parcels.TooMany as fault:
        raise Failed(f"The server has more than {parcels.MOST_ENTRIES:,} files. {_STAYS}") from fault
    except arrival.NotReceived as fault:
        raise Failed(f"{fault} {_STAYS}") from fault
    except (OSError, parcels.Malformed) as fault:
        raise Failed(f"The server's files could not be moved: {fault}. {_STAYS}") from fault


_STAYS: Final = "The server stays on its host, with all its files."


def _send(run: JobContext, door: Door) -> None:
    server = Server.objects.select_related("host", "blueprint").filter(pk=run.resource_id).first()
    if server is None:
        run.log("The server was deleted, or is on another host now; nothing to do.")
        return
    directory = this_host.storage().of(server.pk)
    expected = sum(used(tree).size for tree in belongings.trees(directory, server.pk).values())
    received = door.begin(expected=expected)
    lifecycle.stop(server, run)
    directory.prepare()
    leftovers.mark(directory)
    run.log(f"The server's files take {expected / _MB:,.1f} MB; sending them to host {run.params['to']}.")
    if received:
        run.log(f"{received / _MB:,.1f} MB have arrived before.")
    left_out = parcels.LeftOut()
    digest, size = _send_stream(run, door, _stream(directory, server.pk, left_out), received, expected)
    if left_out.count:
        run.log(
            f"Left out {left_out.count} things that are no files, or links that lead out of the server's directory: "
            f"{', '.join(left_out.paths)}",
            stream="stderr",
        )
    door.sent(size=size, sha256=digest)
    run.log(f"Sent {size / _MB:,.1f} MB. Host {run.params['to']} takes them now.")


def _stream(directory: ServerDirectory, server_id: int, left_out: parcels.LeftOut) -> Iterator[bytes]:
    """The stream, in pieces of one size. The files that each start makes anew hold the old password: they stay."""
    buffer = bytearray()
    with arrival.notes(directory) as notes:
        trees = {**notes, **belongings.trees(directory, server_id)}
        for piece in parcels.pack(trees, besides={"upper": directory.read_generated()}, left_out=left_out):
            buffer += piece
            while len(buffer) >= SENT_AT_ONCE:
                yield bytes(buffer[:SENT_AT_ONCE])
                del buffer[:SENT_AT_ONCE]
    if buffer:
        yield bytes(buffer)


def _send_stream(
    run: JobContext, door: Door, stream: Iterator[bytes], received: int, expected: int
) -> tuple[str, int]:
    """Send what has not arrived; returns the SHA-256 and the size of all."""
    digest, size = hashlib.sha256(), 0
    for piece in stream:
        run.check()
        digest.update(piece)
        end = size + len(piece)
        if end > received:
            at = max(size, received)
            received = door.put(piece[at - size :], at=at)
            if received != end:
                raise Failed(f"The web server lost what was sent before. Move the server again. {_STAYS}")
        size = end
        run.progress(phase="sending", done=size, total=max(expected, size), unit="bytes")
    if received > size:
        raise Failed(f"The server's files have changed since they were sent. Move the server again. {_STAYS}")
    return digest.hexdigest(), size


def _take(run: JobContext, door: Door) -> None:
    directory = this_host.storage().of(run.resource_id)
    there = Server.objects.select_related("host").filter(pk=run.resource_id, host__name=run.host).first()
    if there is not None:
        # The first run of this job died after the web had put the server here.
        leftovers.unmark(directory)
        run.log(f"The server is on host {run.host} already. Its address is {placement.address_of(there)}.")
        return
    offer = door.offer()
    parcel = arrival.Parcel(offer.size, offer.sha256, door.pieces(offer.size))
    arrival.receive(run, directory, parcel, fresh=depot.folder(run.resource_id) / "fresh")
    address = door.taken(sha256=offer.sha256)
    leftovers.unmark(directory)
    run.log(f"The server is on host {run.host} now. Its address is {address}, and its RCON password is new.")


def register() -> None:
    """Called once when Django is ready."""
    operation(
        OPERATION,
        title=_("Move to another host"),
        locks=lock_with_backups,  # its backups move with it
        idempotent=True,
        final=True,
        needs_change=True,
        secrets=rcon_passwords,
    )(move)
