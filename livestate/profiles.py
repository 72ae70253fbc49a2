"""Steam profiles of players: names and pictures, requested in batches and cached for a day."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from left4me.core.net import fetch
from left4me.core.web import content_policy
from livestate.models import PlayerSession, SteamProfile
from livestate.reconcile import LONGEST_NAME
from workshop import steam
from workshop.steam import Player, Steam

logger = logging.getLogger(__name__)

# At most ten batches a run, so that new players come first at the next run also while a long list is worked off.
MOST_AT_ONCE = 10 * steam.BATCH
# Only profiles of current and recent players are refreshed; older sessions keep the last known name.
RECENT = timedelta(days=1)
# Who has no profile although the last visit is older is looked for less often: all sessions have to be read for it.
ALL_EVERY = timedelta(hours=1)
LONGEST_URL = 200

_looked_at_all = float("-inf")


def due(*, now: datetime, ttl: timedelta, of_all: bool = True) -> list[int]:
    """Accounts without a profile, and recent players whose profile is older than `ttl`; the latest to join first.

    Without `of_all`, accounts without a profile are missing if their last visit is not recent.
    """
    stored = SteamProfile.objects.filter(pk=OuterRef("steam_id_64"))
    recent = Q(left_at=None) | Q(left_at__gte=now - RECENT)
    is_due = recent & ~Exists(stored.filter(fetched_at__gte=now - ttl))
    visits = PlayerSession.objects.filter(is_due | ~Exists(stored) if of_all else is_due).order_by("-joined_at")
    # Not grouped by the database, which would read all visits in the order of the accounts for that.
    accounts: dict[int, None] = {}
    for account in visits.values_list("steam_id_64", flat=True).iterator():
        accounts[account] = None
        if len(accounts) == MOST_AT_ONCE:
            break
    return list(accounts)


def refresh(source: Steam, *, now: datetime, ttl: timedelta, of_all: bool = True) -> int:
    """Fetch the profiles that are due and store each batch as it comes; returns their number. Raises SteamError."""
    accounts = due(now=now, ttl=ttl, of_all=of_all)
    for batch in steam.batches(accounts):
        store(batch, source.players(batch), now=now)
    return len(accounts)


def store(accounts: Sequence[int], players: Sequence[Player], *, now: datetime) -> None:
    """Store Steam's answer for these accounts; those missing in it are stored as unknown to Steam."""
    by_id = {player.steam_id_64: player for player in players}
    SteamProfile.objects.bulk_create(
        [_profile(steam_id, by_id.get(steam_id), now) for steam_id in accounts],
        update_conflicts=True,
        unique_fields=["steam_id_64"],
        update_fields=["kind", "persona_name", "avatar_url", "fetched_at"],
    )


def refresh_from_steam() -> int:
    """Refresh over the network, as the settings say. Returns 0 without an API key, which Steam requires."""
    global _looked_at_all
    if not settings.STEAM_WEB_API_KEY:
        return 0
    of_all = time.monotonic() - _looked_at_all >= ALL_EVERY.total_seconds()
    base = settings.LEFT4ME_STEAM_API_URL
    with fetch.Client(hosts=fetch.AllowedHosts().with_origin(base)) as client:
        source = Steam(base_url=base, client=client, api_key=settings.STEAM_WEB_API_KEY)
        ttl = timedelta(seconds=settings.LEFT4ME_PROFILE_TTL_SECONDS)
        fetched = refresh(source, now=timezone.now(), ttl=ttl, of_all=of_all)
    # A list that is longer than what is fetched at once goes on at the next run.
    if of_all and fetched < MOST_AT_ONCE:
        _looked_at_all = time.monotonic()
    return fetched


def _profile(steam_id: int, player: Player | None, now: datetime) -> SteamProfile:
    if player is None:
        return SteamProfile(steam_id_64=steam_id, kind=SteamProfile.Kind.MISSING, fetched_at=now)
    is_usable = _pages_may_show(player.avatar_url) and len(player.avatar_url) <= LONGEST_URL
    return SteamProfile(
        steam_id_64=steam_id,
        kind=SteamProfile.Kind.PRIVATE if player.is_private else SteamProfile.Kind.PUBLIC,
        persona_name=player.persona_name[:LONGEST_NAME],
        avatar_url=player.avatar_url if is_usable else "",
        fetched_at=now,
    )


def _pages_may_show(url: str) -> bool:
    """Whether the Content-Security-Policy lets pages load it: Steam names several hosts for its pictures."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    return any(fnmatchcase(origin, allowed) for allowed in content_policy.STEAM_IMAGE_HOSTS)
