"""The limits of archives, each at its edge, and what archives say about modes, encodings and kinds of entries."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from left4me.core.concurrency import Cancelled
from left4me.core.files.tree import Tree
from overlays.files import archives
from overlays.files.archives import ArchiveLimits, BadArchive, Choices, Index
from overlays.tests.packed import tarred
from overlays.tests.test_files_archives import zipped

MEBIBYTE = 1024 * 1024
ROOMY = ArchiveLimits(size=50 * MEBIBYTE)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def unpack(archive: Path, raw: bytes, *, limits: ArchiveLimits = ROOMY, check=lambda: None, choices=None):
    archive.write_bytes(raw)
    with Tree(archive.parent / "overlay") as content:
        return archives.unpack(archive, into=content, base=(), limits=limits, check=check, choices=choices)


def index(archive: Path, raw: bytes, *, limits: ArchiveLimits = ROOMY) -> Index:
    archive.write_bytes(raw)
    return archives.read_index(archive, limits=limits, check=lambda: None)


@pytest.mark.parametrize(
    ("name", "is_archive", "is_convertible"),
    [
        ("A.ZIP", True, False),
        ("a.tar.gz", True, False),
        ("a.tbz2", True, False),
        ("a.7z", True, True),
        ("a.RAR", True, True),
        ("a.tar.xz", True, True),
        ("a.txz", True, True),
        ("a.xz", False, True),
        ("a.gz", False, False),
        ("zip", False, False),
    ],
)
def test_an_archive_is_known_by_its_name(name: str, is_archive: bool, is_convertible: bool):
    assert (archives.is_archive(name), archives.names_convertible(name)) == (is_archive, is_convertible)


@pytest.mark.parametrize(
    ("head", "is_convertible"),
    [(b"7z\xbc\xaf\x27\x1c\0\4", True), (b"Rar!\x1a\x07\0", True), (b"\xfd7zXZ\0\0\0", True), (b"PK\3\4", False)],
)
def test_what_must_be_converted_is_known_by_its_content(archive: Path, head: bytes, is_convertible: bool):
    archive.write_bytes(head)
    assert archives.is_convertible(archive) is is_convertible


def test_an_archive_may_grow_two_hundredfold_and_a_little_but_not_beyond_the_quota(archive: Path):
    limits = ArchiveLimits(size=10**9)
    assert (limits.files, archives.most_of(1000, limits)) == (50_000, 200_000 + 10 * MEBIBYTE)
    assert archives.most_of(10**9, limits) == 10**9
    archive.write_bytes(bytes(7))
    assert archives.budget(archive, limits) == 1400 + 10 * MEBIBYTE


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_exactly_what_is_allowed_is_unpacked(archive: Path, pack):
    raw = pack([("a", os.urandom(3000)), ("b", b"x" * 1000)])
    done = unpack(archive, raw, limits=ArchiveLimits(size=4000, files=2))
    assert (done.files, done.size) == (2, 4000)
    with pytest.raises(BadArchive, match="too large when extracted"):
        unpack(archive, raw, limits=ArchiveLimits(size=3999, files=2))
    with pytest.raises(BadArchive, match="contains more than 1 files"):
        unpack(archive, raw, limits=ArchiveLimits(size=4000, files=1))


def test_folders_of_a_tar_count_only_where_there_are_very_many(archive: Path):
    def folders(count: int) -> bytes:
        members = []
        for number in range(count):
            info = tarfile.TarInfo(f"f{number}")
            info.type = tarfile.DIRTYPE
            members.append((info, b""))
        return tarred(members)

    limits = ArchiveLimits(size=MEBIBYTE, files=3)
    assert index(archive, folders(7), limits=limits).names == []
    with pytest.raises(BadArchive, match="contains more than 3 files"):
        index(archive, folders(8), limits=limits)


def test_the_entries_are_listed_in_order_with_size_and_kind(archive: Path):
    plain, fifo, folder = zipfile.ZipInfo("plain"), zipfile.ZipInfo("fifo"), zipfile.ZipInfo("folder/")
    plain.external_attr, fifo.external_attr = 0o100644 << 16, 0o010644 << 16
    raw = zipped([(plain, b"12"), (folder, b""), (fifo, b""), ("dos", b"345"), ("ü", b""), ("n" * 5000, b"")])
    found = index(archive, raw)
    assert found == Index([b"plain", b"fifo", b"dos", "ü", b"n" * 4096], [2, 0, 3, 0, 0], frozenset({1}))


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    ("mode", "name", "content", "expected"),
    [
        (0o755, "tool", b"x", 0o755),
        (0o644, "tool", b"x", 0o644),
        (0o655, "tool", b"x", 0o644),
        (0o755, "tool.txt", b"x", 0o644),
        (0o644, "tool.txt", b"#!/bin/sh", 0o755),
    ],
)
def test_modes_are_those_of_programs_and_of_all_others(archive: Path, pack, mode, name, content, expected):
    if pack is zipped:
        info = zipfile.ZipInfo(name)
        info.external_attr = (0o100000 | mode) << 16
    else:
        info = tarfile.TarInfo(name)
        info.mode = mode
    unpack(archive, pack([(info, content)]))
    assert (archive.parent / "overlay" / name).stat().st_mode & 0o777 == expected


def test_a_text_is_converted_whole_and_only_if_it_is_small(archive: Path):
    marked = b"\xef\xbb\xbf"
    done = unpack(
        archive,
        zipped([("cfg/a.cfg", marked + b"x" * (MEBIBYTE - 3)), ("cfg/b.cfg", marked + b"x" * (MEBIBYTE - 2))]),
    )
    assert done.converted == [("left4dead2/cfg/a.cfg", "utf_8_sig")]
    folder = archive.parent / "overlay" / "left4dead2" / "cfg"
    assert [(folder / name).stat().st_size for name in ("a.cfg", "b.cfg")] == [MEBIBYTE - 3, MEBIBYTE + 1]
    assert done.size == 2 * MEBIBYTE + 1


def test_what_was_left_out_is_named_with_its_reason(archive: Path):
    done = unpack(archive, zipped([("../" + "x" * 300, b""), ("cfg/a.cfg", b"1"), ("cfg", b"2")]))
    (archive.parent / "overlay" / "left4dead2" / "motd.txt").mkdir()
    assert done.left_out[0].startswith("'../" + "x" * 197 + "': ")
    done = unpack(archive, zipped([("cfg/a.cfg", b"1"), ("motd.txt", b"2")]))
    assert done.left_out == ["'motd.txt': “motd.txt” is a folder."]


def test_a_user_may_choose_the_root_the_code_page_and_the_programs(archive: Path):
    raw = zipped([("A/cfg/a.cfg", b"1"), ("B/cfg/b.cfg", b"2"), ("B/cfg/PLACE.cfg", b"3"), ("B/bin/x.so", b"4")])
    raw = raw.replace(b"PLACE", "Карта".encode("cp866"))
    done = unpack(archive, raw, choices=Choices(root=("B",), code_page="cp866", with_programs=True))
    assert done.code_page == "cp866"
    names = {"/".join(placement.target) for placement in done.plan.placements}
    assert names >= {"left4dead2/cfg/b.cfg", "left4dead2/cfg/Карта.cfg", "bin/x.so"}


def test_a_cancel_ends_the_reading_and_the_unpacking(archive: Path):
    raw = zipped([("a", b"1"), ("b", b"2")])
    # Two entries are read, then two are unpacked, each with a look before and after.
    for looks in range(6):
        left = [looks]

        def check(left=left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Cancelled

        with pytest.raises(Cancelled):
            unpack(archive, raw, check=check)


def directory_of(archive: Path, *, claimed: int, size: int, in_64: int | None = None) -> int:
    """What the end of a zip says of the size of its directory."""
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0, 0, claimed, 0, 0)
    if in_64 is not None:
        end = b"PK\x06\x06" + bytes(36) + struct.pack("<QQ", in_64, 0) + end
    with archive.open("wb") as stream:
        stream.truncate(size)
        stream.seek(size - len(end))
        stream.write(end)
    with archive.open("rb") as stream:
        return archives._zip_directory_size(stream)


def test_the_directory_of_a_zip_is_as_large_as_it_says_but_not_larger_than_the_file(archive: Path):
    assert directory_of(archive, claimed=5000, size=10_000) == 5000
    assert directory_of(archive, claimed=50_000, size=10_000) == 10_000
    assert directory_of(archive, claimed=0xFFFFFFFF, size=200_000, in_64=70_000) == 70_000
    assert directory_of(archive, claimed=0xFFFFFFFF, size=200_000) == 200_000


@pytest.mark.parametrize(
    ("size", "words"), [(32 * MEBIBYTE, "damaged|cannot be read"), (32 * MEBIBYTE + 1, "too large")]
)
def test_a_zip_with_a_huge_directory_is_refused_before_it_is_read(archive: Path, size: int, words: str):
    directory_of(archive, claimed=size, size=size + 100)
    with archive.open("r+b") as stream:
        stream.write(b"PK\x03\x04")
    with pytest.raises(BadArchive, match=words):
        archives.read_index(archive, limits=ROOMY, check=lambda: None)


@pytest.mark.parametrize("missing", [1, 22])
def test_a_zip_without_its_end_has_no_list_of_files(archive: Path, missing: int):
    with pytest.raises(BadArchive, match="has no file list"):
        index(archive, zipped([("a", b"1")])[:-missing])


def test_a_zip_may_have_a_comment(archive: Path):
    out = io.BytesIO(zipped([("a", b"1")]))
    with zipfile.ZipFile(out, "a") as opened:
        opened.comment = b"c" * 65_535
    assert index(archive, out.getvalue()).names == [b"a"]


def test_a_tar_is_read_in_steps_that_cost_little():
    bounded = archives._Bounded(io.BytesIO(bytes(3 * MEBIBYTE)), 2 * MEBIBYTE)
    assert len(bounded.read(MEBIBYTE)) == MEBIBYTE == bounded.tell()
    assert bounded.seek(2 * MEBIBYTE) == 2 * MEBIBYTE
    bounded.seek(MEBIBYTE)
    for act, words in (
        (lambda: bounded.read(), "directory is too large"),
        (lambda: bounded.read(MEBIBYTE + 1), "directory is too large"),
        (lambda: bounded.seek(0, io.SEEK_END), "cannot be read: seek"),
        (lambda: bounded.seek(2 * MEBIBYTE + 1), "too large when extracted"),
    ):
        with pytest.raises(BadArchive, match=words):
            act()
    assert len(bounded.read(MEBIBYTE)) == MEBIBYTE
    with pytest.raises(BadArchive, match="too large when extracted"):
        bounded.read(1)


def test_a_tar_whose_entry_cannot_be_opened_is_damaged(archive: Path, monkeypatch):
    monkeypatch.setattr(tarfile.TarFile, "extractfile", lambda *_which: None)
    with pytest.raises(BadArchive, match="damaged: a"):
        unpack(archive, tarred([("a", b"1")]))
