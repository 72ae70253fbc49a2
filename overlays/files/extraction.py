"""Reading of an uploaded archive and its extraction into the overlay, as jobs."""

from __future__ import annotations

import signal
import tempfile
from dataclasses import replace
from pathlib import Path

from django.utils import timezone

from left4me.core.files import atomic, tree
from left4me.core.files.tree import Tree
from left4me.core.processes import commands, sandboxed
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed
from overlays import contents, game_files, paths
from overlays.files import archive_plans, archives, uploads
from overlays.models import Overlay, Upload

_CONVERT_SECONDS = 30 * 60
_CONVERT_MEMORY = 2 * 1024**3
_LEFT_OUT_NAMED = 20
_TOO_MUCH = "The archive is too large when extracted."
# What a tar needs for each file beside its content: the end of its block, and headers for a long name.
_TAR_BESIDE = 2048
_TOO_LARGE = 128 + signal.SIGXFSZ
_CURE = "This kind of archive needs bubblewrap and bsdtar: apt-get install bubblewrap libarchive-tools"
_WITHOUT_QUOTA = 200 * 1000**3


def read(run: JobContext, overlay: Overlay) -> None:
    """List the entries of the archive named in the job's parameters, so that its plan can be shown. Raises Failed."""
    upload = _upload(run, overlay)
    archive = uploads.partial_path(upload)
    try:
        limits = _limits(upload)
        with tempfile.TemporaryDirectory(dir=uploads.directory()) as scratch:
            converted = _readable(run, upload, Path(scratch), limits)
            index = archives.read_index(converted, limits=limits, check=run.check)
            if sum(index.sizes) > limits.size:
                raise Failed(_TOO_MUCH)
            if converted != archive:
                # Kept instead of the upload: applying the plan would have to convert it again.
                atomic.publish(converted, archive, durable=False)
    except (Failed, archives.BadArchive) as reason:
        upload.problem = str(reason)
        upload.save(update_fields=["problem"])
        raise Failed(str(reason)) from None
    archive_plans.store(upload, index)
    upload.ready_at, upload.problem = timezone.now(), ""
    upload.save(update_fields=["ready_at", "problem"])
    run.log(f"files={len(index.names)} bytes={sum(index.sizes)}")


def unpack(run: JobContext, overlay: Overlay) -> None:
    """Extract the upload named in the job's parameters. Raises Failed; files extracted before a failure stay."""
    upload = _upload(run, overlay)
    limits = _limits(upload)
    base = tree.parts(upload.path)[:-1]
    with tempfile.TemporaryDirectory(dir=uploads.directory()) as scratch:
        archive = _readable(run, upload, Path(scratch), limits)
        try:
            choices = archive_plans.choices(run.params)
            with Tree(paths.directory(overlay)) as content:
                done = archives.unpack(
                    archive, into=content, base=base, limits=limits, check=run.check, choices=choices
                )
        except (archives.BadArchive, tree.BadPath) as reason:
            raise Failed(str(reason)) from None
    _log_plan(run, done)
    for path, encoding in done.converted:
        run.log(f"{path} converted from {game_files.title(encoding)} to UTF-8")
    for line in done.left_out[:_LEFT_OUT_NAMED]:
        run.log(f"skipped {line}", stream="stderr")
    if choices.with_programs:
        contents.allow_found(overlay, root=paths.directory(overlay))
    run.log(f"files={done.files} bytes={done.size} left_out={len(done.left_out)}")
    uploads.abort(upload)


def _upload(run: JobContext, overlay: Overlay) -> Upload:
    upload = Upload.objects.filter(pk=run.params.get("upload", 0), overlay=overlay).first()
    if upload is None:
        raise Failed("The upload no longer exists. Upload the file again.")
    return upload


def _limits(upload: Upload) -> archives.ArchiveLimits:
    room = uploads.quota_left(upload.overlay)
    limits = archives.ArchiveLimits(size=_WITHOUT_QUOTA if room is None else max(0, room) + upload.size)
    # The limit follows from the size of the upload, not from that of a converted tar.
    return replace(limits, size=archives.most_of(upload.size, limits))


def _readable(run: JobContext, upload: Upload, scratch: Path, limits: archives.ArchiveLimits) -> Path:
    """The uploaded archive, or a tar of its content if it is of a kind that only bsdtar reads."""
    archive = uploads.partial_path(upload)
    if archives.is_convertible(archive):
        return _convert(run, archive, scratch, limits)
    # bsdtar accepts many other formats, some of which only name files to be read.
    if archives.names_convertible(upload.path) and upload.ready_at is None:
        raise Failed("The archive is damaged, or not the kind its name says.")
    return archive


def _log_plan(run: JobContext, done: archives.Unpacked) -> None:
    """Say in the job's log how the archive was read, so that a file that is not where it was expected can be found."""
    if done.code_page:
        run.log(f"file names read as {done.code_page}")
    if done.plan.root:
        run.log(f"stripped folder: {'/'.join(done.plan.root)}/")
    for folder, count in done.plan.folders():
        run.log(f"{count} files → {folder or 'the top level'}")
    for names in done.plan.conflicts[:_LEFT_OUT_NAMED]:
        run.log(f"same name except for letter case: {', '.join(names)}", stream="stderr")


def _convert(run: JobContext, archive: Path, scratch: Path, limits: archives.ArchiveLimits) -> Path:
    """Convert a 7z, rar or xz archive to a tar, with bsdtar in a sandbox that contains only the archive."""
    most = limits.size + limits.files * _TAR_BESIDE
    try:
        commands.run(
            sandboxed.argv(
                # -P: newer versions would make absolute names relative, and so hide what must be left out.
                ["/usr/bin/bsdtar", "-P", "--format", "pax", "-cf", "/out/content.tar", "@/in"],
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
            raise Failed(_TOO_MUCH) from None
        if "bsdtar: No such file" in error.tail:
            raise Failed(_CURE) from None
        raise Failed(f"The archive cannot be read: {error.tail or error}") from None
    except commands.CommandMissing:
        raise Failed(_CURE) from None
    except commands.CommandError as error:
        raise Failed(f"The archive cannot be read: {error}") from None
    return scratch / "content.tar"
