"""Changes of bans and their lists. Every change is sent to the hosts at once; `tasks.apply` catches up on the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core import rows
from left4me.core.web.refusals import Refused
from livestate import live
from livestate.bans import adoption, effective, permissions, targets, tasks
from livestate.bans.models import Ban, BanList, Subscription
from servers import permissions as server_permissions
from servers.models import Server

LONGEST_MINUTES = 60 * 24 * 365 * 10
MOST_LISTS = 50
MOST_BANS = 20_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A ban that is to be imported."""

    target: str
    name: str = ""
    reason: str = ""
    evidence: str = ""
    created_at: datetime | None = None
    expires_at: datetime | None = None


def default_list(owner: User) -> BanList:
    """The list that applies to all servers of a user; created when it is first needed."""
    return BanList.objects.get_or_create(owner=owner, is_default=True)[0]


def list_of_server(server: Server, *, by: User) -> BanList:
    """The server's own list. Raises Http404 and PermissionDenied for users who do not operate the server."""
    server_permissions.check_can_operate_server(by, server)
    return adoption.own_list(server)


@transaction.atomic
def add(
    *,
    ban_list: BanList,
    target: str,
    by: User,
    minutes: int = 0,
    name: str = "",
    reason: str = "",
    evidence: str = "",
    request: HttpRequest | None = None,
) -> Ban:
    """Ban a player or an address for `minutes`, or permanently with 0.

    Raises ValidationError, Refused and PermissionDenied.
    """
    permissions.check_can_ban(by, ban_list)
    now = timezone.now()
    target = _parse(target)
    if targets.is_player(target) and not name:
        name = live.names_of([int(target)]).get(int(target), "")
    rows.take_turns(ban_list.owner_id)
    ban_list.bans.filter(target=target).close_expired(now)
    if ban_list.bans.filter(target=target, ended_at=None).exists():
        raise ValidationError({"target": _("This list already has a ban for it. Change that ban instead.")})
    _refuse_beyond_limit(ban_list, adds=1)
    ban = Ban(
        ban_list=ban_list,
        target=target,
        name=name,
        reason=reason.strip(),
        evidence=evidence.strip(),
        created_at=now,
        created_by=by,
        expires_at=_end(now, minutes),
    )
    rows.save_clean(ban)
    record.write(action="ban.add", by=by, target=f"ban:{ban.pk}", request=request, **_details(ban))
    _apply_soon([ban_list])
    return ban


@transaction.atomic
def change(*, ban: Ban, by: User, minutes: int | None = None, **fields: str) -> Ban:
    """Change reason, evidence, name or length. The length counts from the beginning of the ban.

    Raises ValidationError, Refused and PermissionDenied.
    """
    permissions.check_can_ban(by, ban.ban_list)
    current = rows.still_there(Ban.objects.select_for_update(of=("self",)), ban)
    _refuse_ended(current)
    for name, value in fields.items():
        setattr(current, name, value.strip())
    if minutes is not None and minutes != current.minutes:
        current.expires_at = _end(current.created_at, minutes)
        if current.expires_at and current.expires_at <= timezone.now():
            raise ValidationError({"minutes": _("This length has passed already. Lift the ban instead.")})
    rows.save_clean(current)
    record.write(action="ban.change", by=by, target=f"ban:{ban.pk}", **_details(current))
    _apply_soon([ban.ban_list])
    return current


@transaction.atomic
def lift(*, ban: Ban, by: User) -> None:
    """End a ban now. Raises Refused if it has ended, and PermissionDenied."""
    permissions.check_can_ban(by, ban.ban_list)
    _refuse_ended(ban)
    if Ban.objects.filter(pk=ban.pk, ended_at=None).update(ended_at=timezone.now(), ended_by=by):
        record.write(action="ban.lift", by=by, target=f"ban:{ban.pk}", **_details(ban))
        _apply_soon([ban.ban_list])


@transaction.atomic
def import_entries(*, ban_list: BanList, entries: Sequence[Entry], by: User) -> int:
    """Add those of the entries that the list does not have, and return their number. Raises Refused."""
    permissions.check_can_ban(by, ban_list)
    now = timezone.now()
    rows.take_turns(ban_list.owner_id)
    ban_list.bans.all().close_expired(now)
    fresh = new_entries(ban_list, entries, now=now)
    _refuse_beyond_limit(ban_list, adds=len(fresh))
    created = [
        Ban(
            ban_list=ban_list,
            target=each.target,
            name=each.name,
            reason=each.reason,
            evidence=each.evidence,
            created_at=min(each.created_at or now, now),
            created_by=by,
            expires_at=each.expires_at,
        )
        for each in fresh
    ]
    Ban.objects.bulk_create(created, batch_size=500, ignore_conflicts=True)
    if created:
        record.write(action="ban.import", by=by, target=ban_list.resource, name=ban_list.title, bans=len(created))
        _apply_soon([ban_list])
    return len(created)


def new_entries(ban_list: BanList | None, entries: Iterable[Entry], *, now: datetime) -> list[Entry]:
    """The entries that the list does not have and that have not expired, each target once."""
    there = set(ban_list.bans.active(now).values_list("target", flat=True)) if ban_list else set()
    fresh = {each.target: each for each in entries if each.expires_at is None or each.expires_at > now}
    return [each for target, each in fresh.items() if target not in there]


@transaction.atomic
def create_list(*, owner: User, by: User, name: str, is_shared: bool = False) -> BanList:
    """Create a list that applies to all servers of its owner. Raises ValidationError and Refused."""
    rows.take_turns(owner.pk)
    if BanList.objects.filter(owner=owner, server=None).count() >= MOST_LISTS:
        raise Refused(_("You already have %d ban lists. Delete one first.") % MOST_LISTS)
    ban_list = BanList(owner=owner, name=_checked_name(owner, name), is_shared=is_shared)
    rows.save_clean(ban_list)
    record.write(action="ban_list.create", by=by, target=ban_list.resource, name=ban_list.title, shared=is_shared)
    return ban_list


@transaction.atomic
def change_list(*, ban_list: BanList, by: User, name: str | None = None, is_shared: bool | None = None) -> BanList:
    """Rename or share a list. One that is shared no longer loses its subscribers. Raises ValidationError."""
    permissions.check_can_edit_list(by, ban_list)
    affected = effective.servers_with([ban_list])
    if name is not None and not ban_list.is_default and ban_list.server_id is None:
        ban_list.name = _checked_name(ban_list.owner, name, besides=ban_list)
    if is_shared is not None:
        ban_list.is_shared = is_shared
    rows.save_clean(ban_list)
    if not ban_list.is_shared:
        ban_list.subscriptions.all().delete()
    record.write(
        action="ban_list.update", by=by, target=ban_list.resource, name=ban_list.title, shared=ban_list.is_shared
    )
    tasks.request_apply(affected)
    return ban_list


@transaction.atomic
def delete_list(*, ban_list: BanList, by: User) -> None:
    """Delete a list with its bans, which are lifted by that. Raises Refused for a list that is always there."""
    permissions.check_can_edit_list(by, ban_list)
    if ban_list.is_default or ban_list.server_id is not None:
        raise Refused(_("This list cannot be deleted. Lift its bans instead."))
    affected = effective.servers_with([ban_list])
    bans = ban_list.bans.active(timezone.now()).count()
    record.write(action="ban_list.delete", by=by, target=ban_list.resource, name=ban_list.title, bans=bans)
    ban_list.delete()
    tasks.request_apply(affected)


@transaction.atomic
def subscribe(*, ban_list: BanList, by: User, server: Server | None = None) -> None:
    """Apply a shared list to all servers of the user as well, or to `server` alone. Raises Refused.

    Raises Http404 and PermissionDenied for a server that the user may not change.
    """
    owner = _subscriber(by, server)
    if not ban_list.is_shared:
        raise Refused(_("This list is not shared."))
    if ban_list.owner_id == owner.pk and (server is None or ban_list.server_id in (None, server.pk)):
        raise Refused(_("This is your own list. It applies already."))
    rows = Subscription.objects.filter(ban_list=ban_list, user=owner)
    if rows.filter(Q(server=None) | Q(server=server)).exists():
        return
    if server is None:
        rows.delete()
    Subscription.objects.get_or_create(ban_list=ban_list, user=owner, server=server)
    _record_subscription("subscribe", ban_list, by, server)
    tasks.request_apply(_subscribing(owner, server))


@transaction.atomic
def unsubscribe(*, ban_list: BanList, by: User, server: Server | None = None) -> None:
    """Take back `subscribe` with the same arguments."""
    owner = _subscriber(by, server)
    if Subscription.objects.filter(ban_list=ban_list, user=owner, server=server).delete()[0]:
        _record_subscription("unsubscribe", ban_list, by, server)
        tasks.request_apply(_subscribing(owner, server))


def _subscriber(by: User, server: Server | None) -> User:
    if server is None:
        return by
    server_permissions.check_can_edit_server(by, server)
    return server.owner


def _subscribing(owner: User, server: Server | None) -> QuerySet[Server]:
    servers = Server.objects.filter(owner=owner).select_related("host")
    return servers.filter(pk=server.pk) if server is not None else servers


def _record_subscription(what: str, ban_list: BanList, by: User, server: Server | None) -> None:
    only: dict[str, Any] = {"server": server.name} if server is not None else {}
    record.write(action=f"ban_list.{what}", by=by, target=ban_list.resource, name=ban_list.title, **only)


def _parse(text: str) -> str:
    try:
        return targets.parse(text)
    except targets.NotTarget as fault:
        raise ValidationError({"target": str(fault)}) from fault


def _end(start: datetime, minutes: int) -> datetime | None:
    if not 0 <= minutes <= LONGEST_MINUTES:
        raise ValidationError({"minutes": _("A ban can last at most ten years; 0 minutes is permanent.")})
    return start + timedelta(minutes=minutes) if minutes else None


def _refuse_beyond_limit(ban_list: BanList, *, adds: int) -> None:
    if ban_list.bans.filter(ended_at=None).count() + adds > MOST_BANS:
        raise Refused(_("A list can have at most %(most)d bans.") % {"most": MOST_BANS})


def _refuse_ended(ban: Ban) -> None:
    if not ban.is_active:
        raise Refused(_("This ban has ended already."))


def _checked_name(owner: User, name: str, *, besides: BanList | None = None) -> str:
    name = name.strip()
    if not name:
        raise ValidationError({"name": _("Enter a name.")})
    taken = set(BanList.objects.filter(owner=owner, name__iexact=name).values_list("pk", flat=True))
    if taken - {besides.pk if besides else None}:
        raise ValidationError({"name": _("You already have a ban list with this name. Choose another name.")})
    return name


def _details(ban: Ban) -> dict[str, Any]:
    # Not the player's name: audit entries cannot be changed when a player is to be forgotten.
    return {"name": ban.target, "list": ban.ban_list.title, "minutes": ban.minutes}


def _apply_soon(ban_lists: Sequence[BanList]) -> None:
    """Make the games look at these lists again."""
    BanList.objects.filter(pk__in=[each.pk for each in ban_lists]).update(version=F("version") + 1)
    tasks.request_apply(effective.servers_with(ban_lists))
