"""Environments of releases: shared by those with the same lock file, and never changed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.ops import venvs
from deploy.ops.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "machine")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Environments of two small files in place of real ones; lists what was built."""
    calls: list[Path] = []

    def build(venv: Path, lock: Path) -> None:
        calls.append(venv)
        (venv / "bin").mkdir(parents=True)
        (venv / "bin/python").symlink_to("/usr/bin/python3")
        (venv / "package.py").write_text(lock.read_text())

    monkeypatch.setattr(venvs, "_build", build)
    return calls


def _release(layout: Layout, name: str, lock: str = "django==5.2\n") -> Path:
    tree = layout.releases / name
    tree.mkdir(parents=True)
    (tree / "requirements.txt").write_text(lock)
    venvs.provide(layout, tree)
    return tree


def _venv(tree: Path) -> Path:
    return (tree / ".venv").resolve()


@pytest.mark.venv
def test_a_real_environment_runs_through_the_link_of_its_release(layout: Layout):
    tree = _release(layout, "one", lock="")
    python = tree / ".venv/bin/python"
    prefix = subprocess.check_output([python, "-c", "import sys; print(sys.prefix)"], text=True).strip()
    assert Path(prefix).resolve() == _venv(tree)
    assert _venv(tree).is_relative_to(layout.venvs)
    assert venvs.is_sealed(_venv(tree)), "running it does not break the seal"


def test_releases_with_the_same_lock_file_share_one(layout: Layout, built: list[Path]):
    one, two = _release(layout, "one"), _release(layout, "two")
    assert _venv(one) == _venv(two)
    assert len(built) == 1


def test_another_lock_file_has_another(layout: Layout, built: list[Path]):
    one, two = _release(layout, "one"), _release(layout, "two", lock="django==5.3\n")
    assert _venv(one) != _venv(two)
    assert (_venv(one) / "package.py").read_text() == "django==5.2\n"


@pytest.mark.parametrize("change", ["write", "add", "remove"])
def test_one_that_was_changed_is_given_to_no_other_release_and_stays_for_its_own(
    layout: Layout, built: list[Path], change: str
):
    one = _release(layout, "one")
    package = _venv(one) / "package.py"
    if change == "write":
        package.write_text("by hand")
    elif change == "add":
        (_venv(one) / "another.py").touch()
    else:
        package.unlink()
    two, three = _release(layout, "two"), _release(layout, "three")
    assert _venv(one) != _venv(two) == _venv(three)
    assert (_venv(two) / "package.py").read_text() == "django==5.2\n"
    assert _venv(one).is_dir()
    assert len(built) == 2


def test_compiled_files_are_no_change(layout: Layout, built: list[Path]):
    one = _release(layout, "one")
    (_venv(one) / "__pycache__").mkdir()
    (_venv(one) / "__pycache__/package.pyc").touch()
    assert _venv(_release(layout, "two")) == _venv(one)


def test_one_whose_building_was_cut_off_is_built_again(layout: Layout, built: list[Path]):
    one = _release(layout, "one")
    (_venv(one) / ".sealed").unlink()
    (_venv(one) / "half").touch()
    shutil.rmtree(one)
    two = _release(layout, "two")
    assert built == [_venv(two)] * 2
    assert not (_venv(two) / "half").exists()


def test_pruning_removes_those_that_no_release_uses(layout: Layout, built: list[Path]):
    one, two, three = _release(layout, "one"), _release(layout, "two"), _release(layout, "three", lock="other\n")
    gone = _venv(three)
    shutil.rmtree(three)
    shutil.rmtree(one)
    venvs.prune(layout)
    assert not gone.exists()
    assert _venv(two).is_dir()


def test_nothing_is_pruned_before_the_first(layout: Layout):
    venvs.prune(layout)
