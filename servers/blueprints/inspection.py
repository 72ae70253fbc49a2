"""Checks of a blueprint together with the cfg files of its overlays, which are on the web's machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from left4me.core.files.tree import BadPath, Tree
from overlays import paths
from overlays.models import Overlay
from servers.blueprints import checks, maps
from servers.models import Blueprint

_CFG_FOLDER = paths.CFG.parent.parts
_MOST_FILES = 5000


def findings(blueprint: Blueprint) -> list[checks.Finding]:
    """All findings of a stored blueprint."""
    return findings_of_many([blueprint])[blueprint.pk]


def findings_of_many(blueprints: Sequence[Blueprint]) -> dict[int, list[checks.Finding]]:
    """All findings of these blueprints; the number of queries does not depend on their number."""
    start_maps = maps.check_start_maps(blueprints)
    return {
        row.pk: [*start_maps.get(row.pk, ()), *_texts(row.arguments, row.config, row.layers)] for row in blueprints
    }


def findings_of(*, arguments: str, config: str, layers: Sequence[Overlay]) -> list[checks.Finding]:
    """All findings of two texts for a blueprint with these layers, the topmost first."""
    return [*maps.check_start_map(arguments, layers), *_texts(arguments, config, layers)]


def _texts(arguments: str, config: str, layers: Iterable[Overlay]) -> list[checks.Finding]:
    # The folders are read for texts that need them only: lists show many blueprints.
    files = cfg_files(layers) if "exec" in config.lower() else {}
    return checks.check(arguments=arguments, config=config, files=files)


def cfg_files(layers: Iterable[Overlay]) -> dict[str, str]:
    """The files that `exec` finds: their paths below the cfg folder in lower case, and the overlay that wins."""
    files: dict[str, str] = {}
    for overlay in layers:
        root = paths.directory(overlay)
        if not root.is_dir():
            continue
        with Tree(root) as tree, contextlib.suppress(BadPath):
            for where, node in tree.walk(_CFG_FOLDER):
                if node.name.lower().endswith(".cfg"):
                    files.setdefault("/".join(where[len(_CFG_FOLDER) :]).lower(), overlay.name)
                if len(files) > _MOST_FILES:
                    return files
    return files
