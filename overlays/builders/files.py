"""Builds a files overlay: nothing is downloaded, so a build only measures the files and checks the VPKs."""

from __future__ import annotations

from django.utils import timezone

from left4me.core.files.tree import Tree
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed
from overlays import paths
from overlays.models import Overlay
from workshop import vpk


def build(run: JobContext, overlay: Overlay) -> bool:
    """Measure the tree and check its VPKs. Returns True: only a change of content requests this build.

    Raises Failed for a VPK that the game cannot open: such a file in the addons ends the game at its start.
    """
    broken: list[str] = []
    count = size = 0
    with Tree(paths.directory(overlay)) as tree:
        for where, node in tree.walk():
            run.check()
            count, size = count + 1, size + node.size
            if node.name.lower().endswith(".vpk") and not node.is_link:
                run.progress(phase="check", done=count, unit="files")
                broken += _fault(tree, where)
    overlay.record_change(now=timezone.now(), file_count=count, size_bytes=size)
    run.log(f"files={count} bytes={size} broken={len(broken)}")
    if broken:
        raise Failed("\n".join(["The game cannot open these files; remove or replace them.", *broken[:20]]))
    return True


def _fault(tree: Tree, where: tuple[str, ...]) -> list[str]:
    path = "/".join(where)
    if _is_numbered_part(where[-1]):
        return []
    try:
        with tree.open(where) as stream:
            for _entry in vpk.Vpk(stream):
                continue
    except vpk.NotValid as reason:
        return [f"{path} {reason}"]
    return []


def _is_numbered_part(name: str) -> bool:
    # `pak01_000.vpk` contains data for `pak01_dir.vpk` and has no header of its own.
    return name[-8:-4].startswith("_") and name[-7:-4].isdecimal()
