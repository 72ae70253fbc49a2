"""Builds a files overlay: nothing is downloaded, so a build measures the files and inspects its campaigns and VPKs."""

from __future__ import annotations

from django.utils import timezone

from left4me.core.files.tree import Tree
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed
from overlays import contents, paths
from overlays.campaigns import rows
from overlays.campaigns.finder import Finder
from overlays.models import Overlay


def build(run: JobContext, overlay: Overlay) -> bool:
    """Measure the tree and inspect its VPKs. Returns True: only a change of content requests this build.

    Raises Failed for a VPK that the game cannot open: such a file in the addons ends the game at its start.
    """
    finder, listing = Finder(), contents.Listing()
    count = size = 0
    with Tree(paths.directory(overlay)) as tree:
        for where, node in tree.walk():
            run.check()
            count, size = count + 1, size + node.size
            finder.take(where, node)
            listing.take(where, node)
        run.progress(phase="inspect", done=count, unit="files")
        found = rows.inspect(overlay, finder, tree=tree, check=run.check)
        contents.record(overlay, listing, tree=tree)
    addons = rows.record(overlay, found)
    overlay.record_change(now=timezone.now(), file_count=count, size_bytes=size)
    broken = rows.broken(addons)
    rows.log(run, addons)
    run.log(f"files={count} bytes={size} broken={len(broken)}")
    if broken:
        raise Failed("\n".join(["The game cannot open these files; remove or replace them.", *broken[:20]]))
    return True
