"""The suspects after a failure: everything that changed since a server last ran well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit.models import AuditEntry
from left4me.core import moments
from overlays.models import Overlay
from servers.blueprints.differences import Change, lines
from servers.game_access import lists
from servers.lifecycle import pending_changes, runs
from servers.models import BlueprintVersion, GameRun, Server
from servers.state import good_runs
from workshop.models import WorkshopItem

# What users do to the files of an overlay. New versions of workshop items are in the runs themselves.
_EDITS: Final = tuple(
    f"overlay.{action}"
    for action in (
        *("archive_applied", "build", "collection_removed", "files_changed", "files_deleted"),
        *("files_restored", "items_added", "items_removed", "programs_allowed", "restore_backup"),
        *("script_changed", "update", "uploaded"),
    )
)
_MOST_EDITS: Final = 50


@dataclass(frozen=True, kw_only=True)
class Suspects:
    """What changed from the start of the last run that went well to that of another run."""

    good: GameRun | None = None
    # The run that failed. None: a start now, since the last one did not come as far as a game.
    failed: GameRun | None = None
    changes: list[Change] = field(default_factory=list)
    versions: list[BlueprintVersion] = field(default_factory=list)
    edits: list[AuditEntry] = field(default_factory=list)

    @property
    def areas(self) -> Mapping[str, int]:
        """The number of changed lines by the label of their area."""
        found: dict[str, int] = {}
        for change in self.changes:
            found[str(change.area_label)] = found.get(str(change.area_label), 0) + 1
        return found


def of(server: Server, *, user: User, now: datetime) -> Suspects:
    """What changed since `server` last ran well, as far as `user` may see it. Needs a row with its blueprint."""
    good, newest = good_runs.last_good(server), good_runs.newest(server)
    did_not_start = server.actual_state == Server.State.STOPPED and bool(server.last_error)
    failed = None if newest == good or did_not_start else newest
    if good is None:
        return Suspects(failed=failed)
    before = good.content
    after = failed.content if failed else runs.content(server, pending_changes.current(server), now=now)
    return Suspects(
        good=good,
        failed=failed,
        changes=_changes(before, after),
        versions=_versions(server, before, after),
        edits=_edits(before, after, user=user, since=good.started_at, until=failed.started_at if failed else now),
    )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    return [
        *pending_changes.differences(before, after),
        *_items(before, after),
        *lines("access", lists.lines(before["access"]), lists.lines(after["access"])),
    ]


def _items(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The workshop items that were updated, added or removed in overlays that both runs have."""
    found: list[tuple[str, str, int | None, int | None]] = []
    known = {overlay["id"] for overlay in before["overlays"]}
    for overlay in after["overlays"]:
        if overlay["id"] in known:
            old, new = (run["items"].get(str(overlay["id"]), {}) for run in (before, after))
            changed = [item for item in sorted({*old, *new}) if old.get(item) != new.get(item)]
            found += [(overlay["name"], item, old.get(item), new.get(item)) for item in changed]
    titles = WorkshopItem.objects.in_bulk([int(item) for _overlay, item, _old, _new in found], field_name="steam_id")

    def described(overlay: str, item: str, version: int | None) -> str:
        if version is None:
            return ""
        day = moments.day(datetime.fromtimestamp(version, tz=UTC))
        return _("%(item)s of %(day)s, in %(overlay)s") % {
            "item": titles.get(int(item), item),
            "day": day,
            "overlay": overlay,
        }

    return [
        Change(area="items", before=described(overlay, item, old), after=described(overlay, item, new))
        for overlay, item, old, new in found
    ]


def _versions(server: Server, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[BlueprintVersion]:
    """The versions of the present blueprint that were saved between the two runs, the newest first."""
    if not before["blueprint_id"] == after["blueprint_id"] == server.blueprint_id:
        return []
    saved = server.blueprint.versions.select_related("user")
    return list(saved.filter(number__gt=before["blueprint_version"], number__lte=after["blueprint_version"]))


def _edits(
    before: Mapping[str, Any], after: Mapping[str, Any], *, user: User, since: datetime, until: datetime
) -> list[AuditEntry]:
    """What people did to the overlays whose content changed, the newest first."""
    targets = [overlay.resource for overlay in Overlay.objects.visible_to(user).filter(pk__in=_rebuilt(before, after))]
    entries = AuditEntry.objects.filter(target__in=targets, action__in=_EDITS, user__isnull=False)
    return list(entries.filter(created_at__gt=since, created_at__lte=until)[:_MOST_EDITS])


def _rebuilt(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[int]:
    """The overlays whose content is not what it was."""
    versions = {overlay["id"]: overlay["content_version"] for overlay in before["overlays"]}
    for overlay in after["overlays"]:
        if versions.get(overlay["id"], overlay["content_version"]) != overlay["content_version"]:
            yield overlay["id"]
