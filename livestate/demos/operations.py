"""The job that deletes demos, on the host with the files; and what pages ask that host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.utils.translation import gettext_lazy as _

from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed, Lock, RequestedJob, operation
from livestate.demos import files, recorder
from livestate.demos.models import DELETE, Demo
from servers.hosts.rpc import Reply
from servers.models import Server

# Process 1 of a game looks every five seconds.
_PATIENCE_SECONDS: Final = 15


def _beside_everything(job: RequestedJob) -> Iterable[Lock]:
    """A server may be started and stopped meanwhile; only one such job at a time."""
    yield Lock(job.resource.replace(":", "-demos:"), exclusive=True)


@operation(DELETE, title=_("Delete demos"), locks=_beside_everything, idempotent=True, needs_change=True)
def delete(run: JobContext) -> None:
    """Remove the demos of a server that `demos` of the job names."""
    server = Server.objects.filter(pk=run.resource_id).select_related("host").first()
    if server is None or server.host.name != run.host:
        run.log("The server was deleted, or is on another host now; nothing to do.")
        return
    recorder.note([server])
    rows = Demo.objects.filter(server=server, path__in=run.params["demos"])
    wanted = {row.path: row.changed for row in rows if not row.is_recording}
    for row in rows:
        run.log(f"{row.path}: {'left alone, because the game is recording it' if row.is_recording else row.size}")
    try:
        files.remove(server.pk, wanted)
    except OSError as fault:
        raise Failed(f"The demos could not be deleted: {fault}") from fault
    for _second in range(_PATIENCE_SECONDS):
        if not files.left(server.pk, wanted):
            break
        run.sleep(1)
    recorder.note([server])
    left = files.left(server.pk, wanted)
    run.log(f"Deleted: {len(wanted) - len(left)} demos.")
    if left:
        run.log(f"Deleted when the game ends, because it was started by an older release: {len(left)} demos.")


def piece(*, server: int, file: str, offset: int) -> Reply | None:
    """A part of a demo, for downloads."""
    try:
        found = files.piece(server, file, offset=offset)
    except files.NoSuchDemo:
        return None
    return Reply(found.facts(), found.data)
