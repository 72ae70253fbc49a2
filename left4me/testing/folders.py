from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def listed(folder: Path) -> list[str]:
    """The names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def count_handles() -> int:
    """How many files and directories this process has open."""
    return len(listed(Path("/proc/self/fd")))


@pytest.fixture
def open_path() -> Iterator[Path]:
    """An empty directory that every user can reach; those of `tmp_path` are closed to others."""
    path = Path(tempfile.mkdtemp(prefix="left4me-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
