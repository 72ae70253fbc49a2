"""The web's part of copies: it takes the pieces of a host's own servers, and gives a copy to the new host of one.

Every function takes the host that asks, the server and the job that the host runs for it. Raises Declined.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from left4me.audit import record
from left4me.core.redis import signals
from left4me.jobs.models import Job
from servers.copies import store
from servers.copies.store import Store
from servers.hosts.server_steps import Declined, check_of, is_check
from servers.models import Server, ServerCopy, copies

MOST_ASKED: Final = 128
_NAMES_KEPT: Final = 10
_LONGEST_NAME: Final = 300
_GB: Final = 1_000_000_000


@dataclass(frozen=True)
class Told:
    """What the host tells of a stream that it has sent."""

    list_of_pieces: str  # the SHA-256 of the piece that lists the others
    sha256: str
    sent: int
    left_out: int
    left_out_paths: Sequence[str]


@dataclass(frozen=True)
class Offer:
    """What the new host takes: also when it was copied, in words for the log."""

    size: int
    sha256: str
    copied_at: str
    lost_host: str


def begin(host: str, server_id: int, job_id: int) -> int:
    """Admit a copy; returns how many bytes of files it may have."""
    copy = _copy(host, server_id, job_id, copies.COPY)
    if copy.lost_host:
        raise Declined("The server waits for its files from the copy. It is copied when it has them.")
    if not copies.are_made():
        raise Declined("Copies are turned off: LEFT4ME_HOST_COPIES_GB is 0 on the web server's machine.")
    return settings.LEFT4ME_HOST_COPY_GB * _GB


def missing(host: str, server_id: int, job_id: int, digests: Sequence[object]) -> list[str]:
    """Those of these pieces that the web does not have."""
    _copy(host, server_id, job_id, copies.COPY)
    if len(digests) > MOST_ASKED:
        raise Declined("Too many pieces were asked for at once.")
    return Store(server_id).missing([digest for digest in digests if isinstance(digest, str) and is_check(digest)])


def put(host: str, server_id: int, job_id: int, piece: bytes) -> None:
    """Store a piece."""
    copy = _copy(host, server_id, job_id, copies.COPY)
    if not Store(server_id).missing([check_of(piece)]):
        return
    # A copy and the pieces of the next one lie there side by side.
    if copy.stored + len(piece) > 2 * settings.LEFT4ME_HOST_COPY_GB * _GB:
        raise Declined(f"The server has more than may be copied ({settings.LEFT4ME_HOST_COPY_GB} GB).")
    if ServerCopy.objects.stored_bytes() + len(piece) > settings.LEFT4ME_HOST_COPIES_GB * _GB:
        _give_up(copy)
        raise Declined(
            f"The copies of all servers have reached LEFT4ME_HOST_COPIES_GB ({settings.LEFT4ME_HOST_COPIES_GB} GB) on "
            "the web server's machine. Raise it there, or have the server write less."
        )
    if len(piece) > store.left():
        _give_up(copy)
        raise Declined("The disk of the web server's machine is full.")
    try:
        grown = Store(server_id).add(piece)
    except OSError as fault:
        raise Declined(f"The web server's machine could not store it: {fault.strerror}.") from fault
    if grown:
        ServerCopy.objects.filter(pk=copy.pk).update(stored=F("stored") + grown)


def finish(host: str, server_id: int, job_id: int, told: Told) -> None:
    """Make what was sent the copy of the server. May be repeated."""
    copy = _copy(host, server_id, job_id, copies.COPY)
    kept, begun_at = Store(server_id), Job.objects.get(pk=job_id).started_at or timezone.now()
    try:
        pieces = store.parse(kept.take(told.list_of_pieces))
        copy.stored = kept.publish(pieces, sha256=told.sha256, copied_at=begun_at)
    except (OSError, ValueError, store.NotWhole) as fault:
        raise Declined("Not all pieces have arrived. Request the copy again.") from fault
    copy.size, copy.sha256, copy.copied_at = sum(piece.size for piece in pieces), told.sha256, begun_at
    copy.sent, copy.left_out = told.sent, told.left_out
    copy.left_out_paths = [str(path)[:_LONGEST_NAME] for path in told.left_out_paths[:_NAMES_KEPT]]
    copy.save()
    signals.send_after_commit(f"host:{copy.server.host_id}")


def offer(host: str, server_id: int, job_id: int) -> Offer:
    """What the host is to take."""
    copy = _copy(host, server_id, job_id, copies.RESTORE)
    if not copy.lost_host or copy.copied_at is None:
        raise Declined("There is no copy that waits for this server.")
    try:
        Store(server_id).pieces()
    except store.NotWhole:
        raise Declined("The copy on the web server's machine is not whole any more.") from None
    return Offer(copy.size, copy.sha256, f"{copy.copied_at:%Y-%m-%d %H:%M} UTC", copy.lost_host)


def pieces(host: str, server_id: int, job_id: int, *, at: int) -> Iterator[bytes]:
    """The bytes of the copy from `at` on."""
    _copy(host, server_id, job_id, copies.RESTORE)
    return Store(server_id).read(at)


@transaction.atomic
def taken(host: str, server_id: int, job_id: int) -> None:
    """Note that the host has the files. May be repeated."""
    copy = _copy(host, server_id, job_id, copies.RESTORE)
    if not copy.lost_host:
        return
    details: dict[str, Any] = {"name": copy.server.name, "source": copy.lost_host, "host": host}
    if copy.copied_at is not None:
        details["copied_at"] = copy.copied_at.isoformat()
    record.write(action="server.restore_copy", by=None, target=copy.server.resource, **details)
    copy.lost_host = ""
    copy.save(update_fields=["lost_host"])
    signals.send_after_commit(copy.server.resource)


def tidy() -> int:
    """Remove copies of servers that are gone, or on the web's own host now. Returns how many.

    Called on the web's own host.
    """
    here = Server.objects.filter(host__name=settings.LEFT4ME_HOST).exclude(copy__lost_host__gt="")
    wanted = set(Server.objects.exclude(pk__in=here.values("pk")).values_list("pk", flat=True))
    ServerCopy.objects.exclude(pk__in=wanted).delete()
    gone = [server_id for server_id in store.ids() if server_id not in wanted]
    for server_id in gone:
        Store(server_id).drop()
    _compare(wanted)
    return len(gone)


def _compare(wanted: Collection[int]) -> None:
    """Have the rows say what is on the disk: after a restore of this machine's own backup they may differ."""
    known = dict(ServerCopy.objects.values_list("pk", "sha256"))
    for server_id in wanted:
        head = Store(server_id).head()
        if head is not None and head.sha256 != known.get(server_id):
            told = {"sha256": head.sha256, "copied_at": head.copied_at, "size": head.size, "stored": head.size}
            made = {"created_at": head.copied_at, "requested_at": head.copied_at}
            ServerCopy.objects.update_or_create(pk=server_id, defaults=told, create_defaults=told | made)
        elif head is None and known.get(server_id):
            ServerCopy.objects.filter(pk=server_id).update(copied_at=None, sha256="", size=0, stored=0)


def _copy(host: str, server_id: int, job_id: int, operation: str) -> ServerCopy:
    """The row of the server, if it is on this host and the job runs there."""
    rows = ServerCopy.objects.select_related("server__host").filter(server=server_id, server__host__name=host)
    copy = rows.first()
    runs = Job.objects.is_running(job_id, operation=operation, resource=f"server:{server_id}", host=host)
    if copy is None or not runs:
        raise Declined("This job has ended, or the server is on another host now.")
    return copy


def _give_up(copy: ServerCopy) -> None:
    """Remove what has arrived of a copy that there is no room for."""
    ServerCopy.objects.filter(pk=copy.pk).update(stored=Store(copy.pk).drop_unlisted())
