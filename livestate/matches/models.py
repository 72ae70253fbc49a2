"""Matches on servers: what was to be played, how it went as far as the game tells, and who played."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from left4me.core.redis import signals
from livestate.reconcile import LONGEST_MAP, LONGEST_NAME
from servers.models import Server

MOST_PLAYERS = 32
LONGEST_EMPTY_MINUTES = 120
# How long ended matches are kept.
KEPT = timedelta(days=365)


class MatchQuerySet(models.QuerySet["Match"]):
    def open(self) -> Self:
        return self.filter(state__in=Match.OPEN)

    def holding(self) -> Self:
        """Those that must not be interrupted."""
        return self.filter(state__in=Match.HOLDING)

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        if getattr(user, "is_admin", False):
            # Without a condition, those of the first page are read in the order of an index.
            return self
        return self.filter(server__in=Server.objects.visible_to(user))

    def for_pages(self) -> Self:
        return self.select_related("server__owner", "server__host", "created_by", "ended_by")


class Match(models.Model):
    """One match on one server. Pages write what is wanted, and the worker of the host what it finds in the game."""

    class State(models.TextChoices):
        WAITING = "waiting", pgettext_lazy("a match", "Waiting for players")
        LOADING = "loading", pgettext_lazy("a match", "Loading")
        LIVE = "live", pgettext_lazy("a match", "Live")
        ENDING = "ending", pgettext_lazy("a match", "Ending")
        ENDED = "ended", pgettext_lazy("a match", "Ended")
        FAILED = "failed", pgettext_lazy("a match", "Not loaded")
        CANCELLED = "cancelled", pgettext_lazy("a match", "Cancelled")

    class Phase(models.TextChoices):
        UNKNOWN = "", ""
        READY_UP = "ready_up", _("Players get ready")
        ROUND = "round", _("Round in progress")

    class Reason(models.TextChoices):
        """Why it ended."""

        NONE = "", ""
        HAND = "hand", _("Ended by hand")
        EMPTY = "empty", _("All players left")
        PACK = "pack", _("The mode was unloaded in the game")
        CHANGED = "changed", _("Another mode was loaded in the game")
        SERVER = "server", _("The server stopped or restarted")

    OPEN = (State.WAITING, State.LOADING, State.LIVE, State.ENDING)
    HOLDING = (State.LOADING, State.LIVE, State.ENDING)

    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="matches")
    mode = models.CharField(_("mode"), max_length=32)
    mode_title = models.CharField(max_length=100)
    # What the ready-up plugin calls the mode while it is loaded; empty when the pack does not say.
    config = models.CharField(max_length=100, blank=True)
    # The map to begin with; empty for the one that is being played.
    map = models.CharField(_("map"), max_length=LONGEST_MAP, blank=True)
    wanted_players = models.PositiveSmallIntegerField(_("players"))
    # Whether it is loaded by itself once so many players are ready.
    loads_when_ready = models.BooleanField(default=False)
    empty_minutes = models.PositiveSmallIntegerField(_("ends when empty for"), default=5)
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    phase = models.CharField(max_length=16, choices=Phase.choices, default=Phase.UNKNOWN, blank=True)
    reason = models.CharField(max_length=16, choices=Reason.choices, default=Reason.NONE, blank=True)
    # What the game answered, where that explains the state.
    note = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    ended_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    # When the command of the present state was sent to the game: to load the mode, or to unload it.
    sent_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    empty_since = models.DateTimeField(null=True)
    # How often in a row the game did not have the mode loaded.
    misses = models.PositiveSmallIntegerField(default=0)
    # Whether the pack writes the score of each map; unknown until it was asked.
    tells_score = models.BooleanField(null=True)
    # Steam IDs of those who said that they are ready, and the side of each, as long as the match is open.
    ready = models.JSONField(default=list)
    sides = models.JSONField(default=dict)
    # How far the log was read.
    log_position = models.JSONField(default=dict)
    # [map, time] of each map, and the score of each as the pack wrote it.
    maps = models.JSONField(default=list)
    rounds = models.JSONField(default=list)

    objects = MatchQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["server"],
                condition=Q(state__in=["waiting", "loading", "live", "ending"]),
                name="one_open_match_per_server",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "loading", "live", "ending", "ended", "failed", "cancelled"]),
                name="match_state_is_known",
            ),
        ]
        indexes = [
            models.Index(fields=["server", "-created_at"], name="match_by_server_and_time"),
            models.Index(fields=["created_at"], name="match_by_time"),
        ]

    def __str__(self) -> str:
        return self.mode_title

    def get_absolute_url(self) -> str:
        return reverse("matches:detail", args=[self.pk])

    @property
    def resource(self) -> str:
        return f"match:{self.pk}"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def duration(self) -> timedelta | None:
        return self.ended_at - self.started_at if self.started_at and self.ended_at else None

    @property
    def score(self) -> tuple[int, int] | None:
        """The points of both teams after the latest map whose score is known."""
        return (self.rounds[-1]["total_a"], self.rounds[-1]["total_b"]) if self.rounds else None

    @property
    def score_in_words(self) -> str:
        return f"{self.score[0]} : {self.score[1]}" if self.score else ""

    @property
    def explanation(self) -> str:
        """Why there is no score, for a match that was played."""
        if self.rounds or self.started_at is None:
            return ""
        if self.tells_score is False:
            return gettext("This mode has no plugin that tells the score.")
        if self.is_open:
            return gettext("The score appears after both teams have played a map.")
        return gettext("No map was played to its end by both teams, so there is no score.")

    def announce(self) -> None:
        """Tell open pages that it changed."""
        signals.send_after_commit(f"{signals.MATCH}:{self.server_id}")

    def span(self, now: datetime) -> tuple[datetime, datetime] | None:
        """From its start to its end, or until now; None if it has not started."""
        return (self.started_at, self.ended_at or now) if self.started_at else None


class MatchPlayer(models.Model):
    """Somebody who was on the server during a match, with the team as far as it is known."""

    class Team(models.TextChoices):
        NONE = "", pgettext_lazy("no team", "–")
        A = "A", _("Team A")
        B = "B", _("Team B")

    match = models.ForeignKey(Match, on_delete=models.CASCADE, related_name="players")
    steam_id_64 = models.BigIntegerField()
    name = models.CharField(max_length=LONGEST_NAME, blank=True)
    team = models.CharField(max_length=1, choices=Team.choices, default=Team.NONE, blank=True)

    class Meta:
        ordering = ["team", "name", "pk"]
        constraints = [models.UniqueConstraint(fields=["match", "steam_id_64"], name="one_row_per_match_and_player")]
        indexes = [models.Index(fields=["steam_id_64"], name="match_player_by_account")]

    def __str__(self) -> str:
        return self.name or str(self.steam_id_64)
