from __future__ import annotations

from pathlib import Path

import pytest

from left4me.core import version


def test_a_tree_says_its_release_and_a_checkout_has_that_of_the_project(tmp_path: Path):
    assert version.release_of(tmp_path) == version.PROJECT_VERSION
    (tmp_path / "RELEASE").write_text("\n")
    assert version.release_of(tmp_path) == version.PROJECT_VERSION
    (tmp_path / "RELEASE").write_text("20260102-abc\n")
    assert version.release_of(tmp_path) == "20260102-abc"


def test_the_release_of_this_installation_is_in_its_own_tree():
    tree = Path(version.__file__).resolve().parents[2]
    assert (tree / "manage.py").is_file()
    assert version.release_of(tree) == version.VERSION


@pytest.mark.parametrize(
    ("release", "than", "is_older"),
    [
        ("20260102-abc", "20260103-abd", True),
        ("20260103-abd", "20260102-abc", False),
        ("20260102-abc", "20260102-def", False),
        ("0.9.2", "0.10", True),
        ("0.10", "0.9.2", False),
        ("1.0", "1.0", False),
        ("1.0", "1.0.1", True),
        ("0.1.0", "20260102-abc", False),
        ("20260102-abc", "1.0", False),
        ("odd", "1.0", False),
        ("1.0", "odd", False),
    ],
)
def test_a_release_is_older_only_where_that_is_certain(release: str, than: str, is_older: bool):
    assert version.is_older(release, than=than) is is_older
