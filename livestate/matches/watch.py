"""Attends to the open matches of a host: sends what is wanted to the games, and stores what they show.

The rows decide, so a worker that is restarted goes on where the last one was. A command is claimed before it is sent:
of two passes at once only one sends it. A game that is silent, as while a map loads, changes nothing.
"""

from __future__ import annotations

import functools
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final

from left4me.core import secrets
from livestate.matches import game, gamelog, progress, scores
from livestate.matches.game import Ask
from livestate.matches.models import Match
from livestate.matches.progress import Observation
from servers.gamehost import rcon
from servers.hosts import this_host
from servers.models import Server

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 5.0
AT_ONCE: Final = 8
# A clock of a file system may be behind by that much.
_LENIENCY: Final = timedelta(seconds=2)


def attend(host_name: str, *, now: datetime) -> int:
    """Make one pass over the open matches of the host; returns their number."""
    rows = Match.objects.open().filter(server__host__name=host_name)
    matches = list(rows.select_related("server__host", "server__blueprint").order_by("pk"))
    if not matches:
        return 0
    plans = [(match, _claim(match, now)) for match in matches]
    running = [each for each in plans if each[0].server.actual_state == Server.State.RUNNING]
    found: dict[int, Observation] = {}
    if running:
        with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(running))) as pool:
            observations = pool.map(lambda each: observe(each[0], sends=each[1]), running)
            found = {match.pk: seen for (match, _sends), seen in zip(running, observations, strict=True)}
    for match in matches:
        try:
            progress.record(match, found.get(match.pk), now=now)
        except Exception:
            # The other matches go on.
            logger.exception("The match %s could not be recorded", match.pk)
    return len(matches)


def _claim(match: Match, now: datetime) -> bool:
    """Whether this pass sends the command of the state that the match is in."""
    if match.state not in (Match.State.LOADING, Match.State.ENDING) or match.sent_at is not None:
        return False
    if match.server.actual_state != Server.State.RUNNING:
        return False
    claimed = Match.objects.filter(pk=match.pk, state=match.state, sent_at=None).update(sent_at=now)
    match.sent_at = now
    return bool(claimed)


def observe(match: Match, *, sends: bool) -> Observation:
    """Ask the game and read its files. Runs in a thread of its own, and reads no rows."""
    seen = Observation(log_position=match.log_position, tells_score=match.tells_score)
    try:
        ask = functools.partial(this_host.ask_game, match.server, timeout=TIMEOUT_SECONDS)
        _ask(match, seen, ask, sends=sends)
    except (rcon.RconError, secrets.Unreadable) as error:
        logger.info("The game of match %s does not answer: %s", match.pk, error)
    except Exception:
        logger.exception("The game of match %s could not be asked", match.pk)
    _read_files(match, seen)
    return seen


def _run_of(match: Match) -> str:
    """The start of the game whose log is read."""
    return match.server.started_at.isoformat() if match.server.started_at else ""


def _ask(match: Match, seen: Observation, ask: Ask, *, sends: bool) -> None:
    run = _run_of(match)
    if match.log_position.get("game") != run:
        # The log of an earlier start, or what was said before, counts for nothing.
        game.write_log(ask)
        seen.log_position = {"game": run}
    if sends and match.state == Match.State.LOADING:
        seen.problem = game.load(ask, match.mode, match.map).problem
    elif sends:
        seen.problem = game.unload(ask).problem
    facts = game.look(ask)
    if match.state == Match.State.LIVE and match.tells_score is None:
        seen.tells_score = game.write_scores(ask)
    seen.facts = facts


def _read_files(match: Match, seen: Observation) -> None:
    upper = this_host.storage().of(match.server.pk).upper
    if seen.log_position.get("game") == _run_of(match):
        lines, seen.log_position = gamelog.new_lines(upper, seen.log_position)
        seen.events = list(gamelog.read(lines))
    if match.started_at is not None and seen.tells_score:
        seen.rounds = scores.find(upper, since=match.started_at - _LENIENCY)
