"""The jobs of imports, on the host of the web."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from left4me.importer import execution, files_list, reader, report
from left4me.importer.models import Import
from left4me.importer.source import BadSource, open_source
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed, Lock, RequestedJob, operation


@operation("read_import", title=_("Read directory"), idempotent=True)
def read(run: JobContext) -> None:
    """Read the directory of an import, and store the plan that a user then confirms."""
    make_plan(_row(run), run)


def make_plan(row: Import, run: JobContext) -> None:
    """Make and store the plan of an import. Raises Failed and Cancelled."""
    below = None if row.is_anywhere else settings.LEFT4ME_IMPORT_FROM
    with translation.override(row.language):
        try:
            with open_source(row.path, below=below) as source:
                reading = reader.read(source, launch_text=row.launch, watcher=run)
        except BadSource as fault:
            raise Failed(str(fault)) from fault
    files_list.write(row, reading.files)
    row.plan = reading.plan.as_json()
    row.save(update_fields=["plan"])
    for line in report.lines(reading.plan):
        run.log(line)


def _row_and_quota(job: RequestedJob) -> Iterable[Lock]:
    """The import, and its owner's quota: other jobs that fill it take turns with this one."""
    yield Lock(job.resource, exclusive=True)
    owner = Import.objects.filter(pk=job.resource.partition(":")[2]).values_list("owner_id", flat=True).first()
    if owner is not None:
        yield Lock(f"quota:{owner}", exclusive=True)


@operation("carry_out_import", title=_("Import server"), locks=_row_and_quota, idempotent=True)
def carry_out(run: JobContext) -> None:
    """Create what the plan of an import says, as far as an earlier attempt has not."""
    execution.carry_out(_row(run), chosen=run.params.get("servers"), run=run)


def _row(run: JobContext) -> Import:
    row = Import.objects.select_related("owner", "user", "host").filter(pk=run.resource_id).first()
    if row is None:
        raise Failed("The import was discarded.")
    return row
