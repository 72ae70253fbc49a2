"""Tests of advisories know the cast by role and have a data directory of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def data(settings: Any, tmp_path: Path) -> Path:
    """A data directory for this test."""
    settings.LEFT4ME_ROOT = tmp_path / "root"
    settings.LEFT4ME_ROOT.mkdir()
    return settings.LEFT4ME_ROOT


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder outside of the data directory, with a file that nobody may read, change or delete."""
    folder = tmp_path / "secret"
    folder.mkdir(mode=0o700)
    (folder / "key").write_text("told-to-nobody")
    (folder / "key").chmod(0o600)
    return folder
