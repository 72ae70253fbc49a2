"""Checks of a blueprint together with the cfg files of its overlays."""

from __future__ import annotations

from pathlib import Path

import pytest

from left4me.testing.cast import Cast
from overlays import paths
from overlays.models import Overlay
from overlays.tests.factories import make_overlay
from servers.blueprints import inspection


@pytest.fixture
def overlay(cast: Cast, settings, tmp_path: Path) -> Overlay:
    settings.LEFT4ME_ROOT = tmp_path / "root"
    return make_overlay(owner=cast.owner, name="Rules")


def _messages(overlay: Overlay, config: str) -> list[str]:
    return [finding.message for finding in inspection.findings_of(arguments="", config=config, layers=[overlay])]


def test_exec_names_the_overlay_that_holds_the_file(overlay: Overlay) -> None:
    folder = paths.directory(overlay) / "left4dead2/cfg/Modes"
    folder.mkdir(parents=True)
    (folder / "Versus.cfg").write_text("sv_alltalk 1\n")
    [found, missing] = _messages(overlay, "exec modes/versus.cfg\nexec nowhere.cfg")
    assert "Rules" in found
    assert "No overlay of this blueprint contains left4dead2/cfg/nowhere.cfg" in missing


def test_a_link_out_of_an_overlay_is_not_followed(overlay: Overlay, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/own.cfg").write_text("")
    for link in ("left4dead2/cfg", "left4dead2"):
        place = paths.directory(overlay) / link
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(tmp_path / "secret", target_is_directory=True)
        assert inspection.cfg_files([overlay]) == {}
        place.unlink()
        if place.parent != paths.directory(overlay):
            place.parent.rmdir()


def test_an_overlay_without_a_directory_has_no_files_and_gets_none(overlay: Overlay) -> None:
    assert inspection.cfg_files([overlay]) == {}
    assert not paths.directory(overlay).exists()
