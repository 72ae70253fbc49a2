from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from left4me.importer import reader
from left4me.importer.reader import Reading
from left4me.importer.source import open_source
from left4me.importer.tests.shapes import SHAPES
from left4me.testing.recorded_run import RecordedRun
from left4me.testing.simulated_steam import SimulatedSteam

Read = Callable[..., Reading]


@pytest.fixture
def root(settings: Any, tmp_path: Path) -> Path:
    """A data directory for this test."""
    settings.LEFT4ME_ROOT = tmp_path / "root"
    settings.LEFT4ME_ROOT.mkdir()
    settings.LEFT4ME_IMPORT_FROM = [tmp_path / "old"]
    return settings.LEFT4ME_ROOT


@pytest.fixture
def steam(settings: Any, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedSteam]:
    """A simulated Steam that the settings refer to, without pauses."""
    folder = tmp_path / "steam"
    folder.mkdir()
    monkeypatch.setattr("workshop.steam._SECONDS_BETWEEN_CALLS", 0.0)
    monkeypatch.setattr("workshop.steam._BACK_OFF_SECONDS", (0.0, 0.0))
    with SimulatedSteam(folder) as steam:
        settings.LEFT4ME_STEAM_API_URL = steam.url
        settings.LEFT4ME_STEAM_CONTENT_HOSTS = [steam.url]
        yield steam


@pytest.fixture
def old(tmp_path: Path) -> Callable[[str], Path]:
    """Makes the directory of an old server of the shape with this name."""

    def make(shape: str) -> Path:
        top = tmp_path / "old" / shape
        top.mkdir(parents=True)
        return SHAPES[shape](top)

    return make


@pytest.fixture
def read() -> Read:
    """Plans the import of a directory."""

    def plan(path: Path, **options: Any) -> Reading:
        with open_source(str(path), below=None) as source:
            return reader.read(source, watcher=RecordedRun("import:1"), **options)

    return plan
