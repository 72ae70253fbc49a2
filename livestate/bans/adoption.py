"""Bans that were made in a game, by a plugin or on its console, become rows of the server's own list."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from livestate import live
from livestate.bans import targets
from livestate.bans.models import Ban, BanList
from servers.models import Server


def own_list(server: Server) -> BanList:
    """The list of this server alone; created when it is first needed."""
    return BanList.objects.get_or_create(server=server, defaults={"owner_id": server.owner_id})[0]


@transaction.atomic
def adopt(server: Server, found: Mapping[str, float], *, now: datetime) -> None:
    """Add what a game has on its list, with the minutes of each ban, to the server's own list."""
    if not found:
        return
    ban_list = own_list(server)
    ban_list.bans.filter(target__in=found).close_expired(now)
    names = live.names_of([int(target) for target in found if targets.is_player(target)])
    BanList.objects.filter(pk=ban_list.pk).update(version=F("version") + 1)
    Ban.objects.bulk_create(
        (
            Ban(
                ban_list=ban_list,
                target=target,
                name=names.get(int(target), "") if targets.is_player(target) else "",
                created_at=now,
                expires_at=now + timedelta(minutes=minutes) if minutes else None,
            )
            for target, minutes in found.items()
        ),
        # Whoever lists a target at this moment has banned it.
        ignore_conflicts=True,
    )
