"""The list of the backups of a whole machine. Root writes it; the application may not read the backups themselves."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from left4me.core.files import atomic

FOLDER: Final = Path("/var/backups/left4me")
# A nightly backup that is older than this was missed.
LATE_AFTER: Final = timedelta(hours=36)

_NAME: Final = "list.json"


def write(folder: Path, backups: list[dict[str, Any]]) -> None:
    """Store the list for the group of `folder`, whose other users cannot list its files."""
    content = json.dumps(backups, indent=1)
    atomic.write(folder / _NAME, content, mode=0o640, durable=True, owner=(0, folder.stat().st_gid))


def read(folder: Path) -> list[dict[str, Any]]:
    """The listed backups that are still there, the newest first. Raises OSError and ValueError."""
    listed = json.loads((folder / _NAME).read_text())
    there = [backup for backup in listed if (folder / str(backup["name"])).exists()]
    return sorted(there, key=lambda backup: str(backup["created_at"]), reverse=True)


def changed_at(folder: Path) -> float:
    """When the list was last written, in seconds since the epoch; 0 without one."""
    with contextlib.suppress(OSError):
        return (folder / _NAME).stat().st_mtime
    return 0.0
