"""One game shared by the tests that leave it as they found it, and a starter for the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servers.simulated import harness


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., harness.Sim]]:
    """Starts games that end with the test; `start(name="b")` gives another tree."""
    with contextlib.ExitStack() as stack:

        def starter(*args: str, name: str = "a", **options) -> harness.Sim:
            return stack.enter_context(harness.running(tmp_path / name, args=args, **options))

        yield starter


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Sim]:
    """A game for reading only: nobody plays, nothing changes."""
    with harness.running(tmp_path_factory.mktemp("shared"), args=["-maxplayers", "8"]) as sim:
        yield sim
