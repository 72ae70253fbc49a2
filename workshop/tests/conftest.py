from collections.abc import Iterator

import pytest

from left4me.core.net import fetch
from left4me.testing.simulated_steam import SimulatedSteam


@pytest.fixture
def steam_world(tmp_path) -> Iterator[SimulatedSteam]:
    """A simulated Steam that publishes nothing yet."""
    folder = tmp_path / "steam"
    folder.mkdir()
    with SimulatedSteam(folder) as steam:
        yield steam


@pytest.fixture
def client(steam_world) -> Iterator[fetch.Client]:
    hosts = fetch.AllowedHosts.parse([".steamusercontent.com", steam_world.url])
    with fetch.Client(hosts=hosts, connect_timeout=5, read_timeout=5) as client:
        yield client
