"""Live matches as what must not be interrupted on their servers."""

from __future__ import annotations

from collections.abc import Collection

from django.utils.translation import gettext as _

from left4me.core.statements import Numbers, select
from livestate.matches.models import Match
from servers.actions.interruptions import Hold

_holding = select(lambda: Match.objects.holding().filter(server__in=Numbers("servers")))


def of_servers(server_ids: Collection[int]) -> dict[int, Hold]:
    return {match.server_id: of(match) for match in _holding.rows(servers=server_ids)}


def of(match: Match) -> Hold:
    title = _("The match “%(title)s”") % {"title": match.mode_title}
    return Hold(name=match.resource, title=title, url=match.get_absolute_url())
