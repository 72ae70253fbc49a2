"""Plugins of SourceMod in layers: what their files say, which of them the game sees, and hostile files."""

from __future__ import annotations

import io
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
