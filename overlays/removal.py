"""Removing from a host's disk what a deleted overlay left there."""

from __future__ import annotations

import shutil

from django.utils.translation import gettext_lazy as _

from left4me.jobs import registry
from overlays import places
from overlays.models import Overlay


@registry.operation("remove_overlay", title=_("Remove files"), idempotent=True, cancellable=False, final=True)
def remove_overlay(run: registry.Run) -> None:
    """Delete the directory that left4me made for an overlay whose row is gone."""
    if Overlay.objects.filter(pk=run.resource_id).exists():
        raise registry.Failed("This overlay still exists; its files stay.")
    tree = places.root() / str(run.resource_id)
    if tree.is_symlink():
        tree.unlink()
    elif tree.exists():
        # rmtree works on directory handles and follows no link.
        shutil.rmtree(tree)
    run.log(f"removed {tree.name}")
