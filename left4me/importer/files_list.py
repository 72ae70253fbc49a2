"""The list of the files that a plan takes, on the disk beside the row: it may have hundreds of thousands of lines."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from left4me.core.files import atomic
from left4me.importer.models import Import
from left4me.importer.plan import File


class Missing(Exception):
    """The list is gone, or cannot be read: the directory has to be read again."""


def write(row: Import, files: Sequence[Sequence[File]]) -> None:
    """Store the files of each of the plan's trees."""
    path = row.files_list
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with atomic.replacing(path, mode=0o600, durable=True) as stream, gzip.open(stream, "wt", encoding="utf-8") as text:
        for number, tree in enumerate(files):
            text.writelines(json.dumps([number, *file]) + "\n" for file in tree)


def read(row: Import) -> dict[int, list[File]]:
    """The files by the number of their tree. Raises Missing."""
    found: dict[int, list[File]] = {}
    try:
        with gzip.open(row.files_list, "rt", encoding="utf-8") as lines:
            for line in lines:
                number, *values = json.loads(line)
                found.setdefault(number, []).append(File(*values))
    except (OSError, ValueError, TypeError, EOFError) as fault:
        raise Missing from fault
    return found


def remove(row: Import) -> None:
    path: Path = row.files_list
    path.unlink(missing_ok=True)
