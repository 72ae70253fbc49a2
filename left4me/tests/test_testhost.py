from __future__ import annotations

from pathlib import Path

from left4me.core.processes import commands
from left4me.testing.testhost import PROJECT, clone_as_it_is


def test_a_clone_holds_the_working_tree_and_leaves_the_index_alone(tmp_path: Path):
    before = commands.run(["git", "-C", PROJECT, "status", "--porcelain"], timeout=60).output
    clone_as_it_is(tmp_path / "left4me.git")
    listed = commands.run(["git", "-C", tmp_path / "left4me.git", "ls-tree", "-r", "--name-only", "main"], timeout=60)
    names = set(listed.output.split("\n"))
    assert {"deploy/testhost/testhost", str(Path(__file__).relative_to(PROJECT))} <= names
    assert not any(name.startswith((".venv", "var/")) for name in names)
    assert commands.run(["git", "-C", PROJECT, "status", "--porcelain"], timeout=60).output == before
