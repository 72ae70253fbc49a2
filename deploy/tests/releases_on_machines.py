"""Fixtures of a machine that releases are built on."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.ops.layout import Layout


@pytest.fixture(scope="module", name="environments")
def shared_environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("venvs")


@pytest.fixture(name="layout")
def layout_of_machine(tmp_path: Path, environments: Path) -> Layout:
    """A machine of its own, but for the Python environments: the locks of all tests are the same."""
    layout = Layout(tmp_path / "machine")
    layout.program.mkdir(parents=True)
    layout.settings.mkdir(parents=True)
    layout.venvs.symlink_to(environments)
    return layout
