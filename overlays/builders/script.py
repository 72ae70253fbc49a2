"""Builds a script overlay: an admin's script fills a fresh directory in a sandbox, which is then swapped in."""

from __future__ import annotations

import ctypes
import os
import shutil
import threading
import time
from pathlib import Path

from django.utils import timezone

from left4me.core.files.tree import Tree
from left4me.core.processes import commands
from left4me.jobs import registry
from overlays import paths
from overlays.models import Overlay
from overlays.replication.manifest import leads_out

SECONDS = 30 * 60
LARGEST_TREE = 20 * 1000**3
MOST_FILES = 200_000
_MEMORY_PER_PROCESS = 4 * 1024**3
_PROCESSES = 512
_MEASURE_EVERY = 2.0
_EXCHANGE = 2
_AT_FDCWD = -100
_FROM_ETC = ("resolv.conf", "nsswitch.conf", "hosts", "ssl", "ca-certificates", "alternatives", "localtime", "pki")


def build(run: registry.Run, overlay: Overlay) -> bool:
    """Run the overlay's script; returns True. Raises Failed, and then the tree is as it was before."""
    script = getattr(overlay, "script", None)
    if script is None or not script.text.strip():
        raise registry.Failed("This overlay has no script yet.")
    tree = paths.directory(overlay)
    fresh = tree.parent / f".building-{overlay.pk}"
    program = tree.parent / f".script-{overlay.pk}"
    try:
        _start_empty(fresh)
        program.write_text(script.text.replace("\r\n", "\n"))
        _run(run, program=program, work=fresh)
        count, size = _check(fresh)
        _swap_in(fresh, tree)
    finally:
        program.unlink(missing_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)
    overlay.file_count, overlay.size_bytes = count, size
    overlay.content_version += 1
    overlay.built_at = timezone.now()
    overlay.save(update_fields=["file_count", "size_bytes", "content_version", "built_at"])
    run.log(f"files={count} bytes={size}")
    return True


def sandbox(*, program: Path, work: Path) -> list[str | Path]:
    """The command line: a minimal read-only system, the network, and one writable directory."""
    etc = [part for name in _FROM_ETC for part in ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")]
    return [
        *("prlimit", f"--as={_MEMORY_PER_PROCESS}", f"--nproc={_PROCESSES}", f"--fsize={LARGEST_TREE}", "--core=0"),
        # Named one by one: the worker's unit allows these kinds of namespaces and no others.
        *("bwrap", "--unshare-user", "--unshare-pid", "--die-with-parent", "--new-session"),
        *("--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"),
        *("--clearenv", "--setenv", "PATH", "/usr/bin:/usr/sbin", "--setenv", "HOME", "/tmp"),  # noqa: S108
        *("--setenv", "LANG", "C.UTF-8", "--setenv", "OVERLAY", "/overlay"),
        *("--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin"),
        *("--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"),
        *etc,
        *("--proc", "/proc", "--dev", "/dev", "--size", "1073741824", "--tmpfs", "/tmp"),  # noqa: S108
        *("--ro-bind", program, "/script", "--bind", work, "/overlay", "--chdir", "/overlay"),
        *("sh", "-e", "/script"),
    ]


def _run(run: registry.Run, *, program: Path, work: Path) -> None:
    with _Watch(work) as watch:
        try:
            commands.run(
                sandbox(program=program, work=work),
                timeout=SECONDS,
                on_line=run.log,
                cancelled=lambda: run.cancelled() or watch.is_too_large,
            )
        except commands.CommandCancelled:
            run.check()
            raise registry.Failed(f"The script wrote more than {LARGEST_TREE // 1000**3} GB and was ended.") from None
        except commands.CommandMissing as missing:
            raise registry.Failed(f"{missing}. Script overlays need bubblewrap: apt-get install bubblewrap") from None
        except commands.CommandTimedOut:
            raise registry.Failed(f"The script ran longer than {SECONDS // 60} minutes and was ended.") from None
        except commands.CommandFailed as failure:
            raise registry.Failed(f"The script failed with status {failure.status}: {failure.tail}") from None


class _Watch:
    """Measures a directory now and then, since no limit of the kernel holds for a whole tree."""

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
            began = time.monotonic()
            self.is_too_large = self.is_too_large or _used(self._work) > LARGEST_TREE
            # A tree of very many files takes long to measure: then measure less often.
            self._done.wait(4 * (time.monotonic() - began))


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


def _check(fresh: Path) -> tuple[int, int]:
    """Number and bytes of the files. Raises Failed for links that lead out of the overlay."""
    count = size = 0
    with Tree(fresh) as tree:
        for where, node in tree.walk():
            count, size = count + 1, size + node.size
            if count > MOST_FILES:
                raise registry.Failed(f"The script made more than {MOST_FILES} files.")
            if node.is_link and leads_out(where, str(fresh.joinpath(*where).readlink())):
                raise registry.Failed(f"The link {'/'.join(where)} leads out of the overlay.")
    if not count:
        raise registry.Failed("The script left no files. It has to write into its working directory, /overlay.")
    return count, size


def _swap_in(fresh: Path, tree: Path) -> None:
    """Put the new tree in place in one step; the old one stays beside it until the next build.

    Games that run have the old tree mounted: it may move, but its files must not go away under them.
    """
    previous = tree.parent / f".previous-{tree.name}"
    shutil.rmtree(previous, ignore_errors=True)
    if not tree.exists():
        fresh.rename(tree)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(fresh), _AT_FDCWD, os.fsencode(tree), _EXCHANGE) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), str(tree))
    fresh.rename(previous)
