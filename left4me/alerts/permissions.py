"""Permissions on alert channels: their user and admins manage them. No one can read a stored address in full."""

from __future__ import annotations

from collections.abc import Collection

from django.http import Http404

from left4me.alerts.models import Channel
from left4me.core.web.request import Person


def can_manage(user: Person, channel: Channel) -> bool:
    return user.is_active and (user.is_admin or channel.user_id == user.pk)


def audience(ids: Collection[int]) -> dict[int, Collection[int] | None]:
    """Who may see these channels besides admins, for signals."""
    return {pk: (user_id,) for pk, user_id in Channel.objects.filter(pk__in=ids).values_list("pk", "user_id")}


def managed(user: Person, pk: int) -> Channel:
    """The channel. Raises Http404 for users who may not manage it, so that they do not learn that it exists."""
    channel = Channel.objects.select_related("user").filter(pk=pk).first()
    if channel is None or not can_manage(user, channel):
        raise Http404
    return channel
