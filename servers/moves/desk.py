"""The web's part of a move: it admits each step of the two hosts, and changes the server's row at the end.

Every function takes the host that asks and the job that it runs, and refuses what is not the turn of this host: a host
can send the files of its own servers, where the web has requested that, and take those that were sent to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from left4me.audit import record
from left4me.core.files import room
from left4me.core.redis import hosts, signals
from left4me.jobs import actions as jobs
from left4me.jobs import failure_alerts
from left4me.jobs.models import Job
from servers.actions import placement
from servers.actions.moves import OPERATION
from servers.actions.servers import free_port
from servers.hosts import belongings, ports
from servers.hosts.server_steps import Declined, is_check
from servers.models import Server, ServerMove
from servers.moves import depot

DROP_TASK: Final = "servers.drop_moved"
_DROP_EXPIRES: Final = 3600.0
_PORT_TRIES: Final = 5
_GB: Final = 1_000_000_000
_MB: Final = 1_000_000
# Lines of the stream, beside the bytes of the files.
_MARGIN: Final = 256 * _MB

Stage = ServerMove.Stage


@dataclass(frozen=True)
class Offer:
    """What the new host takes."""

    size: int
    sha256: str


def begin(host: str, server_id: int, job_id: int, *, expected: int) -> int:
    """Admit a server of about `expected` bytes; returns how many have arrived before. Raises Declined."""
    move = _move(host, server_id, job_id, Stage.PACK)
    if (most := _most()) is not None and expected > most:
        raise Declined(f"The server has {_words(expected)}, more than a server may take along ({_words(most)}).")
    staged = depot.Staged(server_id, move.key)
    is_here = move.target.name == settings.LEFT4ME_HOST
    missing = max(0, expected - staged.size) + (expected if is_here else 0)
    if missing > depot.left():
        raise Declined(
            f"The disk of the web server's machine is too full: {_words(missing)} are needed on the way, "
            f"{_words(depot.left())} are free."
        )
    free = move.target.disk_free
    if not is_here and free is not None and expected > free - room.KEEP_FREE:
        raise Declined(
            f"The disk of host {move.target.name} is too full: the server has {_words(expected)}, "
            f"{_words(max(0, free - room.KEEP_FREE))} are free."
        )
    return staged.size


def append(host: str, server_id: int, job_id: int, piece: bytes, *, at: int) -> int:
    """Store a piece; returns how many bytes have arrived, also where it is not the next one. Raises Declined."""
    move = _move(host, server_id, job_id, Stage.PACK)
    if (most := _most()) is not None and at + len(piece) > most:
        raise Declined(f"More was sent than a server may take along ({_words(most)}).")
    if len(piece) > depot.left():
        raise Declined("The disk of the web server's machine is full.")
    try:
        return depot.Staged(server_id, move.key).append(piece, at=at)
    except depot.WrongPlace as fault:
        return fault.received
    except OSError as fault:
        raise Declined(f"The web server's machine could not store it: {fault.strerror}.") from fault


@transaction.atomic
def sent(host: str, server_id: int, job_id: int, *, size: int, sha256: str) -> None:
    """Note that all has arrived, and request the job of the new host. May be repeated. Raises Declined."""
    done = ServerMove.objects.filter(server=server_id, stage=Stage.UNPACK, sha256=sha256, source__name=host)
    if done.exists():
        return
    move = _move(host, server_id, job_id, Stage.PACK, for_update=True)
    if not is_check(sha256) or depot.Staged(server_id, move.key).size != size:
        raise Declined("Not all files have arrived. Move the server again.")
    params = {"stage": Stage.UNPACK.value, "to": move.target.name}
    job = jobs.request(
        operation=OPERATION, resource=move.server.resource, by=None, host=move.target.name, params=params
    )
    # Shown among the jobs of the person who asked, but not counted as a request of theirs.
    Job.objects.filter(pk=job.pk).update(user=move.user)
    move.stage, move.job_id, move.size, move.sha256 = Stage.UNPACK, job.pk, size, sha256
    move.save()


def offer(host: str, server_id: int, job_id: int) -> Offer:
    """What the host is to take. Raises Declined."""
    move = _move(host, server_id, job_id, Stage.UNPACK)
    return Offer(move.size, move.sha256)


def pieces(host: str, server_id: int, job_id: int, *, at: int) -> Iterator[bytes]:
    """The bytes from `at` on. Raises Declined."""
    move = _move(host, server_id, job_id, Stage.UNPACK)
    staged = depot.Staged(server_id, move.key)
    if staged.size != move.size or at > move.size:
        raise Declined("The files on the web server's machine are gone. Move the server again.")
    return staged.read(at)


def taken(host: str, server_id: int, job_id: int, *, sha256: str) -> str:
    """Put the server on the host, which has its files and has checked them; returns its new address.

    May be repeated. Raises Declined.
    """
    if not ServerMove.objects.filter(server=server_id).exists():
        there = Server.objects.select_related("host").filter(pk=server_id, host__name=host).first()
        if there is not None and _is_running(job_id, server_id, host):
            return placement.address_of(there)
    move = _move(host, server_id, job_id, Stage.UNPACK)
    if sha256 != move.sha256:
        raise Declined("The files that arrived are not those that were sent. Move the server again.")
    for attempt in range(_PORT_TRIES):
        try:
            return _switch(move, job_id, _port(move))
        except ValidationError as fault:
            # Another server took the port in the same moment.
            if attempt == _PORT_TRIES - 1:
                raise Declined(" ".join(fault.messages)) from fault
    raise AssertionError


def _port(move: ServerMove) -> int:
    """Its own port where that is free on the new host. Raises ValidationError when all are taken."""
    port, target = move.server.port, move.target
    if port in target.ports and port not in ports.reserved(target) and not ports.ask(target, [port]):
        return port
    return free_port(target)


@transaction.atomic
def _switch(move: ServerMove, job_id: int, port: int) -> str:
    # Locked, so that a cancel comes before or after.
    Job.objects.select_for_update().filter(pk=job_id).first()
    move = _move(move.target.name, move.server_id, job_id, Stage.UNPACK, for_update=True)
    server = (
        Server.objects.select_for_update(of=("self",))
        .select_related("host", "blueprint", "owner")
        .get(pk=move.server_id)
    )
    source, now = move.source, timezone.now()
    starts = server.desired_state == Server.Desired.RUNNING
    before = placement.address_of(server)
    placement.put_on(server, move.target, port=port, starts=starts, now=now)
    belongings.has_moved(server, move.target)
    details: dict[str, Any] = {
        "name": server.name,
        "source": source.name,
        "host": move.target.name,
        "port": port,
        "before": before,
    }
    record.write(action="server.move", by=move.user, target=server.resource, **details)
    move.delete()
    signals.send_after_commit(server.resource)
    transaction.on_commit(lambda: depot.drop(server.pk))
    hosts.send_after_commit(source.name, DROP_TASK, expires=_DROP_EXPIRES)
    return placement.address_of(server)


def forget_ended() -> int:
    """Remove the rows and files of moves whose job has ended without finishing them; returns how many.

    Called on the web's own host. The new host does not see the server, so it could not alert the owner of a failure.
    """
    moves = dict(ServerMove.objects.ended().values_list("server", "job_id"))
    ended = list(moves)
    for job in Job.objects.filter(pk__in=moves.values()):
        failure_alerts.complete(job, now=timezone.now())
    ServerMove.objects.filter(server__in=ended).delete()
    kept = set(ServerMove.objects.values_list("server", flat=True))
    for server_id in depot.ids():
        if server_id not in kept:
            depot.drop(server_id)
    return len(ended)


def _move(host: str, server_id: int, job_id: int, stage: Stage, *, for_update: bool = False) -> ServerMove:
    """The move, if it is the turn of this host and its job. Raises Declined."""
    rows = ServerMove.objects.select_related("server__host", "server__blueprint", "source", "target", "user")
    if for_update:
        rows = rows.select_for_update(of=("self",))
    move = rows.filter(server=server_id, job_id=job_id, stage=stage).first()
    if move is not None:
        whose = move.source if stage is Stage.PACK else move.target
        if whose.name == host and move.server.host_id == move.source_id and _is_running(job_id, server_id, host):
            return move
    raise Declined("This move has ended. Move the server again on its page.")


def _is_running(job_id: int, server_id: int, host: str) -> bool:
    return Job.objects.is_running(job_id, operation=OPERATION, resource=f"server:{server_id}", host=host)


def _most() -> int | None:
    """The most bytes that a server takes along; None where servers may write without limit."""
    if not settings.LEFT4ME_SERVER_DISK_GB:
        return None
    return int(settings.LEFT4ME_SERVER_DISK_GB * _GB + settings.LEFT4ME_BACKUP_QUOTA_MB * _MB + _MARGIN)


def _words(size: int) -> str:
    return f"{size / _MB:,.1f} MB"
