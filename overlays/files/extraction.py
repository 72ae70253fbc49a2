"""Unpacking an uploaded archive into its overlay, as a job."""

from __future__ import annotations

import signal
import tempfile
from dataclasses import replace
from pathlib import Path

from left4me.core.files import tree
from left4me.core.files.tree import Tree
from left4me.core.processes import commands
from left4me.jobs import registry
from overlays import paths
from overlays.files import archives, uploads
from overlays.models import Overlay, Upload

_CONVERT_SECONDS = 30 * 60
_CONVERT_MEMORY = 2 * 1024**3
_LEFT_OUT_NAMED = 20
# What a tar needs for each file beside its content: the end of its block, and headers for a long name.
_TAR_BESIDE = 2048
_MAGICS = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\xfd7zXZ\x00")
_TOO_LARGE = 128 + signal.SIGXFSZ
_CURE = "This kind of archive needs bubblewrap and bsdtar: apt-get install bubblewrap libarchive-tools"
_WITHOUT_QUOTA = 200 * 1000**3


def unpack(run: registry.Run, overlay: Overlay) -> None:
    """Unpack the upload that the job names. Raises Failed; what was unpacked before the fault stays, and is said."""
    upload = Upload.objects.filter(pk=run.params.get("upload", 0), overlay=overlay).first()
    if upload is None:
        raise registry.Failed("This upload is gone.")
    room = uploads.quota_left(overlay)
    limits = archives.Limits(size=_WITHOUT_QUOTA if room is None else max(0, room) + upload.size)
    where = tree.parts(upload.path)
    with tempfile.TemporaryDirectory(dir=uploads.directory()) as scratch:
        archive = uploads.partial_path(upload)
        if archives.needs_converting(where[-1]):
            # What may come out is counted from what was uploaded, not from the tar between.
            limits = replace(limits, size=archives.budget(archive, limits))
            archive = _convert(run, archive, Path(scratch), limits)
        try:
            with Tree(paths.directory(overlay)) as content:
                done = archives.unpack(archive, into=content, base=where[:-1], limits=limits, check=run.check)
        except (archives.BadArchive, tree.BadPath) as reason:
            raise registry.Failed(str(reason)) from None
    for line in done.left_out[:_LEFT_OUT_NAMED]:
        run.log(f"left out {line}", stream="stderr")
    run.log(f"files={done.files} bytes={done.size} left_out={len(done.left_out)}")
    uploads.abort(upload)


def _convert(run: registry.Run, archive: Path, scratch: Path, limits: archives.Limits) -> Path:
    """A tar of what a 7z, rar or xz archive holds, made by bsdtar in a sandbox that sees nothing else."""
    with archive.open("rb") as stream:
        # bsdtar would take much else, some of it nothing but names of files to read.
        if not stream.read(8).startswith(_MAGICS):
            raise registry.Failed("The archive is damaged, or of another kind than its name says.")
    most = limits.size + limits.files * _TAR_BESIDE
    try:
        commands.run(
            [
                *("prlimit", f"--as={_CONVERT_MEMORY}", f"--fsize={most}", "--core=0"),
                # bubblewrap's own --unshare-net wants a netlink socket, which the worker's unit refuses.
                *("unshare", "--user", "--map-current-user", "--net"),
                *("bwrap", "--unshare-user", "--unshare-pid", "--die-with-parent", "--new-session", "--clearenv"),
                *("--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--setenv", "LANG", "C.UTF-8"),
                *("--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin"),
                *("--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"),
                *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),  # noqa: S108 -- the sandbox's own
                *("--ro-bind", archive, "/in", "--bind", scratch, "/out"),
                *("/usr/bin/bsdtar", "--format", "pax", "-cf", "/out/content.tar", "@/in"),
            ],
            timeout=_CONVERT_SECONDS,
            on_line=run.log,
            cancelled=run.cancelled,
        )
    except commands.CommandCancelled:
        run.check()
        raise registry.Cancelled from None
    except commands.CommandFailed as error:
        if error.status in (_TOO_LARGE, -signal.SIGXFSZ):
            raise registry.Failed("The archive unpacks to more than is allowed.") from None
        if "bsdtar: No such file" in error.tail:
            raise registry.Failed(_CURE) from None
        raise registry.Failed(f"The archive cannot be read: {error.tail or error}") from None
    except commands.CommandMissing:
        raise registry.Failed(_CURE) from None
    except commands.CommandError as error:
        raise registry.Failed(f"The archive cannot be read: {error}") from None
    return scratch / "content.tar"
