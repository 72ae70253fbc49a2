"""Plugins of SourceMod in layers: what their files say, which of them the game sees, and hostile files."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import pytest
from django.test import Client

from left4me.core.files import walk
from left4me.testing import smx_files
from left4me.testing.cast import Cast
from overlays import paths
from overlays.plugins import finder, smx
from overlays.tests.factories import make_overlay

PLUGINS = Path("left4dead2/addons/sourcemod/plugins")


def read(raw: bytes) -> smx.Info:
    return smx.read(io.BytesIO(raw))


def put(layer: Path, name: str, content: bytes | None = None) -> Path:
    path = layer / PLUGINS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(smx_files.plugin(name) if content is None else content)
    return path


def listed(*layers: Path) -> list[tuple[str, int]]:
    return [(plugin.path, plugin.layer) for plugin in finder.find(layers)]


@pytest.mark.parametrize("is_compressed", [True, False])
def test_a_plugin_says_what_it_is_and_what_it_needs(is_compressed: bool):
    info = read(
        smx_files.plugin(
            "[L4D2] Heal",
            version="1.2",
            author="Anna, 李",
            description="Heals.",
            url="https://example.com",
            plugins=["left4dhooks.smx"],
            extensions=["dhooks.ext"],
            is_compressed=is_compressed,
        )
    )
    assert info == smx.Info(
        name="[L4D2] Heal",
        version="1.2",
        author="Anna, 李",
        description="Heals.",
        url="https://example.com",
        plugins=("left4dhooks.smx",),
        extensions=("dhooks.ext",),
    )


def test_texts_are_one_printable_line_of_bounded_length():
    info = read(smx_files.plugin("a\nb\x1b[31m", description="x" * 5000))
    assert info.name == "a b [31m"
    assert len(info.description) == 400


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "too short"),
        (b"\x7fELF" + bytes(100), "no compiled plugin"),
        (smx_files.plugin()[:100], "unpacked|leads out|ends within"),
        (smx.HEADER.pack(smx.MAGIC, 0x0502, 0, 0, 0, 0, 0, 0), "unknown format"),
        (smx.HEADER.pack(smx.MAGIC, 0x0102, 7, 0, 24, 0, 0, 0), "unknown way"),
        (smx.HEADER.pack(smx.MAGIC, 0x0102, 1, 24, 2**31, 0, 0, 24) + zlib.compress(b"x"), "unpacks to more"),
        (smx.HEADER.pack(smx.MAGIC, 0x0102, 0, 24, 24, 255, 0, 24), "list of sections"),
        (smx.HEADER.pack(smx.MAGIC, 0x0102, 0, 24, 24, 0, 0, 24), "no section"),
    ],
)
def test_what_is_no_plugin_is_refused_with_a_reason(raw: bytes, reason: str):
    with pytest.raises(smx.NotAPlugin, match=reason):
        read(raw)


def head(**fields: int) -> bytes:
    """The head of a plugin without sections."""
    usual = {"magic": smx.MAGIC, "version": 0x0102, "compression": 0, "disk": 24, "image": 24, "count": 0, "names": 0}
    return smx.HEADER.pack(*(usual | {"start": 24} | fields).values())


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (bytes(23), "is too short"),
        (head(version=0x0202), "has no section “.data”"),
        (head(version=0x0302), r"unknown format \(0x0302\)"),
        (head(image=23), "smaller than its header"),
        (head(image=32 * 1024**2), "has no section"),
        (head(image=32 * 1024**2 + 1), "unpacks to more than 32 MiB"),
        (head(compression=1, start=23), "its header leads out of the file"),
        (head(compression=1, start=25), "its header leads out of the file"),
        (head(compression=1, start=24), "has no section"),
        (head(compression=1, disk=30) + b"no zlib", "it cannot be unpacked"),
        (head(count=1, image=36) + smx.SECTION.pack(0, 0, 36), "has no section"),
        (head(count=1, image=36) + smx.SECTION.pack(0, 0, 37), "a section leads out of the file"),
        (head(count=1, image=35) + bytes(11), "within its list of sections"),
    ],
)
def test_each_position_is_checked(raw: bytes, reason: str):
    with pytest.raises(smx.NotAPlugin, match=reason):
        read(raw)


@pytest.mark.parametrize("missing", [".data", ".names", ".pubvars"])
def test_every_section_is_needed(missing: str):
    raw = smx_files.plugin(is_compressed=False).replace(missing.encode() + b"\0", b"x" * len(missing) + b"\0")
    with pytest.raises(smx.NotAPlugin, match=f"has no section “{missing}”"):
        read(raw)


def test_a_plugin_has_a_largest_size():
    plugin = smx_files.plugin("Padded", is_compressed=False)
    assert read(plugin + bytes(8 * 1024**2 - len(plugin))).name == "Padded"
    with pytest.raises(smx.NotAPlugin, match="larger than 8 MiB"):
        read(plugin + bytes(8 * 1024**2 - len(plugin) + 1))


def test_data_that_are_cut_off_are_refused():
    listing = smx.SECTION.pack(0, 0, 11) + smx.SECTION.pack(6, 0, 0) + smx.SECTION.pack(13, 0, 0)
    names = b".data\0.names\0.pubvars\0"
    raw = head(count=3, names=24 + len(listing), image=24 + len(listing) + len(names)) + listing + names
    with pytest.raises(smx.NotAPlugin, match="its data are incomplete"):
        read(raw)


def test_what_a_plugin_needs_is_named_once_and_not_without_end():
    files = [f"p{number:03}.smx" for number in range(101)]
    info = read(
        smx_files.plugin(plugins=[*files[:2], "p000.smx", "", *files[2:]], extensions=["a.ext", "b.ext", "a.ext"])
    )
    assert info.plugins == tuple(files[:100])
    assert info.extensions == ("a.ext", "b.ext")


def test_a_need_that_is_not_required_is_none():
    raw = smx_files.plugin(plugins=["need.smx"], extensions=["need.ext"], is_compressed=False)
    # Both structures end with a cell that is 1 for “required”.
    for file, cells in ((b"need.smx\0\0\0\0", 3), (b"need.ext\0\0\0\0", 4)):
        at = raw.index(file) + len(file) + 4 * (cells - 1)
        assert raw[at : at + 4] == b"\1\0\0\0"
        raw = raw[:at] + bytes(4) + raw[at + 4 :]
    assert (read(raw).plugins, read(raw).extensions) == ((), ())


def test_very_many_variables_are_not_all_read(monkeypatch):
    monkeypatch.setattr(smx, "_MOST_VARIABLES", 3)
    info = read(smx_files.plugin("Name", plugins=["a.smx", "b.smx", "c.smx"]))
    assert (info.name, info.plugins) == ("Name", ("a.smx", "b.smx"))


def test_a_small_file_cannot_unpack_to_more_than_it_announces():
    bomb = zlib.compress(bytes(64 * 1024**2), 9)
    raw = smx.HEADER.pack(smx.MAGIC, 0x0102, 1, 24 + len(bomb), 1000, 0, 0, 24) + bomb
    assert len(smx._image(raw)) == 1000


def test_pointers_out_of_the_data_are_empty_texts():
    raw = bytearray(smx_files.plugin("Name", is_compressed=False))
    at = raw.index(b"Name\0")
    cells = raw.index(struct.pack("<I", 4), at)
    raw[cells : cells + 4] = struct.pack("<I", 2**32 - 1)
    assert read(bytes(raw)).name == ""


def test_the_topmost_layer_with_a_file_wins_and_folders_are_merged(tmp_path: Path):
    top, below = tmp_path / "top", tmp_path / "below"
    put(top, "b.smx")
    put(top, "extra/c.smx")
    put(below, "a.smx")
    put(below, "b.smx")
    put(below, "extra/d.smx")
    put(below, "readme.txt")
    assert listed(top, below) == [("a.smx", 1), ("b.smx", 0), ("extra/c.smx", 0), ("extra/d.smx", 1)]


def test_a_mark_of_deletion_hides_the_plugin_below(tmp_path: Path):
    top, below = tmp_path / "top", tmp_path / "below"
    put(below, "a.smx")
    put(below, "b.smx")
    (top / PLUGINS).mkdir(parents=True)
    with walk.folder(top, PLUGINS.parts) as handle:
        walk.mark_deleted("a.smx", at=handle)
    assert listed(top, below) == [("b.smx", 1)]


def test_plugins_below_disabled_and_optional_are_not_loaded(tmp_path: Path):
    for name in ("a.smx", "disabled/b.smx", "optional/c.smx", "extra/disabled/d.smx", "extra/e.smx"):
        put(tmp_path, name)
    assert [plugin.path for plugin in finder.find([tmp_path]) if plugin.is_enabled] == ["a.smx", "extra/e.smx"]


@pytest.mark.parametrize(
    ("path", "is_enabled", "is_optional"),
    [
        ("a.smx", True, False),
        ("optional/a.smx", False, True),
        ("x/optional/y/a.smx", False, True),
        ("optional/disabled/a.smx", False, False),
        ("disabled/a.smx", False, False),
        ("disabled", True, False),
        ("optional.smx", True, False),
    ],
)
def test_the_folders_of_a_plugin_say_whether_it_is_loaded(path: str, is_enabled: bool, is_optional: bool):
    assert (finder.is_enabled(path), finder.is_optional(path)) == (is_enabled, is_optional)
    plugin = finder.Plugin(path=path, layer=0, size=1, info=smx.Info())
    assert (plugin.is_enabled, plugin.is_optional) == (is_enabled, is_optional)


def test_the_facts_of_a_plugin_are_what_it_says_and_nothing_that_runs():
    info = smx.Info(
        name="Name",
        version="1",
        author="me",
        description="d",
        url="http://x",
        plugins=("a.smx", "b.smx"),
        extensions=("e",),
    )
    facts = finder.Plugin(path="x/a.smx", layer=0, size=5, info=info, problem="p").facts()
    assert facts == {
        "path": "x/a.smx",
        "is_enabled": True,
        "is_optional": False,
        "title": "Name",
        "version": "1",
        "author": "me",
        "description": "d",
        "url": "http://x",
        "size": 5,
        "needs": ["b.smx", "e"],
        "problem": "p",
    }


def test_a_file_hides_a_folder_of_its_name_below_and_a_folder_a_file(tmp_path: Path):
    top, below = tmp_path / "top", tmp_path / "below"
    put(top, "a.smx/x.smx")
    put(below, "a.smx")
    put(top, "b")
    put(below, "b/y.smx")
    put(top, "c.txt")
    put(below, "c.txt/z.smx")
    put(below, "d.smx")
    (top / PLUGINS / "d.smx").symlink_to("nothing")
    put(top, "bad\nname.smx")
    assert listed(top, below) == [("a.smx/x.smx", 0)]


def test_an_opaque_folder_hides_all_below_it(tmp_path: Path):
    top, below = tmp_path / "top", tmp_path / "below"
    put(top, "in/a.smx")
    put(below, "in/b.smx")
    put(below, "c.smx")
    opaque = (top / PLUGINS / "in").stat().st_ino
    found = finder.find([top, below], is_opaque=lambda handle: os.fstat(handle).st_ino == opaque)
    assert [(plugin.path, plugin.layer) for plugin in found] == [("c.smx", 1), ("in/a.smx", 0)]


def test_a_layer_without_plugins_hides_nothing(tmp_path: Path):
    put(tmp_path / "below", "a.smx")
    (tmp_path / "top").mkdir()
    assert listed(tmp_path / "top", tmp_path / "below") == [("a.smx", 1)]
    assert finder.has_plugins([tmp_path / "top", tmp_path / "below"])
    assert not finder.has_plugins([tmp_path / "top"])


@pytest.mark.parametrize(("depth", "is_found"), [(8, True), (9, False)])
def test_plugins_are_looked_for_to_a_depth(tmp_path: Path, depth: int, is_found: bool):
    put(tmp_path, "d/" * depth + "a.smx")
    assert bool(listed(tmp_path)) is is_found


def test_neither_very_many_plugins_nor_folders_nor_bytes_are_read(tmp_path: Path, monkeypatch):
    for number in range(4):
        put(tmp_path, f"{number}/a.smx")
    size = (tmp_path / PLUGINS / "0/a.smx").stat().st_size
    monkeypatch.setattr(finder, "_MOST_BYTES", 2 * size)
    assert [plugin.problem for plugin in finder.find([tmp_path])] == ["", ""] + [
        "is beyond the limit of what is read"
    ] * 2
    monkeypatch.setattr(finder, "MOST", 3)
    assert len(listed(tmp_path)) == 3
    monkeypatch.setattr(finder, "_MOST_FOLDERS", 3)
    assert len(listed(tmp_path)) == 2


def test_the_extensions_of_layers_are_named_as_plugins_name_them(tmp_path: Path):
    for layer, name in (("a", "Dhooks.ext.2.l4d2.so"), ("b", "sdktools.ext.so"), ("b", "x.ext.dll"), ("b", "y.so")):
        path = tmp_path / layer / "left4dead2/addons/sourcemod/extensions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert finder.extensions([tmp_path / "a", tmp_path / "b", tmp_path / "c"]) == {"dhooks.ext", "sdktools.ext"}


def test_a_plugin_that_cannot_be_opened_says_why(tmp_path: Path, monkeypatch):
    put(tmp_path, "gone.smx")

    def refuse(*_where: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(walk, "open_below", refuse)
    assert [plugin.problem for plugin in finder.find([tmp_path])] == ["cannot be read: Permission denied"]


def test_links_are_not_followed_and_bad_files_are_listed_with_the_reason(tmp_path: Path):
    put(tmp_path, "bad.smx", b"nothing")
    (tmp_path / PLUGINS / "link.smx").symlink_to("/etc/passwd")
    (plugin,) = finder.find([tmp_path])
    assert (plugin.path, plugin.title, plugin.problem) == ("bad.smx", "bad", "is too short")


def test_a_changed_file_is_read_again(tmp_path: Path):
    put(tmp_path, "a.smx", smx_files.plugin("One"))
    assert finder.find([tmp_path])[0].title == "One"
    put(tmp_path, "a.smx", smx_files.plugin("Another"))
    assert finder.find([tmp_path])[0].title == "Another"


def test_the_page_and_the_api_of_an_overlay_list_its_plugins(cast: Cast, client: Client, settings, tmp_path: Path):
    settings.LEFT4ME_ROOT = tmp_path
    overlay = make_overlay(owner=cast.owner)
    client.force_login(cast.owner)
    assert "No plugins" in client.get(f"/overlays/{overlay.pk}/plugins").content.decode()
    put(paths.directory(overlay), "heal.smx", smx_files.plugin("Heal", version="3", url="javascript:alert(1)"))
    page = client.get(f"/overlays/{overlay.pk}/plugins").content.decode()
    assert "Heal" in page
    assert "javascript:" not in page
    (plugin,) = client.get(f"/api/v1/overlays/{overlay.pk}/plugins").json()
    assert (plugin["title"], plugin["version"], plugin["is_enabled"], plugin["url"]) == ("Heal", "3", True, "")
    assert f"/overlays/{overlay.pk}/plugins" in client.get(f"/overlays/{overlay.pk}").content.decode()
