"""Creating, changing, switching and deleting status pages, and their messages in Discord."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.alerts.models import Channel
from left4me.audit import record
from left4me.core import rows
from left4me.core.web.refusals import Refused
from left4me.status_pages import content_cache, permissions
from left4me.status_pages.models import MOST_SERVERS, StatusMessage, StatusPage, secret_slug
from servers.models import Server

MOST_PER_USER: Final = 50


@transaction.atomic
def create(*, owner: User, by: User, servers: Collection[int], **fields: Any) -> StatusPage:
    """Create a page, which is off unless `is_enabled`. Raises ValidationError by field, and Refused."""
    rows.take_turns(owner.pk)
    if StatusPage.objects.filter(owner=owner).count() >= MOST_PER_USER:
        raise Refused(
            _("You already have %d status pages, the most that one user can have. Delete one first.") % MOST_PER_USER
        )
    page = StatusPage(owner=owner)
    _save(page, fields, servers)
    record.write(action="status_page.create", by=by, target=page.resource, **_details(page))
    return page


@transaction.atomic
def change(*, page: StatusPage, by: User, servers: Collection[int] | None = None, **fields: Any) -> StatusPage:
    """Change a page, or turn it on or off. It counts at once. Raises ValidationError, and rows.Gone."""
    current = rows.still_there(StatusPage.objects.select_for_update(of=("self",)), page)
    _forget_after_commit(current)
    _save(current, fields, servers)
    record.write(action="status_page.update", by=by, target=current.resource, **_details(current))
    return current


def reset_address(*, page: StatusPage, by: User) -> StatusPage:
    """Give a page a new secret address. The old one stops working at once."""
    return change(page=page, by=by, slug=secret_slug())


@transaction.atomic
def delete(*, page: StatusPage, by: User) -> None:
    """Delete a page. Its messages stay in Discord. Raises Refused while it has any."""
    if page.messages.exists():
        raise Refused(_("This page is shown in Discord. Turn off its status messages first."))
    _forget_after_commit(page)
    record.write(action="status_page.delete", by=by, target=page.resource, **_details(page))
    page.delete()


@transaction.atomic
def keep_message(*, channel: Channel, page: StatusPage, by: User) -> StatusMessage:
    """Keep a message with the servers of `page` up to date in Discord. Raises Refused."""
    if channel.kind != Channel.Kind.DISCORD:
        raise Refused(_("Only Discord webhooks can keep a message up to date."))
    permissions.check_may_show(channel, page)
    StatusMessage.objects.update_or_create(
        channel=channel,
        defaults={"page": page, "is_wanted": True, "digest": "", "not_before": None, "failures": 0, "last_error": ""},
    )
    record.write(action="alert.keep_message", by=by, target=f"alert:{channel.pk}", name=channel.name, page=page.title)
    return StatusMessage.objects.get(channel=channel)


@transaction.atomic
def end_message(*, channel: Channel, by: User) -> None:
    """Stop updating the channel's message. It is deleted in Discord within seconds."""
    found = StatusMessage.objects.filter(channel=channel, is_wanted=True)
    if found.update(is_wanted=False, not_before=None, failures=0):
        record.write(action="alert.end_message", by=by, target=f"alert:{channel.pk}", name=channel.name)


def _save(page: StatusPage, fields: dict[str, Any], servers: Collection[int] | None) -> None:
    for name, value in fields.items():
        setattr(page, name, value)
    chosen: list[Server] = []
    if servers is not None:
        chosen = list(Server.objects.filter(owner_id=page.owner_id, pk__in=servers))
        if not chosen:
            raise ValidationError({"servers": _("Choose at least one server.")})
        if len(chosen) != len(set(servers)):
            raise ValidationError({"servers": _("A status page shows only servers that its owner owns.")})
        if len(chosen) > MOST_SERVERS:
            raise ValidationError({"servers": _("A status page shows at most %d servers.") % MOST_SERVERS})
    rows.save_clean(page)
    if servers is not None:
        page.servers.set(chosen)
    _forget_after_commit(page)


def _forget_after_commit(page: StatusPage) -> None:
    slug = page.slug
    transaction.on_commit(lambda: content_cache.forget([slug]))


def _details(page: StatusPage) -> dict[str, Any]:
    return {"name": page.title, "is_on": page.is_enabled}
