"""Permissions on alert channels: their user and admins manage them. No one can read a stored address in full."""

from __future__ import annotations

from django.http import Http404

from left4me.alerts.models import Channel
from left4me.core.web.request import Person


def can_manage(user: Person, channel: Channel) -> bool:
    return user.is_active and (user.is_admin or channel.user_id == user.pk)


def managed(user: Person, pk: int) -> Channel:
    """The channel. Raises Http404 for users who may not manage it, so that they do not learn that it exists."""
    channel = Channel.objects.select_related("user").filter(pk=pk).first()
    if channel is None or not can_manage(user, channel):
        raise Http404
    return channel
