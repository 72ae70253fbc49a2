"""Removing from a host's disk what a deleted overlay left there."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from left4me.jobs import registry
from left4me.jobs.models import Job
from overlays import paths
from overlays.models import Overlay
from overlays.replication.server import hashes_file
from overlays.replication.store import Copies, is_needed


def _locks(job: Job) -> Iterable[registry.Lock]:
    """The web's host waits for builds and starts there; others have copies, and none waits for one that is down."""
    if job.host == settings.LEFT4ME_HOST:
        yield registry.Lock(job.resource, exclusive=True)
    else:
        yield registry.Lock(job.resource.replace(":", "-"), exclusive=True)


@registry.operation(
    "remove_overlay", title=_("Remove files"), locks=_locks, idempotent=True, cancellable=False, final=True
)
def remove_overlay(run: registry.Run) -> None:
    """Delete the directory that left4me made for an overlay whose row is gone; elsewhere the copies of its content."""
    if Overlay.objects.filter(pk=run.resource_id).exists():
        raise registry.Failed("This overlay still exists; its files stay.")
    if is_needed():
        _remove_copies(run)
        return
    tree = paths.root() / str(run.resource_id)
    if tree.is_symlink():
        tree.unlink()
    elif tree.exists():
        # rmtree works on directory handles and follows no link.
        shutil.rmtree(tree)
    hashes_file(run.resource_id).unlink(missing_ok=True)
    run.log(f"removed {tree.name}")


def _remove_copies(run: registry.Run) -> None:
    copies = Copies(run.resource_id)
    with copies.alone(run.check):
        if copies.remove():
            run.log(f"removed the copies of overlay {run.resource_id}")
        else:
            run.log("A running server still uses a copy; it goes with the daily tidying after that server's stop.")
