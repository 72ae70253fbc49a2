from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from left4me.core.files import room
from left4me.testing.simulated_steam import SimulatedSteam
from overlays import paths
from overlays.models import Overlay
from overlays.replication import client
from overlays.tests.factories import make_overlay
from overlays.tests.replicas import Web
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


@pytest.fixture
def maps(db: None, left4me_root: Path) -> Overlay:
    """An overlay with a few files, as the web has it."""
    made = make_overlay(name="maps", content_version=3)
    tree = paths.directory(made)
    (tree / "cfg").mkdir(parents=True)
    (tree / "cfg" / "a.cfg").write_bytes(b"first line\nsecond line\n" * 20)
    (tree / "run").write_bytes(b"program")
    (tree / "run").chmod(0o755)
    (tree / "same").write_bytes(b"program")
    (tree / "none").touch()
    return made


@pytest.fixture
def web(maps: Overlay, monkeypatch, settings) -> Web:
    """The web with the files of `maps`, from which this process, on another host, fetches them."""
    settings.LEFT4ME_WEB_URL, settings.LEFT4ME_HOST_TOKEN = "https://web", "token"
    web = Web(Overlay.objects.get(pk=maps.pk))
    monkeypatch.setattr(client.fetch, "Client", lambda **how: contextlib.nullcontext(web))
    return web


@pytest.fixture
def free(monkeypatch) -> list[int]:
    """How much room the disk has."""
    left = [10_000_000]
    monkeypatch.setattr(room, "left", lambda _path: left[0])
    return left
