"""Schedules of actions on servers, and their runs: one row for each server and time.

The rows decide what happens. Beat only makes a worker look at them (`tasks.tick`), so nothing runs twice and nothing
is forgotten when beat, the worker or the machine is restarted.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from left4me.core import names
from left4me.jobs.models import Job
from left4me.schedules import description, recurrence
from servers.models import Blueprint, Host, Server

LONGEST_WAIT_MINUTES = 24 * 60
LONGEST_WARNING_MINUTES = 60


class Action(models.TextChoices):
    RESTART = "restart", _("Restart")
    START = "start", _("Start")
    STOP = "stop", _("Stop")
    MAP = "map", _("Change map")
    COMMANDS = "commands", _("Run console commands")
    BACK_UP = "back_up", _("Back up")
    UPDATE_GAME = "update_game", _("Update the game of the hosts")
    REFRESH_WORKSHOP = "refresh_workshop", _("Refresh all workshop content")
    MOVE = "move", _("Move to another host")

    @property
    def is_of_admins(self) -> bool:
        """Whether it works on hosts or on what all users share. It disturbs no players: servers restart later."""
        return self in (Action.UPDATE_GAME, Action.REFRESH_WORKSHOP)

    @property
    def is_of_schedules(self) -> bool:
        """Whether it makes sense to repeat it."""
        return self is not Action.MOVE

    @property
    def needs_change(self) -> bool:
        """Whether it needs the right to change the server, as when it is asked for on the server's page."""
        return self in (Action.BACK_UP, Action.MOVE)


class Condition(models.TextChoices):
    """What an action does about players who are online when its time comes."""

    ALWAYS = "always", _("Run anyway")
    SKIP = "skip", _("Skip this run")
    WAIT_SKIP = "wait_skip", _("Wait until the server is empty, else skip")
    WAIT_RUN = "wait_run", _("Wait until the server is empty, else run anyway")

    @property
    def waits(self) -> bool:
        return self in (Condition.WAIT_SKIP, Condition.WAIT_RUN)


class ScheduleQuerySet(models.QuerySet["Schedule"]):
    def of(self, user: object) -> Self:
        """The schedules that the user may manage: their own, for admins all."""
        if getattr(user, "is_admin", False):
            return self
        return self.filter(owner_id=getattr(user, "pk", None))

    def for_server(self, server: Server) -> Self:
        """The schedules that act on this server."""
        of_all = Q(server=None, blueprint=None, owner_id=server.owner_id)
        return self.filter(Q(server=server) | Q(blueprint=server.blueprint_id) | of_all)


class Schedule(models.Model):
    """An action that is repeated on one server, on the servers of a blueprint, or on all servers of its owner."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("owner"), on_delete=models.CASCADE, related_name="schedules"
    )
    name = models.CharField(_("name"), max_length=names.LONGEST, validators=[names.is_plain])
    server = models.ForeignKey(
        Server, verbose_name=_("server"), null=True, blank=True, on_delete=models.CASCADE, related_name="schedules"
    )
    blueprint = models.ForeignKey(
        Blueprint,
        verbose_name=_("blueprint"),
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="schedules",
    )
    action = models.CharField(_("action"), max_length=16, choices=Action.choices, default=Action.RESTART)
    # The map of a map change; the console commands, one a line.
    argument = models.TextField(_("map or commands"), blank=True, max_length=2000)
    cron = models.CharField(_("times"), max_length=100, validators=[recurrence.check_cron])
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC", validators=[recurrence.check_zone])
    # Minutes before the action at which players are told, such as [10, 5, 1].
    warn_minutes = models.JSONField(_("warnings"), default=list, blank=True)
    condition = models.CharField(
        _("if players are online"), max_length=16, choices=Condition.choices, default=Condition.ALWAYS
    )
    wait_minutes = models.PositiveIntegerField(_("longest wait"), default=120)
    catch_up = models.BooleanField(_("run late if missed"), default=False)
    is_enabled = models.BooleanField(_("on"), default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # The next time that has no runs yet, and when its runs are created: earlier, if players are warned.
    next_at = models.DateTimeField(null=True, editable=False)
    plan_at = models.DateTimeField(null=True, editable=False, db_index=True)

    objects = ScheduleQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.CheckConstraint(condition=Q(server=None) | Q(blueprint=None), name="schedule_has_one_target"),
            models.CheckConstraint(condition=Q(action__in=Action.values), name="schedule_action_is_known"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("schedules:detail", args=[self.pk])

    def clean(self) -> None:
        minutes = self.warn_minutes
        if not all(isinstance(each, int) and 0 < each <= LONGEST_WARNING_MINUTES for each in minutes):
            raise ValidationError({"warn_minutes": _("Warnings are whole minutes, from 1 to 60.")})
        if self.wait_minutes > LONGEST_WAIT_MINUTES:
            raise ValidationError({"wait_minutes": _("A run can wait for at most one day.")})
        if self.action in (Action.MAP, Action.COMMANDS) and not self.argument.strip():
            raise ValidationError({"argument": _("Enter the map, or the commands.")})

    @property
    def resource(self) -> str:
        return f"schedule:{self.pk}"

    @property
    def lead(self) -> timedelta:
        """How long before its time the runs are created, so that players can be warned."""
        warns = self.condition == Condition.ALWAYS and not Action(self.action).is_of_admins
        return timedelta(minutes=max(self.warn_minutes, default=0) if warns else 0)

    @property
    def times_in_words(self) -> str:
        return description.describe(self.cron)

    def plan_from(self, moment: datetime) -> None:
        """Set the next time after `moment`; none if the schedule is off or has no further time."""
        upcoming = recurrence.next_times(self.cron, self.time_zone, after=moment) if self.is_enabled else []
        self.next_at = upcoming[0] if upcoming else None
        self.plan_at = self.next_at - self.lead if self.next_at else None

    def targets(self) -> list[Server]:
        """The servers that each get a run: one for each host, or one for all, where the action is not of servers."""
        servers = list(self._servers())
        if self.action == Action.UPDATE_GAME:
            return list({server.host_id: server for server in reversed(servers)}.values())[::-1]
        return servers[:1] if self.action == Action.REFRESH_WORKSHOP else servers

    def _servers(self) -> models.QuerySet[Server]:
        servers = Server.objects.select_related("host", "owner").order_by("pk")
        if self.server_id is not None:
            return servers.filter(pk=self.server_id)
        if self.blueprint_id is not None:
            return servers.filter(blueprint_id=self.blueprint_id)
        return servers.filter(owner_id=self.owner_id)


class BulkActionQuerySet(models.QuerySet["BulkAction"]):
    def active(self) -> Self:
        return self.filter(state=BulkAction.State.ACTIVE)

    def visible_to(self, user: object) -> Self:
        """Those that the user started; for admins all, also those that game updates started."""
        if getattr(user, "is_admin", False):
            return self
        return self.filter(user_id=getattr(user, "pk", None))


class BulkAction(models.Model):
    """One action on many servers, a few at a time; each server has a `Run` with its result."""

    class Origin(models.TextChoices):
        SELECTION = "selection", _("Selected servers")
        BLUEPRINT = "blueprint", _("Servers of a blueprint")
        HOST = "host", _("Servers of a host")
        GAME_UPDATE = "game_update", _("Game update")

    class State(models.TextChoices):
        ACTIVE = "active", _("In progress")
        DONE = "done", _("Finished")
        STOPPED = "stopped", _("Stopped after a failure")
        CANCELLED = "cancelled", _("Cancelled")

    # None is left4me itself, which applies a game update.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    origin = models.CharField(max_length=16, choices=Origin.choices)
    blueprint = models.ForeignKey(Blueprint, null=True, on_delete=models.SET_NULL, related_name="+")
    host = models.ForeignKey(Host, null=True, on_delete=models.CASCADE, related_name="+")
    # Where servers move.
    to_host = models.ForeignKey(Host, null=True, on_delete=models.CASCADE, related_name="+")
    action = models.CharField(max_length=16, choices=Action.choices)
    condition = models.CharField(max_length=16, choices=Condition.choices, default=Condition.ALWAYS)
    at_once = models.PositiveSmallIntegerField(default=2)
    # The version of the game that is applied.
    game_version = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.ACTIVE)
    reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    objects = BulkActionQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            # An update that was stopped is not applied again by itself.
            models.UniqueConstraint(
                fields=["host", "game_version"],
                condition=Q(origin="game_update"),
                name="a_game_update_is_applied_once_per_host",
            ),
        ]
        indexes = [
            models.Index(fields=["created_at"], condition=Q(state="active"), name="bulk_active"),
            models.Index(fields=["ended_at"], name="bulk_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.origin} {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("schedules:bulk", args=[self.pk])

    @property
    def resource(self) -> str:
        return f"bulk:{self.pk}"

    @property
    def is_active(self) -> bool:
        return self.state == self.State.ACTIVE

    @property
    def is_update(self) -> bool:
        return self.origin == self.Origin.GAME_UPDATE

    @property
    def waits_until_empty(self) -> bool:
        return Condition(self.condition).waits


class RunQuerySet(models.QuerySet["Run"]):
    def waiting(self) -> Self:
        return self.filter(state=Run.State.WAITING)

    def planned_by_hand(self) -> Self:
        """Runs that a person asked for once, such as a restart when the server is empty."""
        return self.filter(schedule=None, bulk=None)

    def of_many(self) -> Self:
        """Runs that belong to an action on many servers."""
        return self.filter(bulk__isnull=False)


class Run(models.Model):
    """One action on one server at one time: what was done, or why it was not."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        STARTED = "started", pgettext_lazy("a run of a schedule", "Started")
        SKIPPED = "skipped", _("Skipped")
        MISSED = "missed", _("Missed")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    schedule = models.ForeignKey(Schedule, null=True, on_delete=models.CASCADE, db_index=False, related_name="runs")
    bulk = models.ForeignKey(BulkAction, null=True, on_delete=models.CASCADE, related_name="runs")
    # Its place among the runs of its bulk action.
    position = models.PositiveIntegerField(default=0)
    server = models.ForeignKey(Server, on_delete=models.CASCADE, db_index=False, related_name="runs")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    action = models.CharField(max_length=16, choices=Action.choices)
    argument = models.TextField(blank=True)
    condition = models.CharField(max_length=16, choices=Condition.choices, default=Condition.ALWAYS)
    due_at = models.DateTimeField()
    # Until when the run waits for an empty server; None waits without end.
    wait_until = models.DateTimeField(null=True)
    warn_minutes = models.JSONField(default=list)
    # The smallest number of minutes that players were told of.
    warned_minutes = models.PositiveIntegerField(null=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    reason = models.CharField(max_length=300, blank=True)
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-due_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["schedule", "server", "due_at"], name="one_run_per_schedule_server_and_time"
            ),
            # A person asks once for a restart when empty.
            models.UniqueConstraint(
                fields=["server", "action"],
                condition=Q(schedule=None, bulk=None, state="waiting"),
                name="one_waiting_run_by_hand_per_server_and_action",
            ),
            models.UniqueConstraint(
                fields=["server"],
                condition=Q(bulk__isnull=False, state="waiting"),
                name="one_waiting_run_of_many_per_server",
            ),
        ]
        indexes = [
            # Not only of those that wait: without statistics, SQLite prefers the index of `bulk` to such a one.
            models.Index(fields=["state", "bulk", "due_at"], name="run_in_state_by_time"),
            models.Index(fields=["server", "due_at"], name="run_by_server_and_time"),
            models.Index(fields=["ended_at"], name="run_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.action} server {self.server_id} at {self.due_at:%Y-%m-%d %H:%M}"

    @property
    def acts_at(self) -> datetime | None:
        """When it acts even if players are online; None if it never does."""
        if self.condition == Condition.ALWAYS:
            return self.due_at
        return self.wait_until if self.condition == Condition.WAIT_RUN else None
