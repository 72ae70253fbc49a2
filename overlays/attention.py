"""Decides which overlays need attention: content that cannot be used, a failed build, programs of the game."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db.models import CharField, Exists, OuterRef, Q, Subquery, Value
from django.db.models.functions import Cast, Concat
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from left4me.alerts.attention import Reason, Severity, Subject
from left4me.core.statements import Numbers, select
from left4me.core.web.ids import address
from left4me.core.web.refusals import Cure
from left4me.core.web.request import Visitor
from left4me.jobs.models import Job
from overlays import permissions
from overlays.campaigns import sources
from overlays.models import Overlay, OverlayQuerySet

_LONGEST_ERROR = 300


def faulty() -> list[int]:
    """The ids of all overlays that need attention; in one query if there are none, else in four."""
    rows = _all_suspects.rows()
    if not rows:
        return []
    ids = [overlay.pk for overlay in rows]
    counts, builds = sources.fault_counts(ids), _failed_builds(ids)
    return sorted(row.pk for row in rows if row.refused_programs or row.pk in counts or row.pk in builds)


def suspects() -> OverlayQuerySet:
    """The overlays that may need attention or were never built: none of those that a server uses, when all is well.

    An overlay with programs of the game is among them even when an admin has allowed all of them. Django takes longer
    to build this than a database to answer, so use it in statements.
    """
    ours = {"overlay": OuterRef("pk")}
    faults = Exists(sources.failed_items().filter(**ours)) | Exists(sources.broken_addons().filter(**ours))
    resource = Concat(Value("overlay:"), Cast(OuterRef("pk"), CharField()))
    builds = Job.objects.filter(operation="build", resource=resource).exclude(state=Job.State.CANCELLED)
    newest = Subquery(builds.order_by("-pk").values("state")[:1])
    unbuilt = ~Q(kind=Overlay.Kind.FILES) & Q(built_at=None)
    rows = Overlay.objects.alias(newest_build=newest)
    return rows.filter(faults | Q(newest_build=Job.State.FAILED) | ~Q(programs={}) | unbuilt)


_all_suspects = select(suspects)
_suspects_among = select(lambda: suspects().filter(pk__in=Numbers("overlays")).values_list("pk", flat=True))


def of_overlays(overlays: Sequence[Overlay], *, user: Visitor) -> dict[int, list[Reason]]:
    """The reasons of each overlay that has any; in one query if none has, else in four."""
    ids = [overlay.pk for overlay in overlays]
    found = set(_suspects_among.rows(overlays=ids)) if ids else set()
    return of_suspects([overlay for overlay in overlays if overlay.pk in found], user=user)


def of_suspects(overlays: Sequence[Overlay], *, user: Visitor) -> dict[int, list[Reason]]:
    """The reasons of each of these overlays that has any; in three queries, or none if there are no overlays."""
    if not overlays:
        return {}
    ids = [overlay.pk for overlay in overlays]
    counts, builds = sources.fault_counts(ids), _failed_builds(ids)
    found = {
        overlay.pk: _reasons(overlay, counts.get(overlay.pk, 0), builds.get(overlay.pk), user) for overlay in overlays
    }
    return {pk: reasons for pk, reasons in found.items() if reasons}


def mend_overlay(user: Visitor, number: str) -> Cure | None:
    """The cure of the worst reason of an overlay that has one."""
    reasons = of_overlays(list(Overlay.objects.filter(pk=number)), user=user)
    return next((each.cure for each in reasons.get(int(number), ()) if each.cure), None)


def annotate(overlays: Sequence[Overlay], *, user: Visitor) -> list[Overlay]:
    """Set `attention` on these overlays, for pages."""
    found = of_overlays(overlays, user=user)
    for overlay in overlays:
        overlay.attention = found.get(overlay.pk, ())
    return list(overlays)


def subjects(overlays: Sequence[Overlay], *, user: Visitor) -> list[Subject]:
    """The overlays among these that need attention."""
    found = of_overlays(overlays, user=user)
    return [
        Subject(kind="overlay", id=row.pk, name=row.name, url=row.get_absolute_url(), reasons=found[row.pk])
        for row in overlays
        if row.pk in found
    ]


def content_url(overlay: Overlay) -> str:
    """The page that shows what of the overlay cannot be used."""
    if overlay.kind == Overlay.Kind.WORKSHOP:
        return f"{reverse('overlays:items', args=[overlay.pk])}?only=failed"
    return f"{overlay.get_absolute_url()}#campaigns"


def _reasons(overlay: Overlay, faults: int, failed_build: Job | None, user: Visitor) -> list[Reason]:
    reasons = []
    if overlay.refused_programs:
        reasons.append(
            Reason(
                kind="programs",
                severity=Severity.BAD,
                label=_("Programs not allowed"),
                text=_("It contains programs of the game, and servers start with it only after an admin allows them."),
                url=overlay.get_absolute_url(),
                cure=_allow_programs(overlay, user),
            )
        )
    if failed_build is not None:
        reasons.append(
            Reason(
                kind="build",
                severity=Severity.WARN,
                label=_("Build failed"),
                text=_("The last build failed: %(error)s") % {"error": failed_build.error[:_LONGEST_ERROR]},
                url=failed_build.get_absolute_url(),
                cure=rebuild(overlay, user, _("Rebuild")),
            )
        )
    if faults:
        text = ngettext(
            "%(count)d file or item cannot be used.", "%(count)d files or items cannot be used.", faults
        ) % {"count": faults}
        reasons.append(
            Reason(
                kind="content",
                severity=Severity.WARN,
                label=ngettext("%(count)d failed", "%(count)d failed", faults) % {"count": faults},
                text=text,
                url=content_url(overlay),
                cure=rebuild(overlay, user, _("Retry")) if overlay.kind == Overlay.Kind.WORKSHOP else None,
            )
        )
    return reasons


def rebuild(overlay: Overlay, user: Visitor, label: str) -> Cure | None:
    if not permissions.can_edit_overlay(user, overlay):
        return None
    return Cure(operation="build", label=label, url=address("overlays:build", overlay.pk))


def _allow_programs(overlay: Overlay, user: Visitor) -> Cure | None:
    if not permissions.can_allow_programs(user):
        return None
    url = address("overlays:allow_programs", overlay.pk)
    return Cure(operation="allow_programs", label=_("Allow these programs"), url=url)


def _failed_builds(overlays: Collection[int]) -> dict[int, Job]:
    """The newest build of each overlay, where it failed."""
    builds = Job.objects.filter(operation="build")
    failed = builds.filter(state=Job.State.FAILED, resource__in=[f"overlay:{pk}" for pk in overlays])
    newer = builds.filter(resource=OuterRef("resource"), pk__gt=OuterRef("pk")).exclude(state=Job.State.CANCELLED)
    rows = failed.filter(~Exists(newer)).only("resource", "error")
    return {int(job.resource.partition(":")[2]): job for job in rows}
