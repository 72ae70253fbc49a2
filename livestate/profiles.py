"""Names and pictures of players, asked of Steam in batches and kept for a day."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, Max, OuterRef, Q
from django.utils import timezone

from left4me.core.net import fetch
from livestate.models import PlayerSession, SteamProfile
from livestate.reconcile import LONGEST_NAME
from workshop import steam
from workshop.steam import Player, Steam

logger = logging.getLogger(__name__)

# A round of at most ten batches: newcomers are named within seconds also while a long list is worked off.
MOST_AT_ONCE = 10 * steam.BATCH
# Who plays or played lately has a fresh name; older visits keep the last one known.
LATELY = timedelta(days=1)
LONGEST_URL = 200
# The one place that Steam serves avatars from; other addresses would be refused by the page's policy anyway.
AVATARS = "https://avatars.steamstatic.com/"


def due(*, now: datetime, ttl: timedelta) -> list[int]:
    """Accounts whose profile is missing, or old while they play, the latest visitors first."""
    stored = SteamProfile.objects.filter(pk=OuterRef("steam_id_64"))
    lately = Q(left_at=None) | Q(left_at__gte=now - LATELY)
    rows = (
        PlayerSession.objects.filter(~Exists(stored) | (lately & ~Exists(stored.filter(fetched_at__gte=now - ttl))))
        .values("steam_id_64")
        .annotate(latest=Max("joined_at"))
        .order_by("-latest")
    )
    return [row["steam_id_64"] for row in rows[:MOST_AT_ONCE]]


def refresh(source: Steam, *, now: datetime, ttl: timedelta) -> int:
    """Ask for all that are due, batch by batch, each kept at once; returns how many. Raises SteamError."""
    wanted = due(now=now, ttl=ttl)
    for batch in steam.batches(wanted):
        store(batch, source.players(batch), now=now)
    return len(wanted)


def store(asked: Sequence[int], found: Sequence[Player], *, now: datetime) -> None:
    """Keep what Steam said, and of whom it said nothing."""
    by_id = {player.steam_id_64: player for player in found}
    SteamProfile.objects.bulk_create(
        [_profile(steam_id, by_id.get(steam_id), now) for steam_id in asked],
        update_conflicts=True,
        unique_fields=["steam_id_64"],
        update_fields=["kind", "persona_name", "avatar_url", "fetched_at"],
    )


def refresh_from_steam() -> int:
    """Refresh over the network; without an API key there is nothing to ask and nothing to say."""
    if not settings.STEAM_WEB_API_KEY:
        return 0
    base = settings.LEFT4ME_STEAM_API_URL
    with fetch.Client(hosts=fetch.AllowedHosts().with_origin(base)) as client:
        source = Steam(base_url=base, client=client, api_key=settings.STEAM_WEB_API_KEY)
        ttl = timedelta(seconds=settings.LEFT4ME_PROFILE_TTL_SECONDS)
        return refresh(source, now=timezone.now(), ttl=ttl)


def _profile(steam_id: int, player: Player | None, now: datetime) -> SteamProfile:
    if player is None:
        return SteamProfile(steam_id_64=steam_id, kind=SteamProfile.Kind.MISSING, fetched_at=now)
    is_usable = player.avatar_url.startswith(AVATARS) and len(player.avatar_url) <= LONGEST_URL
    return SteamProfile(
        steam_id_64=steam_id,
        kind=SteamProfile.Kind.PRIVATE if player.is_private else SteamProfile.Kind.PUBLIC,
        persona_name=player.persona_name[:LONGEST_NAME],
        avatar_url=player.avatar_url if is_usable else "",
        fetched_at=now,
    )
