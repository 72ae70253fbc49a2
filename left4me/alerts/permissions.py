"""Who may see and change a channel: its user and the admins. Its address is shown to nobody, only part of it."""

from __future__ import annotations

from typing import Any, Protocol

from django.http import Http404

from left4me.alerts.models import Channel


class Person(Protocol):
    """What alerts need to know of a user; the user model itself lives above them."""

    pk: Any
    is_active: bool
    is_admin: bool

    def get_username(self) -> str: ...


def can_manage(user: Person, channel: Channel) -> bool:
    return user.is_active and (user.is_admin or channel.user_id == user.pk)


def managed(user: Person, pk: int) -> Channel:
    """The channel; raises Http404 for strangers, who are not to learn that it exists."""
    # Beyond what the database can hold there is no channel either; SQLite would fail on it.
    channel = Channel.objects.select_related("user").filter(pk=min(pk, 2**63 - 1)).first()
    if channel is None or not can_manage(user, channel):
        raise Http404
    return channel
