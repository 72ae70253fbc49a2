"""What becomes of a match by what its game shows: the states it goes through, its players, maps and score."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from livestate import live
from livestate.matches import news
from livestate.matches.game import Facts
from livestate.matches.gamelog import SIDES, Event, Kind
from livestate.matches.models import MOST_PLAYERS, Match, MatchPlayer
from livestate.matches.scores import Round
from livestate.models import PlayerSession
from servers.models import Server

# A pack replaces its plugins and then changes the map, which takes minutes for a large campaign on a slow disk.
LOADS_WITHIN: Final = timedelta(minutes=4)
UNLOADS_WITHIN: Final = timedelta(minutes=1)
# So often in a row must the mode be gone: a game that changes the map may have executed only a part of its settings.
_MISSES: Final = 3
_MOST_MAPS: Final = 60
_LONGEST_NOTE: Final = 300
_FAR_FUTURE: Final = datetime.fromisoformat("9999-01-01T00:00:00+00:00")
_DOWN: Final = (Server.State.STOPPED, Server.State.CRASHED, Server.State.GAVE_UP)
_WRITTEN: Final = (
    *("state", "phase", "reason", "note", "sent_at", "started_at", "ended_at", "empty_since", "misses"),
    *("tells_score", "ready", "sides", "log_position", "maps", "rounds"),
)


@dataclass(kw_only=True)
class Observation:
    """What a pass found in one game. `facts` is None if the game did not answer."""

    facts: Facts | None = None
    problem: str | Promise = ""
    events: list[Event] = field(default_factory=list)
    log_position: dict[str, Any] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)
    tells_score: bool | None = None


def record(match: Match, seen: Observation | None, *, now: datetime) -> None:
    """Store what a pass found; `seen` is None for a server that does not run."""
    before = {name: getattr(match, name) for name in _WRITTEN}
    before = {name: value.copy() if isinstance(value, list | dict) else value for name, value in before.items()}
    state = match.state
    if seen is None:
        _without_game(match, now)
    else:
        _take_events(match, seen.events)
        match.log_position = seen.log_position
        _advance(match, seen, now)
    changed = [name for name in _WRITTEN if getattr(match, name) != before[name]]
    if not changed:
        return
    with transaction.atomic():
        # A person may have ended the match meanwhile: then what was found here is outdated.
        if not Match.objects.filter(pk=match.pk, state=state).update(
            **{name: getattr(match, name) for name in changed}
        ):
            return
        if match.state == Match.State.ENDED:
            news.match_ended(match, now=now)
        if changed != ["log_position"]:
            match.announce()


def _without_game(match: Match, now: datetime) -> None:
    if match.server.actual_state not in _DOWN or match.state == Match.State.WAITING:
        return
    if match.state == Match.State.LOADING:
        _end(match, Match.State.FAILED, Match.Reason.SERVER, now)
    else:
        _end(match, Match.State.ENDED, match.reason or Match.Reason.SERVER, now)


def _advance(match: Match, seen: Observation, now: datetime) -> None:
    current = live.of(match.server, now=now)
    online = set(PlayerSession.objects.open().filter(server=match.server).values_list("steam_id_64", flat=True))
    if match.state == Match.State.WAITING:
        _wait(match, current, online, now)
    elif match.state == Match.State.LOADING:
        _load(match, seen, current, now)
    elif match.state == Match.State.LIVE:
        _play(match, seen, current, now)
    elif match.state == Match.State.ENDING:
        _leave(match, seen, now)


def _wait(match: Match, current: live.Live, online: set[int], now: datetime) -> None:
    if match.loads_when_ready and is_ready(match, current, online):
        match.state, match.sent_at = Match.State.LOADING, None


def is_ready(match: Match, current: live.Live, online: Collection[int]) -> bool:
    """Whether enough players are on the server, none of them is loading, and all have said that they are ready."""
    said = {int(account) for account in match.ready}
    return (
        current.kind is live.Kind.PLAYED
        and not current.connecting
        and len(online) >= match.wanted_players
        and set(online) <= said
    )


def _load(match: Match, seen: Observation, current: live.Live, now: datetime) -> None:
    facts = seen.facts
    if seen.problem:
        match.note = str(seen.problem)[:_LONGEST_NOTE]
        _end(match, Match.State.FAILED, Match.Reason.NONE, now)
    elif match.sent_at is not None and facts is not None and match.sent_at < now and facts.has(match.config):
        match.state, match.started_at, match.misses = Match.State.LIVE, now, 0
        # Who was ready for the load gets ready again for the first round.
        match.ready = []
        _see_map(match, current, now)
    elif match.sent_at is not None and now - match.sent_at > LOADS_WITHIN:
        match.note = _("The game took the command, but did not load the mode. Its log may tell why.")
        _end(match, Match.State.FAILED, Match.Reason.NONE, now)


def _play(match: Match, seen: Observation, current: live.Live, now: datetime) -> None:
    started_at = match.server.started_at
    if started_at is not None and match.started_at is not None and started_at > match.started_at:
        _end(match, Match.State.ENDED, Match.Reason.SERVER, now)
        return
    match.tells_score = seen.tells_score
    _see_map(match, current, now)
    _see_players(match)
    if seen.rounds:
        match.rounds = list(seen.rounds)
        _set_teams(match, seen.rounds[-1]["team_a"], seen.rounds[-1]["team_b"])
    _see_phase(match, seen.facts)
    if (reason := _over(match, seen.facts)) is not None:
        _end(match, Match.State.ENDED, reason, now)
        return
    if current.kind is not live.Kind.IDLE:
        match.empty_since = None
    elif match.empty_since is None:
        match.empty_since = now
    elif now - match.empty_since >= timedelta(minutes=match.empty_minutes):
        match.state, match.reason, match.sent_at = Match.State.ENDING, Match.Reason.EMPTY, None


def _over(match: Match, facts: Facts | None) -> str | None:
    """Why the match is over by what the game says; None if it is not."""
    if facts is None:
        return None
    match.misses = 0 if facts.has(match.config) else match.misses + 1
    if match.misses < _MISSES:
        return None
    return Match.Reason.CHANGED if facts.is_loaded else Match.Reason.PACK


def _leave(match: Match, seen: Observation, now: datetime) -> None:
    is_gone = seen.facts is not None and not seen.facts.has(match.config)
    is_late = match.sent_at is not None and now - match.sent_at > UNLOADS_WITHIN
    if seen.problem or (is_late and not is_gone):
        match.note = str(seen.problem or _("The game did not confirm that it unloaded the mode."))[:_LONGEST_NOTE]
    if is_gone or is_late or seen.problem:
        _end(match, Match.State.ENDED, match.reason or Match.Reason.HAND, now)


def _end(match: Match, state: Match.State, reason: str, now: datetime) -> None:
    match.state, match.reason, match.ended_at = state, reason, now
    match.phase, match.ready, match.sides, match.empty_since = Match.Phase.UNKNOWN, [], {}, None
    if match.started_at is not None:
        _see_players(match)


def _take_events(match: Match, events: Collection[Event]) -> None:
    ready, sides = {str(account): True for account in match.ready}, dict(match.sides)
    for event in events:
        account = str(event.steam_id_64)
        if event.kind is Kind.READY:
            ready[account] = True
        elif event.kind in (Kind.NOT_READY, Kind.LEFT):
            ready.pop(account, None)
        if event.kind is Kind.SIDE and event.side:
            sides[account] = event.side
        elif event.kind is Kind.LEFT or (event.kind is Kind.SIDE and not event.side):
            sides.pop(account, None)
    # Bounded, whatever a log may hold.
    match.ready, match.sides = list(ready)[-MOST_PLAYERS:], dict(list(sides.items())[-MOST_PLAYERS:])


def _see_map(match: Match, current: live.Live, now: datetime) -> None:
    if not current.is_current or not current.map or (match.maps and match.maps[-1][0] == current.map):
        return
    if not match.maps and match.map not in ("", current.map):
        # The pack changes the map a few seconds after it has loaded the mode.
        return
    match.maps = [*match.maps, [current.map, now.isoformat()]][-_MOST_MAPS:]
    match.ready = []


def _see_phase(match: Match, facts: Facts | None) -> None:
    if facts is None or facts.is_getting_ready is None:
        return
    phase = Match.Phase.READY_UP if facts.is_getting_ready else Match.Phase.ROUND
    if phase == Match.Phase.ROUND and match.phase != phase:
        match.ready = []
        if not match.players.exclude(team="").exists():
            # The sides of the first round name the teams, until the pack tells who is in which.
            first, second = ([each for each, side in match.sides.items() if side == wanted] for wanted in SIDES)
            _set_teams(match, first, second)
    match.phase = phase


def _see_players(match: Match) -> None:
    """Add the players who have been on the server since the match began."""
    if match.started_at is None:
        return
    known = set(match.players.values_list("steam_id_64", flat=True))
    stays = PlayerSession.objects.filter(server=match.server).during(match.started_at, match.ended_at or _FAR_FUTURE)
    names = dict(stays.values_list("steam_id_64", "name_at_join"))
    MatchPlayer.objects.bulk_create(
        (
            MatchPlayer(match=match, steam_id_64=account, name=name)
            for account, name in names.items()
            if account not in known
        ),
        ignore_conflicts=True,
    )


def _set_teams(match: Match, team_a: Collection[str], team_b: Collection[str]) -> None:
    for team, accounts in ((MatchPlayer.Team.A, team_a), (MatchPlayer.Team.B, team_b)):
        match.players.filter(steam_id_64__in=[int(account) for account in accounts]).exclude(team=team).update(
            team=team
        )
