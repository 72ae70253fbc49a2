"""The bans that apply to servers: the lists of the owner and of the server, and those subscribed to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from livestate.bans.models import Ban, BanList, BanListQuerySet, Subscription
from servers.models import Server

# The end of the ban of each target; None for a permanent one.
Wanted = Mapping[str, datetime | None]


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists that apply to a server. `signature` changes whenever one of their bans does."""

    ids: tuple[int, ...]
    signature: str


def lists_of(servers: Iterable[Server]) -> dict[int, Lists]:
    """The lists that apply to each of these servers, by server id; in two queries."""
    servers = list(servers)
    owners = {server.owner_id for server in servers}
    by_owner: dict[int, dict[int, int]] = {owner: {} for owner in owners}
    by_server: dict[int, dict[int, int]] = {server.pk: {} for server in servers}
    own = BanList.objects.filter(Q(owner__in=owners, server=None) | Q(server__in=[server.pk for server in servers]))
    for pk, version, owner, only in own.values_list("pk", "version", "owner_id", "server_id"):
        (by_owner[owner] if only is None else by_server[only])[pk] = version
    subscribed = Subscription.objects.filter(user__in=owners, ban_list__is_shared=True)
    subscribed = subscribed.filter(Q(server=None) | Q(server__in=list(by_server)))
    for pk, version, user, only in subscribed.values_list("ban_list", "ban_list__version", "user_id", "server_id"):
        (by_owner[user] if only is None else by_server[only])[pk] = version
    result = {}
    for server in servers:
        versions = sorted((by_owner[server.owner_id] | by_server[server.pk]).items())
        signature = ",".join(f"{pk}:{version}" for pk, version in versions)
        result[server.pk] = Lists(tuple(pk for pk, _version in versions), signature)
    return result


def lists_of_any(servers: QuerySet[Server]) -> BanListQuerySet:
    """The lists that apply to at least one of these servers, as a condition of a query.

    It states the rules of `lists_of` for the database; a test holds them together.
    """
    ids, owners = servers.values("pk"), servers.values("owner")
    subscribed = Subscription.objects.filter(Q(server__in=ids) | Q(server=None), user__in=owners)
    shared = Q(is_shared=True, pk__in=subscribed.values("ban_list"))
    return BanList.objects.filter(Q(server__in=ids) | Q(server=None, owner__in=owners) | shared)


def wanted(lists: Collection[Lists], *, now: datetime) -> dict[str, Wanted]:
    """The active bans of each combination of lists, by signature, in one query. The longest ban of a target counts."""
    ids = {pk for each in lists for pk in each.ids}
    by_list: dict[int, list[tuple[str, datetime | None]]] = {pk: [] for pk in ids}
    bans = Ban.objects.active(now).filter(ban_list__in=ids)
    for pk, target, expires_at in bans.values_list("ban_list_id", "target", "expires_at"):
        by_list[pk].append((target, expires_at))
    result: dict[str, Wanted] = {}
    for each in lists:
        merged: dict[str, datetime | None] = {}
        for pk in each.ids:
            for target, expires_at in by_list[pk]:
                merged[target] = _longer(merged[target], expires_at) if target in merged else expires_at
        result[each.signature] = merged
    return result


def of_server(server: Server, *, now: datetime) -> Wanted:
    lists = lists_of([server])[server.pk]
    return wanted([lists], now=now)[lists.signature]


def servers_with(ban_lists: Iterable[BanList]) -> list[Server]:
    """The servers that these lists apply to, with their hosts."""
    return list(servers_of(ban_lists).select_related("host"))


def servers_of(ban_lists: Iterable[BanList]) -> QuerySet[Server]:
    """The servers that these lists apply to, as a query."""
    found = Q(pk__in=[])
    for each in ban_lists:
        if each.server_id is not None:
            found |= Q(pk=each.server_id)
        else:
            found |= Q(owner=each.owner_id)
        if each.is_shared:
            found |= Q(owner__in=each.subscriptions.filter(server=None).values("user"))
            found |= Q(pk__in=each.subscriptions.exclude(server=None).values("server"))
    return Server.objects.filter(found)


def _longer(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)
