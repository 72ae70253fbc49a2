"""The votes that players called, from what the game told of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from left4me.core import steam_ids
from livestate.rotation.models import GameEvent
from servers.blueprints import maps
from servers.blueprints.maps import Chapter
from servers.models import Server

SHOWN: Final = 12
# The game ends a vote after a minute at most. One whose end was not told was cut off by a change of the map.
_LONGEST: Final = timedelta(minutes=2)
_CAMPAIGN: Final = re.compile(r"#?L4D360UI_CampaignName_C(\d+)", re.IGNORECASE)

# What is voted for, by the game's own name of it.
ISSUES: Final[Mapping[str, str | Promise]] = {
    "kick_player": _("Kick a player"),
    "restart_game": _("Restart the campaign"),
    "restart_chapter": _("Restart the chapter"),
    "versus_level_restart": _("Restart the chapter"),
    "mission_change": _("Change the campaign"),
    "chapter_change": _("Change the chapter"),
    "return_to_lobby": _("Return to the lobby"),
    "change_difficulty": _("Change the difficulty"),
    "alltalk_change": _("Change the voice chat"),
    "alltalk_enable": _("Voice chat with everybody"),
    "alltalk_disable": _("Voice chat within the team"),
}


class Outcome(StrEnum):
    OPEN = "open"
    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass
class Vote:
    """One vote. Numbers are None where the game told none."""

    at: datetime
    issue: str
    subject: str
    starter: str
    steam_id_64: int | None
    outcome: Outcome
    yes: int | None = None
    no: int | None = None
    voters: int | None = None

    @property
    def title(self) -> str:
        name = self.issue.lower().removeprefix("#l4d_vote_")
        return str(ISSUES.get(name, self.issue.lstrip("#")))

    @property
    def label(self) -> str | Promise:
        return {
            Outcome.OPEN: _("In progress"),
            Outcome.PASSED: _("Passed"),
            Outcome.FAILED: _("Failed"),
            Outcome.UNKNOWN: _("No result"),
        }[self.outcome]


def of_server(server: Server, chapters: Mapping[str, Chapter], *, now: datetime, most: int = SHOWN) -> list[Vote]:
    """The latest votes, the newest first."""
    rows = GameEvent.objects.votes().filter(server=server).order_by("-pk")[: 2 * most]
    return fold(list(rows)[::-1], chapters, now=now)[::-1][:most]


def fold(events: Sequence[GameEvent], chapters: Mapping[str, Chapter], *, now: datetime) -> list[Vote]:
    """Votes from events in their order: an end belongs to the vote that was called last for the same team."""
    found: list[Vote] = []
    open_for: dict[str, Vote] = {}
    for event in events:
        fields = [*event.details, *[""] * 6]
        if event.name == "vote_started":
            vote = Vote(
                at=event.at,
                issue=fields[0],
                subject=_subject(fields[1], chapters),
                starter=fields[3],
                steam_id_64=steam_ids.parse(fields[4]) or None,
                outcome=Outcome.OPEN if now - event.at < _LONGEST else Outcome.UNKNOWN,
            )
            found.append(vote)
            open_for[fields[2]] = vote
        elif ended := open_for.pop(fields[2], None):
            ended.outcome = Outcome.PASSED if event.name == "vote_passed" else Outcome.FAILED
            ended.yes, ended.no, ended.voters = (_number(field) for field in fields[3:6])
    return found


def _subject(text: str, chapters: Mapping[str, Chapter]) -> str:
    """What a vote is about, in words: the game names campaigns by keys of its own texts."""
    if match := _CAMPAIGN.fullmatch(text):
        code = f"c{match[1]}"
        return next((each.campaign for each in maps.stock().values() if each.code == code), text)
    if text.lower() in chapters:
        return str(chapters[text.lower()])
    return text.removeprefix("#L4D_Difficulty").lstrip("#")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else None
