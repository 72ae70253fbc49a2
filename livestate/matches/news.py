"""Tells alert channels how a match ended."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from left4me.alerts import incidents
from left4me.alerts.events import Event
from left4me.alerts.incidents import Notice
from livestate.matches.models import Match, MatchPlayer


def match_ended(match: Match, *, now: datetime) -> None:
    incidents.notify(
        Notice(
            event=Event.MATCH_ENDED,
            subject=match.server.resource,
            title=_("The match “%(match)s” on “%(name)s” ended")
            % {"match": match.mode_title, "name": match.server.name},
            text=_result(match),
            path=match.get_absolute_url(),
            owners=[match.server.owner_id],
        ),
        now=now,
    )


def _result(match: Match) -> str:
    """The teams with their points; without a score, why the match ended."""
    names: dict[str, list[str]] = {}
    for player in match.players.exclude(team=""):
        names.setdefault(player.team, []).append(player.name or "?")
    lines = [str(match.get_reason_display())]
    if match.score is not None:
        lines = [
            f"{team.label}: {points} ({', '.join(names.get(team.value, [])) or '–'})"
            for team, points in zip((MatchPlayer.Team.A, MatchPlayer.Team.B), match.score, strict=True)
        ]
    return "\n".join(lines)
