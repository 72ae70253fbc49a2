"""What is below a directory whose content nobody trusts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from left4me.core.files import walk


def test_entries_are_sorted_and_those_with_the_prefix_left_out_with_all_below(tmp_path: Path):
    for name in ("b/two", "b/one", "a/.tmp-file", ".tmp-folder/inside", "last"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "link").symlink_to("../b/one")
    found = {path: target for path, _status, target in walk.entries(tmp_path, skip_prefix=".tmp-")}
    assert found == {"a": "", "b": "", "last": "", "a/link": "../b/one", "b/one": "", "b/two": ""}
    assert list(found) == ["a", "b", "last", "a/link", "b/one", "b/two"]


def test_what_vanishes_while_it_is_listed_has_no_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "gone").touch()
    (tmp_path / "stays").touch()
    look = os.stat

    def vanished(path, **where):
        if path == "gone":
            raise FileNotFoundError(path)
        return look(path, **where)

    monkeypatch.setattr(os, "stat", vanished)
    found = {path: status is None for path, status, _target in walk.entries(tmp_path, skip_prefix=".")}
    assert found == {"gone": True, "stays": False}


@pytest.mark.parametrize(
    ("path", "target", "leads_out"),
    [
        ("a/link", "b", False),
        ("a/link", "../b", False),
        ("a/link", "../../b", True),
        ("link", "..", True),
        ("link", "/etc/passwd", True),
        ("a/b/link", "../../c/../d", False),
        ("a/b/link", "../../c/../../d", True),
    ],
)
def test_a_link_leads_out_when_its_target_is_absolute_or_above(path: str, target: str, leads_out: bool):
    assert walk.leads_out(path.split("/"), target) is leads_out


def test_a_hard_link_never_names_what_a_link_points_to_even_one_that_appears_after_the_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "secret").write_text("secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "file").touch()
    look = walk.status

    def look_and_swap(name, **where):
        found = look(name, **where)
        (inside / "file").unlink()
        (inside / "file").symlink_to(tmp_path / "secret")
        return found

    monkeypatch.setattr(walk, "status", look_and_swap)
    with walk.folder(inside, []) as at:
        walk.make_hard_link("file", at=at, name="second", to=at)
    assert (inside / "second").is_symlink()
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_only_regular_files_get_a_second_name(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    os.mkfifo(tmp_path / "pipe")
    with walk.folder(tmp_path, []) as at:
        for name in ("folder", "link", "pipe", "missing"):
            with pytest.raises(walk.NotRegular):
                walk.make_hard_link(name, at=at, name="second", to=at)
    assert not os.path.lexists(tmp_path / "second")
