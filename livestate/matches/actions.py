"""Planning, loading, ending and cancelling matches. Callers check permissions before.

The rows say what is wanted. The worker of the host does it within seconds, and is told to look at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core.redis import hosts
from left4me.core.web.refusals import Cure, Refused
from livestate import campaigns
from livestate.matches import tasks
from livestate.matches.models import LONGEST_EMPTY_MINUTES, MOST_PLAYERS, Match
from overlays import match_modes
from overlays.match_modes import MatchMode
from servers.models import Server

_MESSAGE_SECONDS = 20


def modes_of(server: Server) -> list[MatchMode]:
    """The match modes in the overlays of the server, in the order of the pack."""
    return match_modes.of_layers([overlay.pk for overlay in server.blueprint.layers])


@transaction.atomic
def create(
    *,
    server: Server,
    by: User,
    mode: str,
    map_name: str = "",
    wanted_players: int | None = None,
    load: str = "ready",
    empty_minutes: int = 5,
    request: HttpRequest | None = None,
) -> Match:
    """Plan a match. `load` says when its mode is loaded: `now`, when all are `ready`, or by `hand`. Raises Refused."""
    chosen = next((each for each in modes_of(server) if each.code == mode), None)
    if chosen is None:
        raise Refused(_("This match mode is not on the server. Choose one from the list."))
    if map_name and map_name not in campaigns.playable(server):
        raise Refused(_("This map is not on the server. Choose another one."))
    if wanted_players is not None and not 1 <= wanted_players <= MOST_PLAYERS:
        raise Refused(_("Enter from 1 to %d players.") % MOST_PLAYERS)
    if not 1 <= empty_minutes <= LONGEST_EMPTY_MINUTES:
        raise Refused(_("Enter from 1 to %d minutes.") % LONGEST_EMPTY_MINUTES)
    if load not in ("now", "ready", "hand"):
        raise Refused(_("Choose when the mode is loaded."))
    if load == "now":
        _check_running(server)
    match = Match(
        server=server,
        mode=chosen.code,
        mode_title=chosen.title,
        config=chosen.config,
        map=map_name,
        wanted_players=wanted_players or chosen.players,
        loads_when_ready=load == "ready",
        empty_minutes=empty_minutes,
        state=Match.State.LOADING if load == "now" else Match.State.WAITING,
        created_by=by,
    )
    try:
        with transaction.atomic():
            match.save()
    except IntegrityError as fault:
        raise other_match(server) from fault
    details = {"match": match.pk, "mode": match.mode, "map": match.map, "load": load}
    record.write(action="match.create", by=by, target=server.resource, request=request, **details)
    _tell(match)
    return match


@transaction.atomic
def load(*, match: Match, by: User, request: HttpRequest | None = None) -> None:
    """Have the mode loaded now, whoever is ready. Raises Refused."""
    _check_running(match.server)
    _change(match, [Match.State.WAITING], state=Match.State.LOADING, sent_at=None)
    record.write(action="match.load", by=by, target=match.server.resource, request=request, match=match.pk)
    _tell(match)


@transaction.atomic
def end(*, match: Match, by: User, request: HttpRequest | None = None) -> None:
    """End a match: cancel one that waits, and have the mode of another one unloaded. Raises Refused."""
    now = timezone.now()
    reason = Match.Reason.HAND
    if match.state == Match.State.WAITING:
        state = Match.State.CANCELLED
        _change(match, [match.state], state=state, reason=reason, ended_at=now, ended_by=by, ready=[], sides={})
        action = "match.cancel"
    else:
        action = "match.end"
        before = [Match.State.LOADING, Match.State.LIVE]
        _change(match, before, state=Match.State.ENDING, reason=reason, ended_by=by, sent_at=None)
    record.write(action=action, by=by, target=match.server.resource, request=request, match=match.pk)
    _tell(match)


def _change(match: Match, states: Sequence[str], **values: object) -> None:
    """Change the row, unless its state is another one by now."""
    if not Match.objects.filter(pk=match.pk, state__in=states).update(**values):
        raise Refused(
            _("The match is in another state by now. Look at it again."),
            cure=Cure(label=_("Open match"), url=match.get_absolute_url()),
        )
    match.refresh_from_db()


def _check_running(server: Server) -> None:
    if server.actual_state != Server.State.RUNNING:
        cure = Cure(label=_("Start"), url=reverse("servers:action", args=[server.pk]), operation="start")
        raise Refused(_("The server is not running."), cure=cure if server.is_at_rest else None)


def other_match(server: Server) -> Refused:
    """The refusal of a second match on a server."""
    other = Match.objects.open().filter(server=server).first()
    cure = Cure(label=_("Open match"), url=other.get_absolute_url()) if other else None
    return Refused(_("There is a match on this server already. End it first."), cure=cure)


def _tell(match: Match) -> None:
    match.announce()
    hosts.send_after_commit(match.server.host.name, tasks.attend.name, expires=_MESSAGE_SECONDS)
