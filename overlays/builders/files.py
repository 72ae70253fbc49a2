"""Builds a files overlay: nothing to fetch, so it looks at what people put there and says what is wrong with it."""

from __future__ import annotations

from django.utils import timezone

from left4me.core.files.tree import Tree
from left4me.jobs import registry
from overlays import paths
from overlays.models import Overlay
from workshop import vpk


def build(run: registry.Run, overlay: Overlay) -> bool:
    """Measure the tree and check its VPKs; returns True, since only a change of content asks for this.

    Raises Failed when the game could not open a VPK: one such file in its addons ends the game at its start.
    """
    bad: list[str] = []
    count = size = 0
    with Tree(paths.directory(overlay)) as tree:
        for where, node in tree.walk():
            run.check()
            count, size = count + 1, size + node.size
            if node.name.lower().endswith(".vpk") and not node.is_link:
                run.progress(phase="check", done=count, unit="files")
                bad += _fault(tree, where)
    overlay.file_count, overlay.size_bytes = count, size
    overlay.content_version += 1
    overlay.built_at = timezone.now()
    overlay.save(update_fields=["file_count", "size_bytes", "content_version", "built_at"])
    run.log(f"files={count} bytes={size} broken={len(bad)}")
    if bad:
        raise registry.Failed("\n".join(["The game cannot open these files; remove or replace them.", *bad[:20]]))
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
    # `pak01_000.vpk` holds content for `pak01_dir.vpk` and has no header of its own.
    return name[-8:-4].startswith("_") and name[-7:-4].isdecimal()
