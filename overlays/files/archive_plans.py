"""Archives that were uploaded and read, and wait for a user to apply their plan or to discard them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core.files import atomic, tree
from left4me.core.files.tree import BadPath, Parts, Tree
from left4me.core.web import refusals
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from overlays import game_files, paths, permissions
from overlays.files import archives, uploads
from overlays.files.archive_layout import LeftOut, Plan
from overlays.files.archives import Choices, Index
from overlays.models import Upload

# Of each list, a page and the API show as many; the counts are complete.
SHOWN = 200
_MOST_ROOTS = 60


class NotReady(refusals.Refused):
    """The archive has not been read yet, or cannot be read; the message says which."""


@dataclass(frozen=True)
class ArchivePlan:
    """What applying would do, for a page or the API. `roots` are the folders that can be taken off."""

    plan: Plan
    choices: Choices
    code_page: str
    size: int
    roots: list[Parts]
    # Files of the overlay that applying would replace.
    replaced: list[str] = field(default_factory=list)

    @property
    def folders(self) -> list[tuple[str, int, bool]]:
        """Each folder with the number of files, and whether the game reads anything there."""
        return [(folder, count, game_files.is_read_by_game(folder)) for folder, count in self.plan.folders()]

    @property
    def programs(self) -> list[LeftOut]:
        """The game's own programs that are left out."""
        return [left for left in self.plan.left_out if left.is_program]

    @property
    def code_page_matters(self) -> bool:
        return bool(self.code_page)


def store(upload: Upload, index: Index) -> None:
    """Keep the entries of an archive beside it."""
    # Names in an unknown code page are kept byte by byte.
    names = [name if isinstance(name, str) else {"raw": name.decode("latin-1")} for name in index.names]
    content = json.dumps({"names": names, "sizes": index.sizes, "special": sorted(index.special)})
    atomic.write(uploads.index_path(upload), content, mode=0o600, durable=False)


def load(upload: Upload) -> Index:
    """The entries of an archive. Raises NotReady."""
    if upload.problem:
        raise NotReady(upload.problem)
    try:
        stored = json.loads(uploads.index_path(upload).read_text())
    except FileNotFoundError:
        raise NotReady(_("The archive is still being read. Wait a moment.")) from None
    names = [name if isinstance(name, str) else name["raw"].encode("latin-1") for name in stored["names"]]
    return Index(names, stored["sizes"], frozenset(stored["special"]))


def choices(params: Mapping[str, Any]) -> Choices:
    """The choices that a job's parameters hold. Raises BadPath."""
    root = params.get("root")
    return Choices(
        root=None if root is None else tree.parts(str(root)),
        code_page=str(params.get("code_page", "")),
        with_programs=bool(params.get("with_programs")),
    )


def plan(upload: Upload, wanted: Choices) -> ArchivePlan:
    """What applying with these choices would do. Raises NotReady, and BadPath for a root that is no folder."""
    index = load(upload)
    base = tree.parts(upload.path)[:-1]
    made, code_page = archives.plan(index, base=base, choices=wanted)
    roots = [] if base else _roots(made)
    if (
        wanted.root
        and wanted.root not in made.roots
        and not any(_folder(name)[: len(wanted.root)] == wanted.root for name in _names(made))
    ):
        raise BadPath(
            _("The archive contains no folder “%(name)s”. Choose another one.") % {"name": "/".join(wanted.root)}
        )
    size = sum(index.sizes[placement.entry] for placement in made.placements)
    return ArchivePlan(made, wanted, code_page, size, roots, _replaced(upload, made))


def apply(upload: Upload, wanted: Choices, *, by: User) -> Job:
    """Request the unpacking by the plan with these choices. Raises NotReady, BadPath and PermissionDenied."""
    if wanted.with_programs:
        permissions.check_can_allow_programs(by)
    shown = plan(upload, wanted)
    if not shown.plan.placements:
        raise NotReady(_("No files would be extracted. Choose another folder, or discard the archive."))
    params: dict[str, Any] = {"upload": upload.pk, "code_page": shown.code_page, "root": "/".join(shown.plan.root)}
    if wanted.with_programs:
        params["with_programs"] = True
    overlay = upload.overlay
    with transaction.atomic():
        details = {name: value for name, value in params.items() if name != "upload" and value}
        files = len(shown.plan.placements)
        record.write(
            action="overlay.archive_applied", by=by, target=overlay.resource, path=upload.path, files=files, **details
        )
        return jobs.request(
            operation="unpack", resource=overlay.resource, by=by, host=settings.LEFT4ME_HOST, params=params
        )


def discard(upload: Upload, *, by: User) -> None:
    """Delete an upload and what has arrived of it."""
    with transaction.atomic():
        record.write(action="overlay.upload_discarded", by=by, target=upload.overlay.resource, path=upload.path)
        uploads.abort(upload)


def _names(made: Plan) -> list[str]:
    return [*(placement.name for placement in made.placements), *(left.name for left in made.left_out)]


def _folder(name: str) -> Parts:
    """The folder of an entry, as far as it can be read."""
    try:
        return tree.parts(name.replace("\\", "/").lstrip("/"))[:-1]
    except BadPath:
        return ()


def _roots(made: Plan) -> list[Parts]:
    """The folders that can be taken off: first those that hold the game's folders, then all others, at last none."""
    others = {folder[:depth] for folder in map(_folder, _names(made)) for depth in (1, 2, 3) if len(folder) >= depth}
    inside = set(made.roots)
    # What stands below a folder of the game is no root of a pack.
    useful = sorted(other for other in others if not any(other[: len(root)] == root for root in inside))
    return list(dict.fromkeys([*made.roots, *useful[:_MOST_ROOTS], ()]))


def _replaced(upload: Upload, made: Plan) -> list[str]:
    """The planned paths at which the overlay has a file already; each folder is read once."""
    by_folder: dict[Parts, set[str]] = {}
    found = []
    with Tree(paths.directory(upload.overlay)) as content:
        for placement in made.placements:
            folder = placement.target[:-1]
            if folder not in by_folder:
                try:
                    by_folder[folder] = {node.name for node in content.list(folder) if not node.is_folder}
                except BadPath:
                    by_folder[folder] = set()
            if placement.target[-1] in by_folder[folder]:
                found.append("/".join(placement.target))
    return sorted(found)
