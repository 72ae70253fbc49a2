"""Checks of a blueprint together with the cfg files of its overlays, which are on the web's machine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from overlays import paths
from overlays.models import Overlay
from servers.blueprints import checks
from servers.models import Blueprint

_MOST_FILES = 5000


def findings(blueprint: Blueprint) -> list[checks.Finding]:
    """All findings of a stored blueprint."""
    return findings_of(arguments=blueprint.arguments, config=blueprint.config, layers=blueprint.layers)


def findings_of(*, arguments: str, config: str, layers: Iterable[Overlay]) -> list[checks.Finding]:
    """All findings of two texts, with `exec` looked up in `layers`, the topmost first."""
    # The folders are read for texts that need them only: lists show many blueprints.
    files = cfg_files(layers) if "exec" in config.lower() else {}
    return checks.check(arguments=arguments, config=config, files=files)


def cfg_files(layers: Iterable[Overlay]) -> dict[str, str]:
    """The files that `exec` finds: their paths below the cfg folder in lower case, and the overlay that wins."""
    files: dict[str, str] = {}
    for overlay in layers:
        top = paths.directory(overlay) / paths.CFG.parent
        for folder, _folders, names in os.walk(top):
            for name in names:
                if name.lower().endswith(".cfg"):
                    files.setdefault((Path(folder) / name).relative_to(top).as_posix().lower(), overlay.name)
            if len(files) > _MOST_FILES:
                return files
    return files
