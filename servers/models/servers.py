"""Servers, the users they are shared with, the history of their states, and what their games were started with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from itertools import count
from typing import Any, Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Case, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Lower
from django.utils.translation import gettext_lazy as _

from left4me.core import names, secrets
from left4me.core.lines import Masker
from left4me.core.natural_order import NaturalOrder
from left4me.core.web.ids import address
from servers.models.blueprints import Blueprint, BlueprintVersion, layers
from servers.models.hosts import Host


class ServerQuerySet(models.QuerySet["Server"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """The servers that the user owns or that are shared with them; for admins all."""
        if getattr(user, "is_admin", False):
            return self
        shared = ServerShare.objects.filter(Q(user_id=user.pk)).values("server_id")
        return self.filter(Q(owner_id=user.pk) | Q(pk__in=shared))

    def operated_by(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """The servers that the user owns or operates; for admins all."""
        if getattr(user, "is_admin", False):
            return self
        shared = ServerShare.objects.filter(Q(user_id=user.pk), role=ServerShare.Role.OPERATOR).values("server_id")
        return self.filter(Q(owner_id=user.pk) | Q(pk__in=shared))

    def with_role(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """With `shared_role`: the role in which the server is shared with `user`, "" when it is not shared."""
        mine = ServerShare.objects.filter(Q(user_id=user.pk), server=OuterRef("pk")).values("role")
        return self.annotate(shared_role=Coalesce(Subquery(mine), Value("")))

    def with_blueprint(self) -> Self:
        """With host, owner, blueprint and its overlays: everything that pages and a start read, in two queries."""
        return self.listed().prefetch_related(layers("blueprint__links"))

    def listed(self) -> Self:
        """With everything that a list shows, in one query; `status.of` fetches the overlays of those that run."""
        return self.select_related("host__game_check", "owner", "blueprint")

    def tagged(self, tag: str) -> Self:
        return self.filter(tags__contains=f",{tag.lower()},")

    def on_host(self, name: str) -> Self:
        return self.filter(host__name=name)

    def running(self) -> Self:
        """Servers whose game was observed as running, so that RCON can be used."""
        return self.filter(actual_state=Server.State.RUNNING)

    def needing_attention_first(self) -> Self:
        urgency = Case(
            When(actual_state__in=[Server.State.GAVE_UP, Server.State.CRASHED], then=Value(0)),
            When(~Q(last_error=""), then=Value(1)),
            default=Value(2),
        )
        return self.order_by(urgency, NaturalOrder("name"), "pk")


class Server(models.Model):
    """One game server. Everything except its name, host, port and password comes from its blueprint."""

    class Desired(models.TextChoices):
        RUNNING = "running", _("Running")
        STOPPED = "stopped", _("Stopped")

    class State(models.TextChoices):
        UNKNOWN = "unknown", _("Unknown")
        STOPPED = "stopped", _("Stopped")
        STARTING = "starting", _("Starting")
        RUNNING = "running", _("Running")
        STOPPING = "stopping", _("Stopping")
        CRASHED = "crashed", _("Crashed")
        GAVE_UP = "gave_up", _("Keeps crashing")

    ENDED_BADLY = (State.CRASHED, State.GAVE_UP)
    # The observed states that contradict a desired one. `unknown` contradicts neither: nothing was observed.
    NOT_RUNNING = (State.STOPPED, State.STOPPING, *ENDED_BADLY)
    NOT_AT_REST = (State.STARTING, State.RUNNING, State.CRASHED)

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("owner"), on_delete=models.PROTECT, related_name="servers"
    )
    name = models.CharField(
        _("name"),
        max_length=names.LONGEST,
        validators=[names.is_plain],
        help_text=_("Also shown as the server's name in the game."),
    )
    blueprint = models.ForeignKey(
        Blueprint, verbose_name=_("blueprint"), on_delete=models.PROTECT, related_name="servers"
    )
    host = models.ForeignKey(Host, verbose_name=_("host"), on_delete=models.PROTECT, related_name="servers")
    port = models.PositiveIntegerField(_("port"), validators=[MinValueValidator(1024), MaxValueValidator(65535)])
    # Its number among the servers of its blueprint, for names in the game. It stays for as long as the blueprint does.
    number = models.PositiveIntegerField(default=0, editable=False)
    # SourceTV's, reserved while the server or its blueprint enables it. No server of the host has the same number as
    # either port.
    tv_port = models.PositiveIntegerField(_("SourceTV port"), null=True, blank=True, editable=False)
    # The free port that the last start found when another program had the server's own.
    offered_port = models.PositiveIntegerField(null=True, blank=True, editable=False)
    # Encrypted; the property `rcon_password` decrypts it, so that lists of servers do not decrypt any.
    sealed_rcon_password = models.TextField(editable=False, default="")

    desired_state = models.CharField(
        _("desired state"), max_length=16, choices=Desired.choices, default=Desired.STOPPED
    )
    actual_state = models.CharField(_("observed state"), max_length=16, choices=State.choices, default=State.UNKNOWN)
    actual_state_at = models.DateTimeField(_("last checked"), null=True, blank=True)
    last_error = models.TextField(_("last error"), blank=True)

    # Of the present process, so that a game which was restarted after a crash has begun anew. `starts_again_at` is the
    # time of the restart of a crashed game, where its runtime knows it.
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    starts_again_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Failed attempts of the start that is wanted, and when the next one is due (`servers/state/start_retries.py`).
    failed_starts = models.PositiveSmallIntegerField(default=0, editable=False)
    next_start_at = models.DateTimeField(null=True, blank=True, editable=False)
    # The present (or last) start. `applied` is what `launch_plan.applied` returned for it, without secrets; the
    # difference to its result now is what the next start changes.
    game_version = models.CharField(_("game version"), max_length=64, blank=True, editable=False)
    applied = models.JSONField(null=True, blank=True, editable=False)
    applied_sealed_rcon_password = models.TextField(editable=False, default="")

    # How many files of its own hide a newer file of the game (`servers/hosts/own_copies.py`).
    # SourceMod plugins that this server enables (true) or disables (false) by their paths, whatever its overlays say.
    plugin_switches = models.JSONField(default=dict, blank=True, editable=False)
    # Values of plugins' cvars that this server sets: by file below cfg/sourcemod, by name.
    plugin_settings = models.JSONField(default=dict, blank=True, editable=False)
    outdated_files = models.PositiveIntegerField(default=0, editable=False)
    # What SourceTV does, and how long demos are kept: `servers/sourcetv/options.py:Options`.
    sourcetv = models.JSONField(default=dict, blank=True, editable=False)

    restart_when_hung = models.BooleanField(
        _("restart if unresponsive"),
        default=False,
        help_text=_("When the game has not responded for a minute (map changes excluded)."),
    )
    hung_since = models.DateTimeField(_("unresponsive since"), null=True, blank=True, editable=False)

    # Lower-case words to filter by, as `,friday,versus,`: one column, since they are read with every row of a list.
    tags = models.CharField(_("tags"), max_length=400, blank=True, default="", editable=False)

    # Incremented by edits of users, not by observed states.
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ServerQuerySet.as_manager()

    class Meta:
        ordering = [NaturalOrder("name"), "pk"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                "owner",
                name="server_name_unique_per_owner",
                violation_error_code="name_taken",
                violation_error_message=_("You already have a server with this name. Choose another name."),
            ),
            models.UniqueConstraint(
                fields=["host", "port"],
                name="server_port_unique_per_host",
                violation_error_code="port_taken",
                violation_error_message=_("Another server on this host uses this port. Choose another one."),
            ),
            models.UniqueConstraint(fields=["host", "tv_port"], name="server_tv_port_unique_per_host"),
            models.CheckConstraint(condition=~Q(name=""), name="server_has_a_name"),
            models.CheckConstraint(condition=Q(port__gte=1024, port__lte=65535), name="server_port_is_a_port"),
            models.CheckConstraint(
                condition=Q(desired_state__in=["running", "stopped"]), name="server_desired_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(
                    actual_state__in=[
                        "unknown",
                        "stopped",
                        "starting",
                        "running",
                        "stopping",
                        "crashed",
                        "gave_up",
                    ]
                ),
                name="server_actual_state_is_known",
            ),
        ]
        indexes = [models.Index(fields=["host", "actual_state"], name="server_by_host_and_state")]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **options: Any) -> None:
        if self._state.adding:
            self.take_number()
        super().save(*args, **options)

    def get_absolute_url(self) -> str:
        return address("servers:detail", self.pk)

    def take_number(self) -> None:
        """Keep its number if no other server of its blueprint has it; otherwise take the lowest free one.

        Whoever calls it holds the lock of the blueprint, so that no two servers take the same.
        """
        others = Server.objects.filter(blueprint_id=self.blueprint_id).exclude(pk=self.pk)
        taken = set(others.values_list("number", flat=True))
        if not self.number or self.number in taken:
            self.number = next(number for number in count(1) if number not in taken)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        """Delete the row and what belongs to it, in the order in which a worker host may.

        Such a host may delete rows of a server that is its own. Django deletes those whose key may be empty after the
        server, whose row then no longer says so.
        """
        with transaction.atomic():
            for relation in self._meta.related_objects:
                if relation.field.null and relation.on_delete is models.CASCADE:
                    relation.related_model._default_manager.filter(**{relation.field.name: self}).only("pk").delete()
            return super().delete(*args, **options)

    @property
    def resource(self) -> str:
        """Its name in jobs, locks and the audit log."""
        return f"server:{self.pk}"

    @property
    def rcon_password(self) -> str:
        """The password of the next start. Raises secrets.Unreadable if it was sealed with another key."""
        return secrets.unseal(self.sealed_rcon_password)

    @rcon_password.setter
    def rcon_password(self, value: str) -> None:
        self.sealed_rcon_password = secrets.seal(value, key_name=self.host.key_name if self.host_id else "")

    @property
    def live_rcon_password(self) -> str:
        """The password of the running game.

        A new one is used only from the next start on. Before that it is wrong, and wrong ones get this host banned.
        """
        return secrets.unseal(self.applied_sealed_rcon_password or self.sealed_rcon_password)

    def seal_for(self, host: Host) -> bool:
        """Encrypt its passwords with the present key of `host`; returns whether they were not. Does not save the row.

        Whoever moves a server to another host calls it, on the web. What no known key opens stays as it is.
        """
        # Equal passwords stay equal texts: by that, pages know that a running game has the present one.
        after: dict[str, str] = {}
        has_changed = False
        for name in ("sealed_rcon_password", "applied_sealed_rcon_password"):
            sealed = getattr(self, name)
            with contextlib.suppress(secrets.Unreadable):
                text = secrets.unseal(sealed)
                if text not in after:
                    after[text] = secrets.resealed(sealed, key_name=host.key_name)
                setattr(self, name, after[text])
                has_changed |= after[text] != sealed
        return has_changed

    @property
    def masker(self) -> Masker:
        """Masks the passwords of the running game and of the next start in what the game prints.

        Whoever may use the console makes it print them, and they are valid longer than a share.
        """
        found = Masker()
        for sealed in {self.sealed_rcon_password, self.applied_sealed_rcon_password}:
            # A password that cannot be decrypted cannot be in use.
            with contextlib.suppress(secrets.Unreadable):
                found.add([secrets.unseal(sealed)])
        return found

    @property
    def tag_list(self) -> list[str]:
        return self.tags.strip(",").split(",") if self.tags else []

    @tag_list.setter
    def tag_list(self, tags: Iterable[str]) -> None:
        unique = dict.fromkeys(" ".join(tag.replace(",", " ").lower().split()) for tag in tags)
        kept = [tag for tag in unique if tag]
        self.tags = f",{','.join(kept)}," if kept else ""

    @property
    def is_at_rest(self) -> bool:
        """Whether no game of it can be running, so that its port may change, whatever is wanted of it."""
        if self.actual_state == self.State.UNKNOWN:
            return self.started_at is None
        return self.actual_state in {self.State.STOPPED, self.State.GAVE_UP}

    @property
    def has_drifted(self) -> bool:
        """Whether the observed state contradicts the desired one."""
        wanted_running = self.desired_state == self.Desired.RUNNING
        return self.actual_state in (self.NOT_RUNNING if wanted_running else self.NOT_AT_REST)


class ServerShare(models.Model):
    """A share of a server with another user: `viewer` sees it, `operator` also runs it and uses its console."""

    class Role(models.TextChoices):
        VIEWER = "viewer", _("Viewer")
        OPERATOR = "operator", _("Operator")

    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="shares")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="shared_servers"
    )
    role = models.CharField(_("role"), max_length=16, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["user__username"]
        constraints = [
            models.UniqueConstraint(
                fields=["server", "user"],
                name="server_shared_once_per_user",
                violation_error_code="shared_already",
                violation_error_message=_("The server is already shared with this user."),
            ),
            models.CheckConstraint(condition=Q(role__in=["viewer", "operator"]), name="share_role_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.server_id}: {self.user_id} {self.role}"


class StateChange(models.Model):
    """An entry of a server's history: `state` was observed from `at` on. A crash keeps its last log lines, since logs
    rotate."""

    server = models.ForeignKey(Server, on_delete=models.CASCADE, db_index=False, related_name="state_changes")
    at = models.DateTimeField(_("since"))
    state = models.CharField(_("state"), max_length=16, choices=Server.State.choices)
    detail = models.TextField(_("detail"), blank=True)
    last_lines = models.JSONField(_("last log lines"), default=list, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["server", "-at"], name="state_change_by_server")]

    def __str__(self) -> str:
        return f"{self.server_id}: {self.state} since {self.at:%Y-%m-%d %H:%M:%S}"


class GameRun(models.Model):
    """A server's game from a start to the next one, through all restarts after crashes, with what it was started with.

    Of each server the newest run is kept, and the last one that ran well (`servers/state/good_runs.py`).
    """

    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="game_runs")
    started_at = models.DateTimeField()
    ended_well_at = models.DateTimeField(null=True)
    content: models.JSONField[dict[str, Any]] = models.JSONField()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.server_id}: {self.started_at:%Y-%m-%d %H:%M:%S}"

    def has_version(self, version: BlueprintVersion) -> bool:
        """Whether the game was started with this version of its blueprint, or a later one."""
        content = self.content
        return bool(content["blueprint_id"] == version.blueprint_id and content["blueprint_version"] >= version.number)
