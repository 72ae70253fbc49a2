"""Manifests: what they say of a tree, what is read again, and lines that nobody should believe."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from overlays.replication import manifest
from overlays.replication.manifest import Changing, Entry, Hashes, Malformed, Manifest, Reader

DIGEST = hashlib.sha256(b"x").hexdigest()


def lines(root: Path, hashes: Hashes | None = None) -> list[dict[str, Any]]:
    return list(manifest.lines(root, content_version=3, hashes=hashes or Hashes(root.parent / "hashes" / "1.json")))


def parsed(said: list[dict[str, Any]]) -> Manifest:
    reader = Reader()
    for line in said:
        reader.take(json.dumps(line).encode())
    assert reader.done is not None
    return reader.done


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "cfg" / "empty").mkdir(parents=True)
    (root / "cfg" / "a.cfg").write_bytes(b"x")
    (root / "run").write_bytes(b"program")
    (root / "run").chmod(0o755)
    (root / "link").symlink_to("cfg/a.cfg")
    (root / ".left4me-unfinished").write_bytes(b"x")
    return root


def test_a_manifest_says_what_is_in_the_tree(tree: Path):
    read = parsed(lines(tree))
    assert read.content_version == 3
    assert set(read.entries) == {
        Entry("cfg"),
        Entry("cfg/empty"),
        Entry("link", link="cfg/a.cfg"),
        Entry("cfg/a.cfg", DIGEST, 1),
        Entry("run", hashlib.sha256(b"program").hexdigest(), 7, is_program=True),
    }
    assert (read.size, read.left_out) == (8, ())


def test_equal_trees_have_one_digest_and_others_another(tree: Path):
    read = parsed(lines(tree))
    assert read.digest == Manifest(9, tuple(reversed(read.entries)), ("left",)).digest
    digests = {read.digest}
    for change in (
        {"size": 2},
        {"is_program": True},
        {"path": "b"},
        {"sha256": "0" * 64},
        {"link": "x", "sha256": ""},
    ):
        entry = Entry(**({"path": "a", "sha256": DIGEST, "size": 1} | change))
        digests.add(Manifest(3, (*read.entries, entry)).digest)
    assert len(digests) == 6


def test_what_another_host_could_not_make_is_only_named(tree: Path):
    os.mkfifo(tree / "pipe")
    (tree / "out").symlink_to("../..")
    (tree / "bad\nname").touch()
    (tree / "cfg" / "a\\b").touch()
    (tree / os.fsdecode(b"\xff")).touch()
    said = parsed(lines(tree))
    assert set(said.left_out) == {"bad\\nname", "cfg/a\\\\b", "out", "pipe", "\\udcff"}
    assert {entry.path for entry in said.entries} == {"cfg", "cfg/empty", "cfg/a.cfg", "link", "run"}


def test_of_very_many_that_are_left_out_some_are_named(tree: Path):
    for number in range(101):
        (tree / f"out{number}").symlink_to("/etc")
    assert len(lines(tree)[-1]["left_out"]) == 100


def test_a_file_that_did_not_change_is_not_read_again(tree: Path, monkeypatch):
    file = tree.parent / "hashes" / "1.json"
    first = lines(tree)
    assert file.stat().st_mode & 0o777 == 0o640
    opened: list[str] = []
    open_file = manifest.tree.Tree.open

    def noted(self, where):
        opened.append("/".join(where))
        return open_file(self, where)

    monkeypatch.setattr(manifest.tree.Tree, "open", noted)
    assert lines(tree, Hashes.load(file)) == first
    assert opened == []
    (tree / "run").write_bytes(b"changed")
    assert lines(tree, Hashes.load(file)) != first
    assert opened == ["run"]


@pytest.mark.parametrize("content", [None, "", "[]", "1", '{"a": 1}', '{"a": [1, 2]}', "{"])
def test_damaged_hashes_cost_only_the_reading(tree: Path, content: str | None):
    file = tree.parent / "hashes.json"
    if content is not None:
        file.write_text(content)
    assert Hashes.load(file).known == {}
    assert parsed(lines(tree, Hashes.load(file))).size == 8


def test_hashes_that_cannot_be_stored_fail_nothing(tree: Path, caplog):
    (tree.parent / "file").touch()
    assert parsed(lines(tree, Hashes(tree.parent / "file" / "7.json"))).size == 8
    assert "hashes of overlay 7 could not be stored" in caplog.text


def test_progress_is_told_while_much_is_hashed(tree: Path, monkeypatch):
    monkeypatch.setattr(manifest, "_READ", 4)
    monkeypatch.setattr(manifest, "_TELL_EVERY", 7)
    (tree / "big").write_bytes(bytes(30))
    told = [line["read"] for line in lines(tree) if "read" in line]
    assert told == [8, 8, 8, 10]
    reader = Reader()
    assert [reader.take(line) for line in (b'{"read": 8}', b'{"content_version": 1}', b"{}")] == [8, 0, 0]


@pytest.mark.parametrize(("changes", "ends"), [(2, True), (3, False)])
def test_a_tree_that_changes_while_it_is_read_is_read_again(tree: Path, monkeypatch, changes: int, ends: bool):
    chunks, left = manifest._chunks, [changes]

    def meanwhile(root: Path, path: str) -> Iterator[bytes]:
        yield from chunks(root, path)
        if path == "run" and left[0]:
            left[0] -= 1
            (tree / "run").write_bytes(bytes(left[0] + 1))

    monkeypatch.setattr(manifest, "_chunks", meanwhile)
    said = []
    with contextlib.nullcontext() if ends else pytest.raises(Changing):
        said.extend(manifest.lines(tree, content_version=3, hashes=Hashes(tree.parent / "h")))
    if ends:
        assert said.count({"again": True}) == 2
        # Only what changed is read again, and the lines before are not those of the tree any more.
        assert {entry.path: entry.size for entry in parsed(said).entries if entry.sha256} == {"run": 1, "cfg/a.cfg": 1}


def test_a_file_that_vanishes_while_the_tree_is_read_is_none_of_it(tree: Path, monkeypatch):
    chunks = manifest._chunks

    def meanwhile(root: Path, path: str) -> Iterator[bytes]:
        (tree / "run").unlink(missing_ok=True)
        return chunks(root, path)

    monkeypatch.setattr(manifest, "_chunks", meanwhile)
    assert [entry.path for entry in parsed(lines(tree)).entries if entry.sha256] == ["cfg/a.cfg"]


@pytest.mark.parametrize(
    "line",
    [
        {"path": "../evil", "sha256": DIGEST, "size": 1},
        {"path": "a/../../evil"},
        {"path": "/evil"},
        {"path": ""},
        {"path": "a//b"},
        {"path": "link", "link": "/etc"},
        {"path": "a/link", "link": "../../x"},
        {"path": "x", "sha256": "../../evil", "size": 1},
        {"path": "x", "sha256": DIGEST[:-1], "size": 1},
        {"path": "x", "sha256": DIGEST.upper(), "size": 1},
        {"path": "x", "sha256": DIGEST, "size": -1},
        {"path": "x", "sha256": DIGEST, "size": None},
        {"path": "x", "sha256": DIGEST, "size": float("inf")},
        {"content_version": "x"},
        {"end": True, "left_out": 1},
        [],
        1,
        None,
    ],
)
def test_a_line_that_is_none_is_refused(line: object):
    with pytest.raises(Malformed, match="no manifest"):
        Reader().take(json.dumps(line).encode())


def test_a_long_path_is_named_by_its_beginning():
    path = "../" + "x" * 200
    with pytest.raises(Malformed, match=f"“{re.escape(path[:100])}” is not a valid path"):
        Reader().take(json.dumps({"path": path}).encode())
    with pytest.raises(Malformed, match=f"“{'x' * 100}” points outside"):
        Reader().take(json.dumps({"path": "x" * 200, "link": "/"}).encode())


def test_what_is_no_line_at_all_is_refused():
    for raw in (b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(Malformed):
            Reader().take(raw)
    with pytest.raises(Changing):
        Reader().take(b'{"changing": true}')
    reader = Reader()
    reader.take(b'{"path": "x", "sha256": "%s", "size": 0}' % DIGEST.encode())
    assert reader.done is None


def test_a_manifest_lists_no_more_than_so_many_files(monkeypatch):
    monkeypatch.setattr(manifest, "MOST_ENTRIES", 2)
    reader = Reader()
    for path in (b"a", b"b", b"a"):
        reader.take(b'{"path": "%s"}' % path)
    with pytest.raises(Malformed, match="too many files"):
        reader.take(b'{"path": "c"}')
