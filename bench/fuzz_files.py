"""What the fuzzer does with files: archives, VPKs, missions, crash dumps, demos."""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

from left4me.core import texts
from left4me.core.files import tree
from livestate.demos import header
from overlays.files import archives
from overlays.plugins import smx
from servers.logs import minidumps
from workshop import inspection, missions, translations, vpk

SCRATCH = Path(tempfile.mkdtemp(prefix="left4me-fuzz-"))


def read_vpk(data: bytes) -> None:
    try:
        inspection.inspect_stream(io.BytesIO(data))
    except vpk.NotValid as reason:
        assert str(reason)


def read_mission(data: bytes) -> None:
    for campaign in missions.read(data):
        assert campaign.modes


def read_resource(data: bytes) -> None:
    assert all(len(text) <= 1000 and not token.startswith("#") for token, text in translations.read(data).items())


def read_text(data: bytes) -> None:
    decoded = texts.decode(data)
    assert decoded.text.encode("utf-8", "surrogatepass") or len(data) < 4
    texts.is_unexecutable(data)


def unpack(data: bytes) -> None:
    inside = SCRATCH / "inside" / "overlay"
    archive = SCRATCH / "archive"
    archive.write_bytes(data)
    limits = archives.ArchiveLimits(size=2_000_000, files=200)
    with tree.Tree(inside) as content:
        try:
            archives.unpack(archive, into=content, base=(), limits=limits, check=lambda: None)
        except archives.BadArchive as reason:
            assert str(reason)
    assert {path.name for path in (SCRATCH / "inside").iterdir()} == {"overlay"}
    assert {path.name for path in SCRATCH.iterdir()} == {"archive", "inside"}
    shutil.rmtree(inside)


def read_dump(data: bytes) -> None:
    try:
        crash = minidumps.read(io.BytesIO(data))
    except minidumps.NotADump:
        return
    assert len(crash.modules) <= 1000 and len(crash.reason) < 1000


def read_plugin(data: bytes) -> None:
    try:
        info = smx.read(io.BytesIO(data))
    except smx.NotAPlugin as reason:
        assert str(reason)
        return
    texts_of = (info.name, info.description, info.author, info.version, info.url, *info.plugins, *info.extensions)
    assert all(text.isprintable() and len(text) <= 400 for text in texts_of)


def read_demo(data: bytes) -> None:
    file = io.BytesIO(data)
    try:
        told = header.read(file)
    except header.NotADemo as reason:
        assert str(reason)
        return
    names = (told.server, told.client, told.map, told.game)
    assert all(name.isprintable() and len(name) <= header.LONGEST_NAME for name in names)
    assert told.seconds >= 0 and told.ticks >= 0 and file.tell() <= header.FORM.size


TARGETS = {
    "archives": unpack,
    "demos": read_demo,
    "dumps": read_dump,
    "missions": read_mission,
    "plugins": read_plugin,
    "resources": read_resource,
    "texts": read_text,
    "vpk": read_vpk,
}
