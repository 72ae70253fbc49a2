"""Permissions on status pages: their owner and admins manage them, and show them in channels of the same owner."""

from __future__ import annotations

from django.http import Http404
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.alerts.models import Channel
from left4me.core.web.refusals import Refused
from left4me.status_pages.models import StatusPage


def managed(user: User, pk: int) -> StatusPage:
    """The page. Raises Http404 for users who may not manage it, so that they do not learn that it exists."""
    page = StatusPage.objects.of(user).select_related("owner").filter(pk=pk).first()
    if page is None or not user.is_active:
        raise Http404(_("There is no such status page."))
    return page


def check_may_show(channel: Channel, page: StatusPage) -> None:
    """Raise Refused unless the page may be shown in the channel."""
    if channel.user_id != page.owner_id:
        raise Refused(_("The channel and the status page must belong to the same user."))
