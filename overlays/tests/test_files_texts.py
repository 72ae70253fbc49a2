"""Texts that are edited in the browser: encodings, limits, and what somebody else changed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from left4me.core.files.tree import BadPath, Tree
from overlays.files import texts

LARGEST = 256 * 1024


@pytest.fixture
def tree(tmp_path: Path):
    with Tree(tmp_path / "tree") as opened:
        yield opened


def save(tree: Tree, content: str, *, name: str = "a.txt", **how) -> int:
    return texts.write(tree, (name,), content, **({"seen": ""} | how))


def put(tmp_path: Path, name: str, raw: bytes) -> None:
    (tmp_path / "tree" / name).write_bytes(raw)


def test_a_text_is_saved_over_the_version_that_was_read(tree, tmp_path):
    assert save(tree, "one\r\ntwo") == 7
    read = texts.read(tree, ("a.txt",))
    assert (read.content, read.converted_from, read.is_utf_16, len(read.version)) == ("one\ntwo", "", False, 32)
    assert save(tree, "one", seen=read.version) == -4
    with pytest.raises(texts.Stale) as stale:
        save(tree, "three", seen=read.version)
    assert stale.value.current.content == "one"
    assert (tmp_path / "tree" / "a.txt").read_text() == "one"


def test_a_text_may_grow_by_the_room_there_is(tree):
    assert save(tree, "x" * 5, room=5) == 5
    seen = texts.read(tree, ("a.txt",)).version
    assert save(tree, "x" * 5, seen=seen, room=-100) == 0
    assert save(tree, "x" * 4, seen=seen, room=0) == -1
    for room_left in (0, -100):
        with pytest.raises(BadPath, match="0 MB are left"):
            save(tree, "x" * 5, seen=texts.read(tree, ("a.txt",)).version, room=room_left)


def test_a_text_has_a_longest_length(tree, tmp_path):
    assert save(tree, "x" * LARGEST) == LARGEST
    assert len(texts.read(tree, ("a.txt",)).content) == LARGEST
    with pytest.raises(BadPath, match="too long"):
        save(tree, "x" * (LARGEST + 1), name="b.txt")
    put(tmp_path, "c.txt", b"x" * (LARGEST + 1))
    with pytest.raises(BadPath, match="too large to edit"):
        texts.read(tree, ("c.txt",))
    # What cannot be read here is replaced whole, and by how much it shrinks is counted.
    assert save(tree, "x", name="c.txt") == -LARGEST


@pytest.mark.parametrize("where", [(), ("a.vpk",), ("cfg.d",)])
def test_only_texts_are_edited(tree, where):
    with pytest.raises(BadPath, match="cannot be edited here"):
        texts.read(tree, where)
    with pytest.raises(BadPath, match="cannot be edited here"):
        texts.write(tree, where, "x", seen="")


@pytest.mark.parametrize("raw", [b"a\0b", b"a\x1bb", b"a\x0bb", b"\xef\xbb\xbfa\xff"])
def test_what_is_no_text_is_not_edited(tree, tmp_path, raw):
    put(tmp_path, "a.cfg", raw)
    with pytest.raises(BadPath, match="not text"):
        texts.read(tree, ("a.cfg",))
    put(tmp_path, "a.cfg", b"a\tb\r\n\fc")
    assert texts.read(tree, ("a.cfg",)).content == "a\tb\r\n\fc"


@pytest.mark.parametrize(
    ("where", "encoding", "converted_from", "stays"),
    [
        (("a.cfg",), "utf-8-sig", "UTF-8 with a byte order mark", False),
        (("a.cfg",), "utf-16", "UTF-16", False),
        (("left4dead2", "resource", "a.txt"), "utf-16", "", True),
        (("left4dead2", "resource", "a.txt"), "utf-8", "", False),
        (("a.cfg",), "cp1251", "cp1251", False),
    ],
)
def test_a_text_keeps_the_encoding_that_the_game_reads(tree, tmp_path, where, encoding, converted_from, stays):
    path = (tmp_path / "tree").joinpath(*where)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("настройки сервера\r\n".encode(encoding))
    read = texts.read(tree, where)
    assert (read.content, read.converted_from, read.is_utf_16) == ("настройки сервера\r\n", converted_from, stays)
    texts.write(tree, where, read.content, seen=read.version)
    expected = "\ufeffнастройки сервера\r\n".encode("utf-16-le") if stays else "настройки сервера\n".encode()
    assert path.read_bytes() == expected
