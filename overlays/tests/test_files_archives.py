"""Extraction of untrusted archives."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from left4me.core.files.tree import Tree
from left4me.testing.folders import listed
from overlays.files import archives
from overlays.files.archives import ArchiveLimits, BadArchive

ROOMY = ArchiveLimits(size=50_000_000)
CORPUS = Path(__file__).parents[2] / "bench" / "corpus" / "archives"


@pytest.fixture
def unpack(tmp_path):
    """Extract an archive into an empty tree; returns the result and the files by path."""
    root = tmp_path / "overlay"

    def unpack(raw, *, base=(), limits=ROOMY):
        archive = tmp_path / "archive"
        archive.write_bytes(raw)
        with Tree(root) as content:
            done = archives.unpack(archive, into=content, base=base, limits=limits, check=lambda: None)
        return done, files(root)

    return unpack


def files(root):
    found = [path for path in root.rglob("*") if path.is_file() or path.is_symlink()]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def zipped(entries, *, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


def tarred(members, *, mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for info, content in members:
            if isinstance(info, str):
                info = tarfile.TarInfo(info)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


CONTENT = [("left4dead2/cfg/server.cfg", b"sv_x 1"), ("left4dead2/addons/a.vpk", b"vpk")]


@pytest.mark.parametrize(
    "raw",
    [zipped(CONTENT), tarred(CONTENT), tarred(CONTENT, mode="w:gz"), tarred(CONTENT, mode="w:bz2")],
    ids=["zip", "tar", "tar.gz", "tar.bz2"],
)
def test_every_kind_gives_its_files(unpack, raw):
    done, found = unpack(raw)
    assert found == dict(CONTENT)
    assert (done.files, done.size, done.left_out) == (2, 9, [])


def test_files_are_put_where_the_game_looks_for_them(unpack):
    _, found = unpack(
        zipped([("map.vpk", b"1"), ("sub/other.vpk", b"2"), ("cfg/server.cfg", b"3"), ("readme.md", b"4")])
    )
    assert sorted(found) == [
        "left4dead2/addons/map.vpk",
        "left4dead2/addons/other.vpk",
        "left4dead2/cfg/server.cfg",
    ]


def test_in_a_folder_that_was_chosen_everything_stays_as_packed(unpack):
    _, found = unpack(zipped([("map.vpk", b"1")]), base=("left4dead2", "maps"))
    assert list(found) == ["left4dead2/maps/map.vpk"]


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "c:\\evil", "a\x01b"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_name_that_leads_out_is_left_out_and_the_rest_unpacked(unpack, tmp_path, name, pack):
    done, found = unpack(pack([(name, b"evil"), ("ok.txt", b"ok")]))
    assert found == {"ok.txt": b"ok"}
    assert len(done.left_out) == 1
    assert not list(tmp_path.glob("evil"))


def test_links_devices_and_holes_in_a_tar_are_left_out(unpack, tmp_path):
    members = []
    for kind, target in (
        (tarfile.SYMTYPE, str(tmp_path)),
        (tarfile.LNKTYPE, "ok.txt"),
        (tarfile.FIFOTYPE, ""),
        (tarfile.CHRTYPE, ""),
    ):
        info = tarfile.TarInfo(f"link{len(members)}")
        info.type, info.linkname = kind, target
        members.append((info, b""))
    through = [("link0/escaped.txt", b"x"), ("ok.txt", b"ok")]
    done, found = unpack(tarred([*members, *through]))
    assert found == {"link0/escaped.txt": b"x", "ok.txt": b"ok"}
    assert len(done.left_out) == 4
    assert not (tmp_path / "escaped.txt").exists()


def test_a_link_in_a_zip_is_left_out(unpack):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    done, found = unpack(zipped([(info, b"/etc"), ("link/x", b"1")]))
    assert found == {"link/x": b"1"}
    assert done.left_out == ["'link': is not a regular file"]


def test_a_bomb_ends_at_its_ratio(unpack):
    with pytest.raises(BadArchive, match="too large when extracted"):
        unpack(zipped([("zeros", bytes(60_000_000))]))
    with pytest.raises(BadArchive, match="too large when extracted"):
        unpack(tarred([("zeros", bytes(60_000_000))], mode="w:gz"))


def test_an_archive_larger_than_the_quota_ends_there(unpack):
    raw = zipped([("a", os.urandom(3000)), ("b", os.urandom(3000))])
    with pytest.raises(BadArchive, match="too large when extracted"):
        unpack(raw, limits=ArchiveLimits(size=4000))


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_of_too_many_files_ends_there(unpack, pack):
    with pytest.raises(BadArchive, match="contains more than 10 files"):
        unpack(pack([(f"{n}", b"") for n in range(30)]), limits=ArchiveLimits(size=10**6, files=10))


def test_sizes_that_a_zip_claims_are_not_believed(unpack):
    raw = bytearray(zipped([("a", b"x" * 1000)], method=zipfile.ZIP_STORED))
    at = raw.index(b"PK\x01\x02")
    raw[at + 24 : at + 28] = struct.pack("<I", 10)
    try:
        done, _ = unpack(bytes(raw))
        assert done.size <= 1000
    except BadArchive:
        pass


def test_a_header_of_gigabytes_costs_no_memory(unpack):
    info = tarfile.TarInfo("pax")
    info.type = tarfile.XHDTYPE
    info.size = 2**33
    raw = info.tobuf(tarfile.USTAR_FORMAT if info.size < 8**11 else tarfile.GNU_FORMAT) + bytes(4096)
    tracemalloc.start()
    try:
        with pytest.raises(BadArchive):
            unpack(raw)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_chinese_names_of_an_old_zip_are_read(unpack):
    info = zipfile.ZipInfo("PLACEHOLDER.txt")
    raw = zipped([(info, b"1")])
    name = "生还者.txt".encode("gbk").ljust(15, b"_")[:15]
    _, found = unpack(raw.replace(b"PLACEHOLDER.txt", name))
    assert next(iter(found)).startswith("生还者")


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"hello" * 300, zipped(CONTENT)[:-10]])
def test_a_damaged_archive_says_so(unpack, raw):
    with pytest.raises(BadArchive, match=r"damaged|cannot be read"):
        unpack(raw)


def test_a_zip_with_a_password_says_so(unpack):
    raw = bytearray(zipped([("a", b"1")]))
    at = raw.index(b"PK\x01\x02")
    raw[at + 8] |= 1
    with pytest.raises(BadArchive, match="protected by a password"):
        unpack(bytes(raw))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([zipped(CONTENT), tarred(CONTENT), tarred(CONTENT, mode="w:gz")]),
    edits=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 60),
)
def test_no_damage_leads_out_or_crashes(tmp_path_factory, kind, edits, cut):
    folder = tmp_path_factory.mktemp("fuzz")
    raw = bytearray(kind)
    for at, value in edits:
        raw[at % len(raw)] = value
    archive = folder / "archive"
    archive.write_bytes(raw[: len(raw) - cut])
    with Tree(folder / "inside" / "overlay") as content:
        try:
            archives.unpack(archive, into=content, base=(), limits=ArchiveLimits(size=10**6), check=lambda: None)
        except BadArchive as reason:
            assert str(reason)
    assert listed(folder) == ["archive", "inside"]
    assert listed(folder / "inside") == ["overlay"]


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*")), ids=lambda path: path.name)
def test_what_the_fuzzer_found_is_unpacked_or_refused(unpack, path):
    try:
        unpack(path.read_bytes())
    except BadArchive as reason:
        assert str(reason)
