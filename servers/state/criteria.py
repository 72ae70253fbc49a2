"""Finds the servers that need attention in the database, by the rules of `attention.of_servers`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat

from left4me.core.statements import Given, Numbers, select
from left4me.core.web.request import Visitor, is_admin
from left4me.jobs.models import Job
from overlays import attention as overlay_attention
from servers.models import BlueprintOverlay, Server, StateChange
from servers.models.hosts import silence
from servers.models.servers import ServerQuerySet

# A server that crashed and runs again is shown for this long.
CRASH_SHOWN = timedelta(hours=1)

RUNS = (Server.State.RUNNING, Server.State.STARTING)


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """What `filter_servers` compares rows with: values of now, or what stands for them in a statement."""

    faulty_overlays: Any
    busy: Any  # the servers with a live job: what that job may mend is left out
    silent_since: Any
    crashed_since: Any

    @classmethod
    def of(cls, now: datetime) -> Self:
        """The values of now; in two queries, or more if overlays need attention."""
        return cls(
            faulty_overlays=overlay_attention.faulty(),
            busy=[int(resource.partition(":")[2]) for resource in _busy.rows()],
            silent_since=now - silence(),
            crashed_since=now - CRASH_SHOWN,
        )


# For statements: they are run with `vars(Criteria.of(now))`.
GIVEN = Criteria(
    faulty_overlays=Numbers("faulty_overlays"),
    busy=Numbers("busy"),
    silent_since=Given("silent_since"),
    crashed_since=Given("crashed_since"),
)
_busy = select(
    lambda: Job.objects.live().filter(resource__startswith="server:").order_by().values_list("resource", flat=True)
)


def filter_servers(rows: ServerQuerySet, criteria: Criteria, *, user: Visitor) -> ServerQuerySet:
    """The servers among `rows` that need attention."""
    fails = ~Q(last_error="") | Q(actual_state__in=Server.ENDED_BADLY) | Q(hung_since__isnull=False) | _drift()
    silent = Q(host__last_seen_at=None) | Q(host__last_seen_at__lt=criteria.silent_since)
    crashes = crashes_since(criteria.crashed_since).filter(server=OuterRef("pk"))
    crashed = Q(Exists(crashes), actual_state__in=RUNS)
    old_game = Q(actual_state=Server.State.RUNNING) & ~Q(game_version="") & ~Q(host__game_version="")
    old_game &= ~Q(game_version=F("host__game_version"))
    outdated = Q(actual_state=Server.State.RUNNING) & _host_is_outdated()
    faulty = BlueprintOverlay.objects.filter(blueprint=OuterRef("blueprint"), overlay__in=criteria.faulty_overlays)
    layer = Q(Exists(faulty)) if is_admin(user) else Q(Exists(faulty), blueprint__owner_id=user.pk)
    files = Q(outdated_files__gt=0)
    return rows.filter(silent | (fails & ~Q(pk__in=criteria.busy)) | crashed | old_game | outdated | files | layer)


def crashes_since(moment: Any) -> QuerySet[StateChange]:
    return StateChange.objects.filter(state=Server.State.CRASHED, at__gte=moment)


def _host_is_outdated() -> Q:
    """The condition of `Host.update_is_wanted`."""
    newest, left = F("host__game_check__newest_build"), F("host__game_check__left_build")
    is_other = ~Q(host__game_check__newest_build="") & ~Q(host__game_version__endswith=Concat(Value("-"), newest))
    is_other &= ~Q(host__game_check__newest_build=left)
    is_said = Q(host__game_version=F("host__game_check__outdated_version"))
    return Q(host__game_check__isnull=False) & ~Q(host__game_version="") & (is_other | is_said)


def _drift() -> Q:
    """The condition of `Server.has_drifted`."""
    wanted = Q(desired_state=Server.Desired.RUNNING, actual_state__in=Server.NOT_RUNNING)
    return wanted | Q(desired_state=Server.Desired.STOPPED, actual_state__in=Server.NOT_AT_REST)
