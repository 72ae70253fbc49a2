from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from left4me.testing.simulated_steam import SimulatedSteam
from workshop import item_download


@pytest.fixture
def left4me_root(settings, tmp_path) -> Path:
    """A data directory for this test."""
    settings.LEFT4ME_ROOT = tmp_path / "root"
    settings.LEFT4ME_ROOT.mkdir()
    return settings.LEFT4ME_ROOT


@pytest.fixture
def steam_world(settings, tmp_path, left4me_root, monkeypatch) -> Iterator[SimulatedSteam]:
    """A simulated Steam that the settings refer to; pauses between attempts are skipped."""
    folder = tmp_path / "steam"
    folder.mkdir()
    monkeypatch.setattr(item_download, "_WAITS", (0.0, 0.0))
    monkeypatch.setattr("workshop.steam._SECONDS_BETWEEN_CALLS", 0.0)
    monkeypatch.setattr("workshop.steam._BACK_OFF_SECONDS", (0.0, 0.0))
    with SimulatedSteam(folder) as steam:
        settings.LEFT4ME_STEAM_API_URL = steam.url
        settings.LEFT4ME_STEAM_CONTENT_HOSTS = [".steamusercontent.com", steam.url]
        yield steam
