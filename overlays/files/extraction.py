"""Extraction of an uploaded archive into its overlay, as a job."""

from __future__ import annotations

import signal
import tempfile
from dataclasses import replace
from pathlib import Path

from left4me.core.files import tree
from left4me.core.files.tree import Tree
from left4me.core.processes import commands, sandboxed
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed
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


def unpack(run: JobContext, overlay: Overlay) -> None:
    """Extract the upload named in the job's parameters. Raises Failed; files extracted before a failure stay."""
    upload = Upload.objects.filter(pk=run.params.get("upload", 0), overlay=overlay).first()
    if upload is None:
        raise Failed("This upload is gone.")
    room = uploads.quota_left(overlay)
    limits = archives.ArchiveLimits(size=_WITHOUT_QUOTA if room is None else max(0, room) + upload.size)
    where = tree.parts(upload.path)
    with tempfile.TemporaryDirectory(dir=uploads.directory()) as scratch:
        archive = uploads.partial_path(upload)
        if archives.needs_converting(where[-1]):
            # The limit follows from the size of the upload, not from that of the converted tar.
            limits = replace(limits, size=archives.budget(archive, limits))
            archive = _convert(run, archive, Path(scratch), limits)
        try:
            with Tree(paths.directory(overlay)) as content:
                done = archives.unpack(archive, into=content, base=where[:-1], limits=limits, check=run.check)
        except (archives.BadArchive, tree.BadPath) as reason:
            raise Failed(str(reason)) from None
    _log_plan(run, done)
    for line in done.left_out[:_LEFT_OUT_NAMED]:
        run.log(f"left out {line}", stream="stderr")
    run.log(f"files={done.files} bytes={done.size} left_out={len(done.left_out)}")
    uploads.abort(upload)


def _log_plan(run: JobContext, done: archives.Unpacked) -> None:
    """Say in the job's log how the archive was read, so that a file that is not where it was expected can be found."""
    if done.code_page:
        run.log(f"file names read as {done.code_page}")
    if done.plan is None:
        return
    if done.plan.root:
        run.log(f"taken off: {'/'.join(done.plan.root)}/")
    for folder, count in done.plan.folders():
        run.log(f"{count} files → {folder or 'the top of the overlay'}")
    for names in done.plan.conflicts[:_LEFT_OUT_NAMED]:
        run.log(f"same name but for letter case: {', '.join(names)}", stream="stderr")


def _convert(run: JobContext, archive: Path, scratch: Path, limits: archives.ArchiveLimits) -> Path:
    """Convert a 7z, rar or xz archive to a tar, with bsdtar in a sandbox that contains only the archive."""
    with archive.open("rb") as stream:
        # bsdtar accepts many other formats, some of which only name files to be read.
        if not stream.read(8).startswith(_MAGICS):
            raise Failed("The archive is damaged, or of another kind than its name says.")
    most = limits.size + limits.files * _TAR_BESIDE
    try:
        commands.run(
            sandboxed.argv(
                ["/usr/bin/bsdtar", "--format", "pax", "-cf", "/out/content.tar", "@/in"],
                limits=sandboxed.Limits(memory=_CONVERT_MEMORY, largest_file=most),
                binds=sandboxed.Binds(read_only={"/in": archive}, writable={"/out": scratch}),
                network=False,
            ),
            timeout=_CONVERT_SECONDS,
            on_line=run.log,
            cancelled=run.cancelled,
        )
    except commands.CommandFailed as error:
        if error.status in (_TOO_LARGE, -signal.SIGXFSZ):
            raise Failed("The archive unpacks to more than is allowed.") from None
        if "bsdtar: No such file" in error.tail:
            raise Failed(_CURE) from None
        raise Failed(f"The archive cannot be read: {error.tail or error}") from None
    except commands.CommandMissing:
        raise Failed(_CURE) from None
    except commands.CommandError as error:
        raise Failed(f"The archive cannot be read: {error}") from None
    return scratch / "content.tar"
