"""Builds a script overlay: an admin's script fills an empty directory in a sandbox, which then replaces the old."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

from django.utils import timezone

from left4me.core.concurrency import Cancelled
from left4me.core.files import atomic, walk
from left4me.core.files.tree import Tree
from left4me.core.processes import commands, sandboxed
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed
from overlays import contents, game_files, paths
from overlays.campaigns import rows
from overlays.campaigns.finder import Addon, Finder
from overlays.models import Overlay

SECONDS = 30 * 60
LARGEST_TREE = 20 * 1000**3
MOST_FILES = 200_000
_LIMITS = sandboxed.Limits(memory=4 * 1024**3, processes=512, largest_file=LARGEST_TREE, temporary=1024**3)
_MEASURE_EVERY = 2.0
_FROM_ETC = ("resolv.conf", "nsswitch.conf", "hosts", "ssl", "ca-certificates", "alternatives", "localtime", "pki")


def build(run: JobContext, overlay: Overlay) -> bool:
    """Run the overlay's script; returns True. Raises Failed, and then the overlay's directory is unchanged."""
    script = getattr(overlay, "script", None)
    if script is None or not script.text.strip():
        raise Failed("This overlay has no script yet.")
    tree = paths.directory(overlay)
    fresh = tree.parent / f".building-{overlay.pk}"
    program = tree.parent / f".script-{overlay.pk}"
    try:
        _start_empty(fresh)
        program.write_text(script.text.replace("\r\n", "\n"))
        _run(run, program=program, work=fresh)
        count, size, addons, listing = _check(run, overlay, fresh)
        # Running games have the old directory mounted: it may move, but its files must not be deleted yet.
        atomic.swap(fresh, tree, previous=tree.parent / f".previous-{tree.name}")
    finally:
        program.unlink(missing_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)
    rows.log(run, rows.record(overlay, addons))
    with Tree(tree) as content:
        contents.record(overlay, listing, tree=content)
    overlay.record_change(now=timezone.now(), file_count=count, size_bytes=size)
    run.log(f"files={count} bytes={size}")
    return True


def sandbox(*, program: Path, work: Path) -> list[str | Path]:
    """The command line that runs `program`: a minimal read-only system, the network, and one writable directory."""
    return sandboxed.argv(
        ["sh", "-e", "/script"],
        limits=_LIMITS,
        binds=sandboxed.Binds(
            read_only_if_there=[f"/etc/{name}" for name in _FROM_ETC],
            read_only={"/script": program},
            writable={"/overlay": work},
        ),
        network=True,
        environment={"PATH": "/usr/bin:/usr/sbin", "HOME": "/tmp", "OVERLAY": "/overlay"},  # noqa: S108
        directory="/overlay",
    )


def _run(run: JobContext, *, program: Path, work: Path) -> None:
    with _Watch(work) as watch:
        try:
            commands.run(
                sandbox(program=program, work=work),
                timeout=SECONDS,
                on_line=run.log,
                cancelled=lambda: run.cancelled() or watch.is_too_large,
            )
        except Cancelled:
            run.check()
            raise Failed(f"The script was stopped because it wrote more than {LARGEST_TREE // 1000**3} GB.") from None
        except commands.CommandMissing as missing:
            raise Failed(f"{missing}. Script overlays need bubblewrap: apt-get install bubblewrap") from None
        except commands.CommandTimedOut:
            raise Failed(f"The script was stopped because it ran longer than {SECONDS // 60} minutes.") from None
        except commands.CommandFailed as failure:
            raise Failed(f"The script failed with exit status {failure.status}: {failure.tail}") from None


class _Watch:
    """Measures a directory periodically, since the kernel has no limit for the size of a whole tree."""

    def __init__(self, work: Path) -> None:
        self.is_too_large = False
        self._work = work
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._measure, name="script-watch", daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _measure(self) -> None:
        while not self._done.wait(_MEASURE_EVERY):
            start = time.monotonic()
            self.is_too_large = self.is_too_large or _used(self._work) > LARGEST_TREE
            # Measuring a tree of many files takes long: then measure less often.
            self._done.wait(4 * (time.monotonic() - start))


def _used(work: Path) -> int:
    used = 0
    for folder, _folders, files in os.walk(work):
        for name in files:
            try:
                used += os.lstat(Path(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return used


def _start_empty(fresh: Path) -> None:
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)


def _check(run: JobContext, overlay: Overlay, fresh: Path) -> tuple[int, int, list[Addon], contents.Listing]:
    """The number and total size of the files, the addons among them, and all paths. Texts become executable.

    Raises Failed for links that lead out of the overlay, and for a VPK that the game cannot open.
    """
    count = size = 0
    finder, listing = Finder(), contents.Listing()
    with Tree(fresh) as tree:
        for where, node in tree.walk():
            count, size = count + 1, size + node.size
            finder.take(where, node)
            listing.take(where, node)
            if count > MOST_FILES:
                raise Failed(f"The script created more than {MOST_FILES} files.")
            if node.is_link and walk.leads_out(where, str(fresh.joinpath(*where).readlink())):
                raise Failed(f"The link {'/'.join(where)} points outside the overlay. Copy the file instead.")
        if not count:
            raise Failed("The script created no files. Write them to its working directory, /overlay.")
        for path, encoding in game_files.convert_all(tree, listing.paths):
            run.log(f"{path} converted from {encoding} to UTF-8")
        addons = rows.inspect(overlay, finder, tree=tree, check=run.check)
    broken = [f"{found.path} {found.inspection.reason}" for found in addons if found.is_broken and found.inspection]
    if broken:
        raise Failed("\n".join(["The game cannot open these files, which the script created.", *broken[:20]]))
    return count, size, addons, listing
