"""Requests of imports: reading a directory, carrying out what was shown, and discarding it."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core.web.refusals import Cure, Refused
from left4me.importer import plan
from left4me.importer.models import KEPT, Import
from left4me.importer.source import BadSource, checked_path
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from left4me.jobs.states import LIVE
from servers.models import Host


@transaction.atomic
def create(
    *, path: str, owner: User, by: User, host: Host | None = None, launch: str = "", is_anywhere: bool = False
) -> Import:
    """The row of an import whose directory is yet to be read. Raises ValidationError."""
    if not settings.LEFT4ME_IMPORT_FROM and not is_anywhere:
        raise ValidationError({"path": _("Imports are switched off here: LEFT4ME_IMPORT_FROM is empty.")})
    try:
        checked = checked_path(path, below=None if is_anywhere else settings.LEFT4ME_IMPORT_FROM)
    except BadSource as fault:
        raise ValidationError({"path": str(fault)}) from fault
    row = Import.objects.create(
        user=by,
        owner=owner,
        host=host,
        path=str(checked),
        launch=launch.strip(),
        is_anywhere=is_anywhere,
        language=get_language() or settings.LANGUAGE_CODE,
    )
    record.write(action="import.read", by=by, target=row.resource, path=row.path, owner=owner.get_username())
    for old in Import.objects.exclude(job__state__in=LIVE)[KEPT:]:
        _delete(old)
    return row


@transaction.atomic
def request(*, path: str, owner: User, by: User, host: Host | None = None, launch: str = "") -> Import:
    """Request that a directory is read, as a job. Nothing is written by it. Raises ValidationError and Refused."""
    row = create(path=path, owner=owner, by=by, host=host, launch=launch)
    row.job = jobs.request(operation="read_import", resource=row.resource, by=by, host=settings.LEFT4ME_HOST)
    row.save(update_fields=["job"])
    return row


@transaction.atomic
def carry_out(*, row: Import, by: User, servers: Sequence[str] | None = None) -> Job:
    """Request that the shown plan is carried out, with these of its servers or with all. Raises Refused."""
    current = Import.objects.select_for_update(of=("self",)).select_related("job", "owner").get(pk=row.pk)
    if current.plan is None:
        raise Refused(_("The directory was not read yet. Wait until its plan is shown."))
    if current.finished_at is not None:
        raise Refused(_("This import was carried out already. Read the directory again to import it once more."))
    if current.job is not None and not current.job.has_ended:
        raise Refused(_("This import is in progress already."), cure=_open_job(current.job))
    there = keys(plan.from_json(current.plan))
    if servers is not None and (unknown := sorted(set(servers) - set(there))):
        raise Refused(_("The plan has no server “%s”.") % unknown[0])
    params = {"servers": sorted(servers)} if servers is not None else {}
    job = jobs.request(
        operation="carry_out_import", resource=row.resource, by=by, host=settings.LEFT4ME_HOST, params=params
    )
    current.job = job
    current.save(update_fields=["job"])
    record_carrying_out(current, by=by)
    return job


def record_carrying_out(row: Import, *, by: User) -> None:
    found = plan.from_json(row.plan or {})
    record.write(
        action="import.carry_out", by=by, target=row.resource, path=row.path, files=found.file_count, size=found.size
    )


@transaction.atomic
def discard(*, row: Import, by: User) -> None:
    """Delete an import and its plan. What it created stays. Raises Refused while a job works on it."""
    if row.job is not None and not row.job.has_ended:
        raise Refused(_("This import is in progress. Cancel its job first."))
    record.write(action="import.discard", by=by, target=row.resource, path=row.path)
    _delete(row)


def _open_job(job: Job) -> Cure:
    return Cure(label=_("Open job"), url=job.get_absolute_url())


def keys(found: plan.Plan) -> list[str]:
    """The names of the planned servers: “0.1” is the second one of the first folder."""
    return [f"{number}.{at}" for number, tree in enumerate(found.trees) for at in range(len(tree.servers))]


def _delete(row: Import) -> None:
    path = row.files_list
    row.delete()
    transaction.on_commit(lambda: path.unlink(missing_ok=True))
