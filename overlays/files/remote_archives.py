"""Fetches an archive from an address into an overlay, as a job: a release of SourceMod, Metamod or a pack.

A partial file named by the address stays after a failure, and the next attempt continues it. The archive is checked
against its SHA-256, where one was given, before anything of it is read; then it is extracted like an uploaded one.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core.files import atomic, room, tree
from left4me.core.net import fetch
from left4me.core.net.download import PartialFile, fill
from left4me.core.net.egress import AllowedHosts
from left4me.core.web.refusals import Refused
from left4me.jobs import actions as jobs
from left4me.jobs.context import JobContext
from left4me.jobs.models import Job
from left4me.jobs.operations import Failed
from overlays.files import archives, uploads
from overlays.models import Overlay, Upload

OPERATION: Final = "fetch_archive"
LONGEST_ADDRESS: Final = 2000
LARGEST: Final = 4 * 1000**3
_WAITS: Final = (2.0, 5.0)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PARTIAL: Final = "fetched-"


def request(*, overlay: Overlay, url: str, sha256: str, by: User) -> Job:
    """Request the fetching and extraction of an archive. Raises Refused."""
    url, sha256 = url.strip(), sha256.strip().lower()
    parts = _split(url)
    if parts is None or len(url) > LONGEST_ADDRESS:
        raise Refused(_("Enter the https address of an archive."))
    if not archives.is_archive(_name(url)):
        raise Refused(_("The address must end with the name of an archive: %s.") % ", ".join(archives.ENDINGS))
    if sha256 and not _SHA256.fullmatch(sha256):
        raise Refused(_("A SHA-256 has 64 hexadecimal digits."))
    try:
        tree.parts(_name(url))
    except tree.BadPath as fault:
        raise Refused(str(fault)) from fault
    with transaction.atomic():
        record.write(action="overlay.fetch", by=by, target=overlay.resource, url=url, sha256=sha256)
        params = {"url": url, "sha256": sha256, "user": by.pk}
        return jobs.request(
            operation=OPERATION, resource=overlay.resource, by=by, host=settings.LEFT4ME_HOST, params=params
        )


def run(run: JobContext, overlay: Overlay) -> None:
    """Fetch the archive that the job's parameters name, then request its extraction. Raises Failed and Cancelled."""
    wanted = _Wanted(url=run.params["url"], sha256=run.params["sha256"])
    user = User.objects.filter(pk=run.params["user"], is_active=True).first()
    if user is None:
        raise Failed("The user who requested this no longer exists.")
    partial = uploads.directory() / f"{_PARTIAL}{overlay.pk}-{wanted.key}.part"
    with PartialFile.claim(partial) as part:
        if part is None:
            raise Failed("Another job fetches the same archive into this overlay. Wait for it.")
        _download(run, overlay, wanted, part)
        digest = part.sha256(part.size).hexdigest()
        run.log(f"bytes={part.size} sha256={digest}")
        if wanted.sha256 and digest != wanted.sha256:
            part.remove()
            raise Failed(f"The archive is not the one that was expected: its SHA-256 is {digest}.")
        _hand_over(run, overlay, wanted, part, user)


def delete_abandoned(*, now: datetime) -> None:
    """Delete partial files whose job was not repeated in time."""
    before = (now - uploads.ABANDONED_AFTER).timestamp()
    for path in uploads.directory().glob(f"{_PARTIAL}*.part"):
        # A job may have published or removed its file in this moment.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                path.unlink()


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    url: str
    sha256: str

    @property
    def key(self) -> str:
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        is_usable = bool(parts.hostname) and parts.scheme in {"https", "http"} and not parts.username
    except ValueError:
        return None
    return parts if is_usable and url.isprintable() else None


def _name(url: str) -> str:
    """The name of the archive, by which it is read."""
    return unquote(urlsplit(url).path.rpartition("/")[2])[:200].strip() or "archive"


def _download(run: JobContext, overlay: Overlay, wanted: _Wanted, part: PartialFile) -> None:
    hosts = AllowedHosts.parse(settings.LEFT4ME_ARCHIVE_ORIGINS).with_any_public()
    with fetch.Client(hosts=hosts, cancelled=run.cancelled) as client:
        for number, wait in enumerate((*_WAITS, None), start=1):
            try:
                _attempt(run, overlay, wanted, part, client)
            except fetch.HostRefused as fault:
                raise Failed(f"{fault}. Only https addresses on the public internet can be fetched.") from fault
            except fetch.FetchError as fault:
                run.log(f"attempt {number}/{len(_WAITS) + 1} failed: {fault}", stream="stderr")
                if wait is None:
                    raise Failed(f"{fault}. Retry to continue the download.") from fault
                run.sleep(wait)
            else:
                return


def _attempt(run: JobContext, overlay: Overlay, wanted: _Wanted, part: PartialFile, client: fetch.Client) -> None:
    with client.get(wanted.url) as answer:
        if answer.status != 200:
            raise fetch.BadStatus(answer.status, answer.host)
        length = answer.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() and len(length) < 15 else 0
    _check_room(overlay, size, has=part.size)

    def progress(done: int) -> None:
        run.progress(phase=_("Downloading"), done=done, total=size or None, unit="bytes")
        # A server that does not tell the size, or not the truth, must not fill the disk.
        if not size:
            _check_room(overlay, done, has=done)

    fill(part, wanted.url, size=size, client=client, progress=progress, check_start=_check_start)
    if size and part.size != size:
        raise fetch.Unreachable(f"{part.size} of {size} bytes arrived")


def _check_room(overlay: Overlay, size: int, *, has: int) -> None:
    quota = uploads.quota_left(overlay)
    if size > LARGEST or (quota is not None and size > quota):
        raise Failed("The archive is larger than the quota allows. Delete files, or ask an admin for more.")
    if size - has > room.left(uploads.directory()):
        raise Failed("Not enough disk space on the host. Ask an admin to free some.")


def _check_start(answer: fetch.Answer, first: bytes) -> None:
    if first.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise Failed(f"{answer.host} sent a web page instead of an archive. Use the address of the file itself.")


def _hand_over(run: JobContext, overlay: Overlay, wanted: _Wanted, part: PartialFile, user: User) -> None:
    """Make the archive an upload of the user, and request its extraction by the best plan."""
    with transaction.atomic():
        upload, _is_new = Upload.objects.get_or_create(
            overlay=overlay, user=user, path=_name(wanted.url), size=part.size, unpack=True
        )
        target: Path = uploads.partial_path(upload)
        atomic.publish(part.path, target, durable=False)
        job = jobs.request(
            operation="unpack",
            resource=overlay.resource,
            by=user,
            host=settings.LEFT4ME_HOST,
            params={"upload": upload.pk},
        )
    run.log(f"job {job.pk} extracts the archive", stream="event")
