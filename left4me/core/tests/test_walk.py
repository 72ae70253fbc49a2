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
