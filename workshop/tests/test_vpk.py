"""The VPK reader on valid, damaged and malicious files."""

import io
import os
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from left4me.testing import vpk_files
from workshop import vpk
from workshop.vpk import NotValid

FILES = {
    "addoninfo.txt": b"x",
    "maps/c1.bsp": os.urandom(5000),
    "missions/c1.txt": b"mission",
    "scripts/vscripts/a.b.nut": b"",
    "no_extension": b"1",
    "materials/UPPER/Name.vtf": b"22",
}


@pytest.fixture
def pak(tmp_path):
    path = tmp_path / "a.vpk"
    vpk_files.write(path, FILES)
    return path


def entries(path):
    with path.open("rb") as stream:
        return list(vpk.Vpk(stream))


@pytest.mark.parametrize("version", [1, 2])
def test_every_file_is_listed_and_read(tmp_path, version):
    path = tmp_path / "a.vpk"
    vpk_files.write(path, FILES, version=version)
    with path.open("rb") as stream:
        pak = vpk.Vpk(stream)
        read = {entry.path: pak.read(entry, limit=10_000) for entry in pak}
    assert read == {name.lower(): content for name, content in FILES.items()}
    vpk.check(path)
    assert vpk.is_intact(path)


def test_a_damaged_byte_is_noticed_by_the_checksums_only(pak):
    content = bytearray(pak.read_bytes())
    content[-3000] ^= 1
    pak.write_bytes(content)
    vpk.check(pak)
    assert not vpk.is_intact(pak)


def test_preloaded_bytes_come_first(tmp_path):
    tree = b"txt\0 \0a\0" + struct.pack("<IHHIIH", 0, 3, 0x7FFF, 0, 2, 0xFFFF) + b"abc" + b"\0\0\0"
    path = tmp_path / "a.vpk"
    path.write_bytes(struct.pack("<III", vpk.MAGIC, 1, len(tree)) + tree + b"de")
    with path.open("rb") as stream:
        pak = vpk.Vpk(stream)
        assert [pak.read(entry, limit=99) for entry in pak] == [b"abcde"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is an empty file, not a VPK"),
        (b"<!DOCTYPE html><html>", "is a web page, not a VPK"),
        (b"\xff\xd8\xff\xe0", "is a JPEG image, not a VPK"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG image, not a VPK"),
        (b"PK\x03\x04", "is a zip archive, not a VPK"),
        (b"Rar!\x1a\x07", "is a RAR archive, not a VPK"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7z archive, not a VPK"),
        (b"hello", "is an unknown kind of file, not a VPK"),
        (struct.pack("<II", vpk.MAGIC, 1), "ends within its header"),
        (struct.pack("<III", vpk.MAGIC, 2, 1), "ends within its header"),
        (struct.pack("<III", vpk.MAGIC, 3, 0), "has the unknown version 3"),
        (struct.pack("<III", vpk.MAGIC, 1, 50), "is shorter than its directory"),
        (struct.pack("<IIIIIII", vpk.MAGIC, 2, 1, 9999, 0, 0, 0) + b"\0", "is shorter than its header says"),
        (struct.pack("<III", vpk.MAGIC, 1, 1) + b"\0", "contains no files"),
        (struct.pack("<III", vpk.MAGIC, 1, 8) + b"txt\0 \0a\0", "has a truncated directory"),
        (struct.pack("<III", vpk.MAGIC, 1, 3) + b"txt", "an unterminated name"),
        (struct.pack("<III", vpk.MAGIC, 1, 9000) + b"x" * 9000, "an unterminated name"),
    ],
)
def test_a_file_the_game_cannot_open_says_why(tmp_path, content, reason):
    path = tmp_path / "a.vpk"
    path.write_bytes(content)
    with pytest.raises(NotValid, match=reason):
        vpk.check(path)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (struct.pack("<IHHIIH", 0, 0, 0x7FFF, 0, 99, 0xFFFF), "“a.txt” extends beyond the end of the file"),
        (struct.pack("<IHHIIH", 0, 0, 0x7FFF, 0xFFFFFFFF, 1, 0xFFFF), "extends beyond the end"),
        (struct.pack("<IHHIIH", 0, 0, 0x7FFF, 0, 0, 0x1234), "has a damaged directory at “a.txt”"),
        (struct.pack("<IHHIIH", 0, 65535, 0x7FFF, 0, 0, 0xFFFF), "has a truncated directory"),
        (struct.pack("<IHHIIH", 0, 0, 3, 0, 5, 0xFFFF), r"a missing part \(_003.vpk\)"),
    ],
)
def test_an_entry_that_lies_is_refused(tmp_path, entry, reason):
    tree = b"txt\0 \0a\0" + entry + b"\0\0\0"
    path = tmp_path / "a.vpk"
    path.write_bytes(struct.pack("<III", vpk.MAGIC, 1, len(tree)) + tree)
    with pytest.raises(NotValid, match=reason):
        vpk.check(path)


def raw(*entries, version=1, data=b"", preload=b""):
    """A VPK with these entries: name, then the fields of an entry without its end."""
    tree = b"txt\0 \0" + b"".join(
        name + b"\0" + struct.pack("<IHHIIH", *fields, 0xFFFF) + preload[: fields[1]] for name, *fields in entries
    )
    tree += b"\0\0\0"
    return b"\x34\x12\xaa\x55" + struct.pack("<II", version, len(tree)) + tree + data


def opened(content, **how):
    return vpk.Vpk(io.BytesIO(content), **how)


def test_a_vpk_begins_with_its_magic():
    [entry] = opened(raw((b"a", 0, 0, 0x7FFF, 0, 2), data=b"xy"))
    assert (entry.path, entry.size, entry.in_this_file, entry.is_in_part) == ("a.txt", 2, True, False)
    with pytest.raises(NotValid, match="unknown kind of file"):
        opened(b"\x35\x12\xaa\x55" + raw()[4:])
    assert vpk.what_is_it(b"\xef\xbb\xbf <HTML>") == "a web page"


def test_a_file_is_read_from_its_preloaded_bytes_and_its_content_to_a_limit():
    pak = opened(raw((b"a", 0, 3, 0x7FFF, 0, 3), preload=b"abc", data=b"def"))
    [entry] = pak
    assert entry.size == 6
    assert [pak.read(entry, limit=limit) for limit in (0, 2, 3, 4, 6, 9)] == [
        b"",
        b"ab",
        b"abc",
        b"abcd",
        b"abcdef",
        b"abcdef",
    ]
    assert pak.read_at(entry, 0, 3) == b"", "only of a file without preloaded bytes"
    pak = opened(raw((b"a", 0, 0, 0x7FFF, 1, 4), data=b"0abcd5"))
    [entry] = pak
    assert [pak.read_at(entry, *where) for where in ((0, 9), (1, 2), (3, 9), (4, 9), (5, 1), (-1, 1), (0, -5))] == [
        b"abcd",
        b"bc",
        b"d",
        b"",
        b"",
        b"",
        b"",
    ]


def test_a_name_has_a_longest_length():
    [entry] = opened(raw((b"n" * 512, 0, 0, 0x7FFF, 0, 0)))
    assert entry.path == "n" * 512 + ".txt"
    with pytest.raises(NotValid, match="an unterminated name"):
        list(opened(raw((b"n" * 513, 0, 0, 0x7FFF, 0, 0))))
    with pytest.raises(NotValid, match=f"“{'n' * 120}” extends beyond"):
        list(opened(raw((b"n" * 512, 0, 0, 0x7FFF, 0, 1))))
    broken = raw((b"n" * 512, 0, 0, 0x7FFF, 0, 0)).replace(b"\xff\xff\0\0\0", b"\0\0\0\0\0")
    with pytest.raises(NotValid, match=f"has a damaged directory at “{'n' * 120}”"):
        list(opened(broken))


def test_content_in_parts_is_checked_and_read_there():
    content = raw((b"a", 0, 0, 1, 0, 5), (b"b", 0, 2, 2, 1, 2), preload=b"pq")
    parts = {1: b"12345", 2: b"xyz"}
    pak = opened(content, open_part=lambda number: io.BytesIO(parts[number]))
    assert {entry.path: pak.read(entry, limit=9) for entry in pak} == {"a.txt": b"12345", "b.txt": b"pqyz"}
    assert pak.parts == (1, 2)
    pak.close()
    assert pak.parts == ()
    for short in ({1: b"1234", 2: b"xyz"}, {1: b"12345", 2: b"xy"}):
        with pytest.raises(NotValid, match="extends beyond the end"):
            list(opened(content, open_part=lambda number, parts=short: io.BytesIO(parts[number])))
    with pytest.raises(NotValid, match=r"missing part \(_001.vpk\)"):
        list(opened(content, open_part=lambda _number: None))
    # Without a way to open parts, only what is preloaded can be read.
    pak = opened(content)
    assert {entry.path: pak.read(entry, limit=9) for entry in pak} == {"a.txt": b"", "b.txt": b"pq"}


def test_parts_beside_the_directory_are_found_by_their_names(tmp_path):
    (tmp_path / "big_dir.vpk").write_bytes(raw((b"a", 0, 0, 3, 0, 5)))
    with pytest.raises(NotValid, match=r"missing part \(_003.vpk\)"), vpk.opened(tmp_path / "big_dir.vpk") as pak:
        list(pak)
    (tmp_path / "big_003.vpk").write_bytes(b"12345")
    with vpk.opened(tmp_path / "big_dir.vpk") as pak:
        assert [pak.read(entry, limit=9) for entry in pak] == [b"12345"]
    with pytest.raises(NotValid, match=r"missing part \(_003.vpk\)"):
        vpk.check(tmp_path / "big_dir.vpk")


@pytest.mark.parametrize(("count", "is_valid"), [(200, True), (201, False)])
def test_a_vpk_has_no_more_than_so_many_parts(count, is_valid):
    content = raw(*((b"%d" % number, 0, 0, number, 0, 1) for number in range(count)))
    pak = opened(content, open_part=lambda _number: io.BytesIO(b"x"))
    if is_valid:
        assert len(list(pak)) == count
    else:
        with pytest.raises(NotValid, match=r"missing part \(_200.vpk\)"):
            list(pak)


@pytest.mark.parametrize(
    ("entry", "data", "is_intact"),
    [
        ((0, 0, 0x7FFF, 0, 3), b"abc", True),
        ((zlib.crc32(b"abc"), 0, 0x7FFF, 0, 3), b"abc", True),
        ((zlib.crc32(b"abc"), 0, 0x7FFF, 0, 3), b"abd", False),
        ((zlib.crc32(b"pqabc"), 2, 0x7FFF, 0, 3), b"abc", True),
        ((zlib.crc32(b"abc"), 2, 0x7FFF, 0, 3), b"abc", False),
        ((1, 0, 5, 0, 0), b"", True),
    ],
)
def test_checksums_are_of_preloaded_bytes_and_content(tmp_path, entry, data, is_intact):
    (tmp_path / "a.vpk").write_bytes(raw((b"a", *entry), data=data, preload=b"pq"))
    assert vpk.is_intact(tmp_path / "a.vpk") is is_intact


def test_of_a_large_file_every_byte_counts_for_the_checksum(tmp_path):
    data = bytes(1024 * 1024) + b"end"
    for crc, is_intact in ((zlib.crc32(data), True), (zlib.crc32(data[:-3]), False)):
        (tmp_path / "a.vpk").write_bytes(raw((b"a", crc, 0, 0x7FFF, 0, len(data)), data=data))
        assert vpk.is_intact(tmp_path / "a.vpk") is is_intact


def test_the_second_version_says_how_long_the_file_is():
    tree = raw()[12:]
    for rest, is_valid in ((0, True), (3, True), (4, False)):
        head = b"\x34\x12\xaa\x55" + struct.pack("<IIIIII", 2, len(tree), rest, 0, 0, 0)
        if is_valid:
            assert opened(head + tree + b"123").header.data_at == len(head + tree)
        else:
            with pytest.raises(NotValid, match="shorter than its header says"):
                opened(head + tree + b"123")


def test_a_split_archive_is_valid_where_its_parts_may_be(tmp_path):
    tree = b"txt\0 \0a\0" + struct.pack("<IHHIIH", 0, 0, 3, 0, 5, 0xFFFF) + b"\0\0\0"
    path = tmp_path / "a_dir.vpk"
    path.write_bytes(struct.pack("<III", vpk.MAGIC, 1, len(tree)) + tree)
    vpk.check(path, parts=True)


def hostile_tree(size):
    """As many empty entries as fit: the smallest file that keeps a reader busy."""
    one = b"a\0" + struct.pack("<IHHIIH", 0, 0, 0x7FFF, 0, 0, 0xFFFF)
    return (b"x\0y\0" + one * (size // len(one)))[:size]


@pytest.mark.parametrize("megabytes", [100, 60])
def test_a_huge_hostile_directory_costs_little_memory(tmp_path, megabytes):
    size = megabytes * 1024 * 1024
    path = tmp_path / "a.vpk"
    with path.open("wb") as out:
        out.write(struct.pack("<III", vpk.MAGIC, 1, size))
        out.write(hostile_tree(size))
    tracemalloc.start()
    try:
        with pytest.raises(NotValid, match=r"has a directory of 100 MB|lists more than 300000 files"):
            vpk.check(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 1024 * 1024


def test_what_is_no_vpk_is_not_intact_either(tmp_path):
    (tmp_path / "a.vpk").write_bytes(b"<html>")
    assert not vpk.is_intact(tmp_path / "a.vpk")


def test_overlapping_entries_do_not_multiply_the_work(tmp_path):
    content = bytes(1_000_000)
    one = struct.pack("<IHHIIH", 1, 0, 0x7FFF, 0, len(content), 0xFFFF)
    tree = b"x\0y\0" + b"".join(b"%d\0" % n + one for n in range(10_000)) + b"\0\0\0"
    path = tmp_path / "a.vpk"
    path.write_bytes(struct.pack("<III", vpk.MAGIC, 1, len(tree)) + tree + content)
    assert not vpk.is_intact(path)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400), tree_size=st.integers(0, 500), version=st.sampled_from([1, 2, 7]))
def test_no_bytes_make_the_reader_crash(tmp_path_factory, data, tree_size, version):
    path = tmp_path_factory.getbasetemp() / "hostile.vpk"
    path.write_bytes(struct.pack("<III", vpk.MAGIC, version, tree_size) + data)
    try:
        found = entries(path)
    except NotValid:
        return
    size = path.stat().st_size
    assert all(entry.data_at + entry.length <= size for entry in found if entry.in_this_file)


@settings(max_examples=200, deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0, 5300), st.integers(0, 255)), max_size=6), cut=st.integers(0, 300))
def test_no_damage_to_an_honest_file_makes_the_reader_crash(tmp_path_factory, edits, cut):
    path = tmp_path_factory.getbasetemp() / "damaged.vpk"
    vpk_files.write(path, FILES)
    content = bytearray(path.read_bytes())
    for at, value in edits:
        content[at % len(content)] = value
    path.write_bytes(content[: len(content) - cut])
    try:
        vpk.check(path)
    except NotValid as reason:
        assert str(reason)
