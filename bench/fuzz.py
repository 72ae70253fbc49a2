"""Fuzz the parsers of untrusted files and of answers of games.

    bench/fuzz {dumps,vpk,missions,archives,status} [--seconds N]     prints the number of executions and the findings
    bench/fuzz {dumps,vpk,missions,archives,status} --keep DIRECTORY  keeps the smallest inputs that cover new code

Guided by coverage, with atheris (`pip install atheris`; it is not locked, because only this benchmark uses it). It
starts from bench/corpus/TARGET and adds to a scratch copy; a crash, a hang or a file outside of the tree ends it. The
tests replay all of bench/corpus.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

sys.path.append(os.environ.get("ATHERIS", ""))

from bench import stack  # noqa: F401, I001 -- sets the environment that settings read
import atheris
import django

with atheris.instrument_imports(
    include=["workshop", "overlays.files", "livestate.status", "livestate.reconcile", "servers.logs.minidumps"]
):
    django.setup()
    from left4me.core.files import tree
    from livestate import reconcile, status
    from overlays.files import archives
    from servers.logs import minidumps
    from workshop import inspection, missions, vpk

HERE = Path(__file__).resolve().parent
SCRATCH = Path(tempfile.mkdtemp(prefix="left4me-fuzz-"))


def read_vpk(data: bytes) -> None:
    try:
        inspection.inspect_stream(io.BytesIO(data))
    except vpk.NotValid as reason:
        assert str(reason)


def read_mission(data: bytes) -> None:
    for campaign in missions.read(data):
        assert campaign.modes


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


def read_status(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        found = status.parse_status(text)
    except status.NotStatus as reason:
        assert str(reason)
        return
    known = reconcile.Known(stays={7: reconcile.Stay(1, _NOW, None, None, None)}, seen_at=_NOW)
    changes = reconcile.changes(known, found, _NOW, earlier={}, gap=timedelta(seconds=60))
    assert len(changes.opened) <= len(found.people)
    assert all(0 <= joined.steam_id_64 < 2**63 and joined.joined_at <= _NOW for joined in changes.opened)
    if found.end_marker:
        # What the game prints after its answer changes nothing about who is there.
        after = status.parse_status(text + '\n# 1 1 "x" STEAM_1:0:5 00:10 1 0 active 30000\n')
        assert (after.players, after.complete) == (found.players, found.complete)


_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def read_dump(data: bytes) -> None:
    try:
        crash = minidumps.read(io.BytesIO(data))
    except minidumps.NotADump:
        return
    assert len(crash.modules) <= 1000 and len(crash.reason) < 1000


TARGETS = {"dumps": read_dump, "vpk": read_vpk, "missions": read_mission, "archives": unpack, "status": read_status}


def keep(target: Callable[[bytes], None], *, found: Path, kept: Path) -> None:
    """Add to `kept` the smallest of `found` that go from a line to another which nothing before them did.

    libFuzzer's own merge also tells apart how often each was gone: that would be hundreds of files.
    """
    ways: set[tuple[object, int, int]] = set()
    for path in sorted(kept.iterdir()):
        ways |= _ways(target, path.read_bytes())
    for path in sorted(found.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        content = path.read_bytes()
        if new := _ways(target, content) - ways:
            ways |= new
            shutil.copyfile(path, kept / f"found-{hashlib.sha256(content).hexdigest()[:8]}")
            print(f"kept {path.name}: {len(content)} bytes, {len(new)} new ways")


def _ways(target: Callable[[bytes], None], content: bytes) -> set[tuple[object, int, int]]:
    ways = set()
    before = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., object] | None:
        nonlocal before
        if not frame.f_code.co_filename.startswith(str(HERE.parent)):
            return None
        ways.add((frame.f_code, before, frame.f_lineno))
        before = frame.f_lineno
        return trace

    sys.settrace(trace)
    try:
        target(content)
    finally:
        sys.settrace(None)
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/fuzz")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", metavar="DIRECTORY", type=Path)
    options = parser.parse_args()
    kept = HERE / "corpus" / options.target
    if options.keep:
        keep(TARGETS[options.target], found=options.keep, kept=kept)
        return
    # libFuzzer writes what it finds into the first directory and only reads the others.
    found = Path(tempfile.mkdtemp(prefix=f"left4me-corpus-{options.target}-"))
    limits = [f"-max_total_time={options.seconds}", "-timeout=10", "-rss_limit_mb=1024", "-max_len=20000"]
    limits += ["-print_final_stats=1", "-use_value_profile=1"]
    print(f"new inputs go to {found}", flush=True)
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={found}/", str(found), str(kept)], TARGETS[options.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
