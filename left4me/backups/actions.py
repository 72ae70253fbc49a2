"""Requests of backups and restores, also of the whole machine, and their deletion."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.backups.models import Backup
from left4me.core.redis import hosts
from left4me.core.web.refusals import Refused
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from overlays.models import Overlay
from servers.models import Host, Server

TIDY_TASK = "backups.tidy"


@transaction.atomic
def request(*, target: Server | Overlay, by: User | None, reason: Backup.Reason = Backup.Reason.MANUAL) -> Backup:
    """Request a backup of a server or a files overlay, as a job on its host. Raises Refused."""
    if isinstance(target, Overlay) and target.kind != Overlay.Kind.FILES:
        raise Refused(
            _("Only files overlays can be backed up. The others are built again from their items or script.")
        )
    waiting = Backup.objects.of(target).filter(finished_at=None, reason=reason).exclude(job=None)
    for backup in waiting.select_related("job"):
        if backup.job is not None and not backup.job.has_ended:
            return backup
        # Its job was cancelled before it began.
        backup.delete()
    is_server = isinstance(target, Server)
    host = target.host.name if isinstance(target, Server) else settings.LEFT4ME_HOST
    backup = Backup.objects.begin(target, user=by, host=host, reason=reason)
    backup.job = jobs.request(
        operation="back_up", resource=target.resource, by=by, host=backup.host, params={"backup": backup.pk}
    )
    backup.save(update_fields=["job"])
    record.write(action="server.backup" if is_server else "overlay.backup", by=by, target=target.resource)
    return backup


@transaction.atomic
def request_of_machine(*, host: Host | None, by: User) -> Job:
    """Request a backup of the whole machine of the web. Raises Refused where `left4mectl` cannot make one."""
    if host is None or not host.backups_machine:
        raise Refused(
            _(
                "left4me was not installed by deploy/install on this machine, so it cannot back it up as a whole. To "
                "make a backup, stop left4me and copy its data directory."
            )
        )
    job = jobs.request(operation="back_up_machine", resource="machine", by=by, host=host.name)
    record.write(action="host.back_up", by=by, target=f"host:{host.pk}", job=job.pk)
    return job


@transaction.atomic
def restore(*, backup: Backup, by: User) -> Job:
    """Request a restore, which backs up the present files first. Raises Refused."""
    server = backup.server
    if server is not None and not server.is_at_rest:
        raise Refused(_("The server is running. Stop it, then restore the backup."))
    job = jobs.request(
        operation="put_back", resource=backup.resource, by=by, host=backup.host, params={"backup": backup.pk}
    )
    action = "server.restore_backup" if server else "overlay.restore_backup"
    record.write(action=action, by=by, target=backup.resource, made_at=backup.created_at.isoformat())
    return job


@transaction.atomic
def delete(*, backup: Backup, by: User) -> None:
    """Delete a backup. Its host removes the archive. Raises Refused while it is being made."""
    if backup.finished_at is None and backup.job is not None and not backup.job.has_ended:
        raise Refused(_("This backup is being made. Cancel its job first."))
    action = "server.delete_backup" if backup.server_id else "overlay.delete_backup"
    record.write(action=action, by=by, target=backup.resource, made_at=backup.created_at.isoformat())
    host = backup.host
    backup.delete()
    hosts.send_after_commit(host, TIDY_TASK, expires=3600)
