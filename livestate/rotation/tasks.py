"""The Celery task that looks at all servers with a rotation or a queue, on the web's host."""

from __future__ import annotations

import logging
from datetime import datetime

from celery import shared_task
from django.db.models import Q
from django.utils import timezone

from left4me.core.concurrency import skipped_while_active
from livestate import live
from livestate.rotation import rotations
from livestate.rotation.follow import Look, Raced
from livestate.rotation.models import GameEvent, MapState, Rotation
from servers.models import Server

logger = logging.getLogger(__name__)


@shared_task(name="livestate.rotation.follow", ignore_result=True)
@skipped_while_active
def follow() -> None:
    """Look at every server; skipped while the previous round is still active."""
    follow_all(timezone.now())


def follow_all(now: datetime) -> int:
    """Look at every server that has a rotation, a queue or an announced change; returns how many changed."""
    servers = _followed()
    if not servers:
        return 0
    rotation_of = rotations.of_servers(servers)
    states = {row.server_id: row for row in MapState.objects.filter(server__in=servers)}
    events: dict[int, list[GameEvent]] = {}
    for event in GameEvent.objects.filter(server__in=servers, is_handled=False).order_by("pk"):
        events.setdefault(event.server_id, []).append(event)
    changed = 0
    for state in live.of_servers(servers, now=now):
        server = state.server
        row = states.get(server.pk) or MapState(server=server)
        heard = events.get(server.pk, [])
        if not heard and _is_settled(row, state):
            continue
        look = Look(row, state, rotation_of.get(server.pk), heard, now)
        try:
            changed += look.take()
        except Raced:
            logger.info("Another worker looks at the maps of server %s", server.pk)
        except Exception:
            # One server must not keep the others from being followed.
            logger.exception("The rotation of server %s could not be followed", server.pk)
    return changed


def _followed() -> list[Server]:
    on = Rotation.objects.filter(is_on=True).exclude(entries=[])
    busy = MapState.objects.filter(Q(due_at__isnull=False) | Q(order__isnull=False) | ~Q(queue=[]))
    servers = Server.objects.filter(
        Q(pk__in=on.filter(server__isnull=False).values("server"))
        | Q(blueprint__in=on.filter(blueprint__isnull=False).values("blueprint"))
        | Q(pk__in=busy.values("server"))
    )
    has_change = Q(pk__in=MapState.objects.filter(due_at__isnull=False).values("server"))
    return list(servers.filter(Q(actual_state=Server.State.RUNNING) | has_change).select_related("host", "blueprint"))


def _is_settled(row: MapState, state: live.Live) -> bool:
    """Whether there is nothing to decide, which spares most looks their transaction."""
    if row.due_at is not None or row.target is not None:
        return False
    return not state.is_current or (state.map.lower() == row.map and bool(state.players) == row.was_played)
