"""What pages and the API show of a match: its players with their readiness and team, its maps, its recordings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.dateparse import parse_datetime

from livestate import live
from livestate.campaigns import Chapter, MapTitles
from livestate.live import Joiner, Live, ShownPlayer
from livestate.matches import demos, progress
from livestate.matches.demos import Demo
from livestate.matches.models import Match, MatchPlayer
from livestate.models import PlayerSession, SteamProfile


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A player who is on the server before the match or during it."""

    player: ShownPlayer
    is_ready: bool
    side: str


@dataclass(frozen=True, kw_only=True)
class Participant:
    """A player of the match, with the time on the server while it lasted."""

    row: MatchPlayer
    profile: SteamProfile | None
    stayed: timedelta

    @property
    def name(self) -> str:
        return (self.profile.persona_name if self.profile else "") or self.row.name or "?"


@dataclass(frozen=True, kw_only=True)
class PlayedMap:
    name: str
    chapter: Chapter | None
    began_at: datetime | None
    points: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Everything about one match."""

    match: Match
    live: Live
    candidates: list[Candidate]
    joiners: list[Joiner]
    participants: list[Participant]
    maps: list[PlayedMap]
    demos: list[Demo]
    first_map: Chapter | None

    @property
    def ready_count(self) -> int:
        return sum(each.is_ready for each in self.candidates)

    @property
    def is_ready(self) -> bool:
        online = [each.player.session.steam_id_64 for each in self.candidates]
        return progress.is_ready(self.match, self.live, online)

    @property
    def shows_ready(self) -> bool:
        """Whether it matters who is ready."""
        state, phase = self.match.state, self.match.phase
        return state == Match.State.WAITING or (state == Match.State.LIVE and phase == Match.Phase.READY_UP)

    @property
    def teams(self) -> list[tuple[MatchPlayer.Team, list[Participant], int | None]]:
        """The teams with their players and points; those without a team come last, if there are any."""
        points = dict(zip("AB", self.match.score, strict=True)) if self.match.score else {}
        groups = [
            (team, [each for each in self.participants if each.row.team == team.value], points.get(team.value))
            for team in (MatchPlayer.Team.A, MatchPlayer.Team.B, MatchPlayer.Team.NONE)
        ]
        return [group for group in groups if group[1] or group[2] is not None]


def of(match: Match, *, now: datetime) -> Shown:
    current = live.of(match.server, now=now)
    online = live.current_players(match.server) if match.is_open else []
    ready = {int(account) for account in match.ready}
    titles = MapTitles([match.server])
    span = match.span(now)
    return Shown(
        match=match,
        live=current,
        candidates=[
            Candidate(
                player=player,
                is_ready=player.session.steam_id_64 in ready,
                side=match.sides.get(str(player.session.steam_id_64), ""),
            )
            for player in online
        ],
        joiners=live.unlisted_joiners(current, online) if match.is_open else [],
        participants=_participants(match, now),
        maps=_maps(match, titles),
        demos=demos.of(match.server, *span) if span else [],
        first_map=titles.chapter(match.server_id, match.map) if match.map else None,
    )


def _participants(match: Match, now: datetime) -> list[Participant]:
    span = match.span(now)
    rows = list(match.players.all()) if span else []
    if span is None or not rows:
        return []
    stayed: dict[int, timedelta] = {}
    for session in PlayerSession.objects.filter(server=match.server).during(*span):
        length = min(session.left_at or now, span[1]) - max(session.joined_at, span[0])
        stayed[session.steam_id_64] = stayed.get(session.steam_id_64, timedelta()) + max(length, timedelta())
    profiles = SteamProfile.objects.in_bulk([row.steam_id_64 for row in rows])
    return [
        Participant(row=row, profile=profiles.get(row.steam_id_64), stayed=stayed.get(row.steam_id_64, timedelta()))
        for row in rows
    ]


def _maps(match: Match, titles: MapTitles) -> list[PlayedMap]:
    """The maps in their order. A score belongs to the map of its name; those of two plays of it come in turn."""
    scores: dict[str, list[dict[str, Any]]] = {}
    for played in match.rounds:
        scores.setdefault(played["map"], []).append(played)
    shown = []
    for name, at in match.maps:
        own = scores.get(name)
        score = own.pop(0) if own else None
        shown.append(
            PlayedMap(
                name=name,
                chapter=titles.chapter(match.server_id, name),
                began_at=parse_datetime(at),
                points=(score["a"], score["b"]) if score else None,
            )
        )
    # A map that was over before a poll saw it.
    for name, rest in scores.items():
        chapter = titles.chapter(match.server_id, name)
        shown += [PlayedMap(name=name, chapter=chapter, began_at=None, points=(each["a"], each["b"])) for each in rest]
    return shown
