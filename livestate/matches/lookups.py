"""Lookups of matches with permission checks: who sees a server sees its matches, who operates it runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.http import Http404
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.core.web.ids import parse_id
from livestate.matches.models import Match, MatchQuerySet
from servers import lookups, permissions

LONGEST_SEARCH = 100
_OVER = (Match.State.ENDED, Match.State.FAILED, Match.State.CANCELLED)


@dataclass(frozen=True)
class Filter:
    """What a list of matches shows; made from the query of its address."""

    q: str = ""
    state: str = ""
    server: int | None = None
    player: int | None = None

    @classmethod
    def of(cls, query: Any) -> Filter:
        given = query.get("state", "")
        return cls(
            q=query.get("q", "").strip()[:LONGEST_SEARCH],
            state=given if given in STATES else "",
            server=parse_id(query.get("server", "")),
            player=parse_id(query.get("player", "")),
        )

    @property
    def leaves_out(self) -> bool:
        return bool(self.q or self.state or self.server or self.player)

    def rows(self, user: User) -> MatchQuerySet:
        """The matches that the user may see, the latest first."""
        rows = Match.objects.visible_to(user).for_pages()
        if self.state:
            rows = rows.filter(state__in=Match.OPEN if self.state == "open" else _OVER)
        if self.server is not None:
            rows = rows.filter(server=self.server)
        if self.player is not None:
            rows = rows.filter(players__steam_id_64=self.player)
        if self.q:
            named = Q(mode__iexact=self.q) | Q(mode_title__icontains=self.q) | Q(server__name__icontains=self.q)
            rows = rows.filter(named | Q(map__icontains=self.q))
        return rows


STATES = ("open", "over")


def match_or_404(user: User, pk: int) -> Match:
    """The match. Raises Http404 for users who may not see its server."""
    match = Match.objects.visible_to(user).for_pages().filter(pk=pk).first() if user.is_active else None
    if match is None:
        raise Http404(_("Match not found."))
    # With the blueprint's layers and the user's role.
    match.server = lookups.server_or_404(user, match.server_id)
    return match


def match_to_operate(user: User, pk: int) -> Match:
    match = match_or_404(user, pk)
    permissions.check_can_operate_server(user, match.server)
    return match
