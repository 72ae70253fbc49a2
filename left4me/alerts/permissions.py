"""Who may see and change a channel: its user and the admins. Its address is shown to nobody, only part of it."""

from __future__ import annotations

from django.http import Http404

from left4me.alerts.models import Channel
from left4me.core.web.request import Person


def can_manage(user: Person, channel: Channel) -> bool:
    return user.is_active and (user.is_admin or channel.user_id == user.pk)


def managed(user: Person, pk: int) -> Channel:
    """The channel; raises Http404 for strangers, who are not to learn that it exists."""
    channel = Channel.objects.select_related("user").filter(pk=pk).first()
    if channel is None or not can_manage(user, channel):
        raise Http404
    return channel
