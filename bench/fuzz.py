"""Fuzz the readers of untrusted files, of what games, SteamCMD and Steam answer, and of what people type and paste.

    bench/fuzz TARGET [--seconds N]      prints the number of executions and the findings
    bench/fuzz all [--seconds N]         each target in a process of its own, N seconds each, and a line about it
    bench/fuzz TARGET --keep DIRECTORY   keeps the smallest inputs that cover new code

Guided by coverage, with atheris (`pip install atheris`; it is not locked, because only this benchmark uses it). It
starts from bench/corpus/TARGET and adds to a scratch copy; a crash, a hang, a broken promise of a target or a file
outside of the tree ends it. The tests replay all of bench/corpus.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

sys.path.append(os.environ.get("ATHERIS", ""))

from bench import stack  # noqa: F401, I001 -- sets the environment that settings read
import atheris
import django

_FUZZED = (
    *("accounts.doors.openid_connect", "accounts.factors.webauthn", "fido2", "joserfc"),
    *(
        "left4me.core.floods",
        "left4me.core.lines",
        "left4me.core.names",
        "left4me.core.texts",
        "left4me.core.steam_ids",
    ),
    *("left4me.core.net.addresses", "left4me.core.web.ids", "left4me.core.web.sse.events"),
    *(
        "livestate.bans",
        "livestate.demos.header",
        "livestate.matches",
        "livestate.reconcile",
        "livestate.rotation",
        "livestate.status",
        "overlays.files",
        "overlays.match_modes",
        "overlays.plugins",
        "overlays.replication.manifest",
    ),
    *(
        "servers.actions.blueprint_yaml",
        "servers.blueprints",
        "servers.copies",
        "servers.game_access",
        "servers.gamehost.a2s",
    ),
    *("servers.gamehost.parcels", "servers.hosts.floods", "servers.identity"),
    *("servers.gamehost.rcon", "servers.gamehost.steamcmd", "servers.logs.minidumps", "servers.plugins", "workshop"),
)

with atheris.instrument_imports(include=list(_FUZZED)):
    django.setup()
    from bench.fuzz_targets import TARGETS

HERE = Path(__file__).resolve().parent


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


def _fuzz_all(seconds: int) -> int:
    """Fuzz the targets one after the other; returns how many failed."""
    failed = 0
    for name in sorted(TARGETS):
        command = [sys.executable, "-m", "bench.fuzz", name, "--seconds", str(seconds)]
        run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        printed = run.stdout + run.stderr
        count = re.search(r"number_of_executed_units: *(\d+)", printed)
        failed += run.returncode != 0
        print(
            f"{name:16} {int(count[1]) if count else 0:>12,} executions  {'FAILED' if run.returncode else 'ok'}",
            flush=True,
        )
        if run.returncode:
            print(_fault(printed), flush=True)
    return failed


def _fault(printed: str) -> str:
    """The Python traceback and the file with the input, among everything that libFuzzer prints."""
    _, _, traceback = printed.partition("Uncaught Python exception")
    lines = (traceback or printed).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("#", "INFO", "stat::", "0x", "MS:")))[-3000:]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/fuzz")
    parser.add_argument("target", choices=["all", *TARGETS])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", metavar="DIRECTORY", type=Path)
    options = parser.parse_args()
    if options.target == "all":
        sys.exit(min(_fuzz_all(options.seconds), 1))
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
