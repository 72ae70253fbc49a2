"""Live state and history of servers, run-length encoded: a row covers the time during which nothing in it changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.validators import MaxLengthValidator
from django.db import models
from django.db.models import F, OuterRef, Q, Subquery
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from left4me.core.redis import signals
from left4me.core.statements import Numbers
from livestate.reconcile import LONGEST_MAP, LONGEST_NAME, SnapshotState
from servers.models import Host, Server

ORDER_WAITS = timedelta(seconds=20)
ORDER_RUNS = timedelta(seconds=60)
LONGEST_NOTE = 2_000
# When somebody who is online was seen last: later than everybody else, for an index as well.
ONLINE = datetime(9999, 1, 1, tzinfo=UTC)


class SnapshotQuerySet(models.QuerySet["Snapshot"]):
    def latest_of(self, server_ids: list[int] | Numbers) -> Self:
        """The newest row of each of these servers."""
        # Rows of a server are inserted in order of time, so among equal times the highest key is the newest.
        newest = Server.objects.filter(pk__in=server_ids).annotate(
            newest=Subquery(
                Snapshot.objects.filter(server=OuterRef("pk")).order_by("-started_at", "-pk").values("pk")[:1]
            )
        )
        return self.filter(pk__in=newest.values("newest"))

    def during(self, start: datetime, end: datetime) -> Self:
        return self.filter(started_at__lt=end, last_seen_at__gte=start)


class Snapshot(models.Model):
    """The state that every poll of a server found from `started_at` to `last_seen_at`."""

    server = models.ForeignKey(Server, on_delete=models.CASCADE, db_index=False, related_name="snapshots")
    started_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    players = models.PositiveIntegerField()
    max_players = models.PositiveIntegerField()
    bots = models.PositiveIntegerField()
    map = models.CharField(max_length=LONGEST_MAP, blank=True)
    hibernating = models.BooleanField()
    # [name, Steam id or null] of each player who is still loading; they are counted in `players`.
    connecting = models.JSONField(default=list)

    objects = SnapshotQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(last_seen_at__gte=F("started_at")), name="snapshot_ends_after_it_begins"
            ),
        ]
        # `last_seen_at` is not indexed: every poll updates it, and would update the index too.
        indexes = [models.Index(fields=["server", "started_at"], name="snapshot_by_server_and_time")]

    def __str__(self) -> str:
        return f"server {self.server_id}: {self.players}/{self.max_players} {self.map}"

    @property
    def state(self) -> SnapshotState:
        connecting = tuple((name, steam_id) for name, steam_id in self.connecting)
        return SnapshotState(self.players, self.max_players, self.bots, self.map, self.hibernating, connecting)


class PlayerSessionQuerySet(models.QuerySet["PlayerSession"]):
    def open(self) -> Self:
        return self.filter(left_at=None)

    def during(self, start: datetime, end: datetime) -> Self:
        return self.filter(Q(left_at=None) | Q(left_at__gte=start), joined_at__lt=end)


class PlayerSession(models.Model):
    """A visit of one account to one server, from joining to leaving; open (without `left_at`) while it lasts."""

    server = models.ForeignKey(Server, on_delete=models.CASCADE, db_index=False, related_name="sessions")
    steam_id_64 = models.BigIntegerField()
    joined_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True, blank=True)
    name_at_join = models.CharField(max_length=LONGEST_NAME, blank=True)
    min_ping = models.PositiveIntegerField(null=True, blank=True)
    max_ping = models.PositiveIntegerField(null=True, blank=True)

    objects = PlayerSessionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["server", "steam_id_64"], condition=Q(left_at=None), name="one_open_session_per_player"
            ),
            models.CheckConstraint(
                condition=Q(left_at=None) | Q(left_at__gte=F("joined_at")), name="session_ends_after_it_begins"
            ),
        ]
        indexes = [
            models.Index(fields=["server", "joined_at"], name="session_by_server_and_time"),
            models.Index(fields=["steam_id_64", "joined_at"], name="session_by_player_and_time"),
            # Who is on a server, and who left it last; the sessions of all servers that ended lately or long ago.
            models.Index(fields=["server", "left_at", "joined_at"], name="session_by_server_and_end"),
            models.Index(fields=["left_at"], name="session_by_end"),
        ]

    def __str__(self) -> str:
        return f"server {self.server_id}: {self.steam_id_64}"

    @property
    def stayed(self) -> timedelta | None:
        """The duration; None for an open session."""
        return self.left_at - self.joined_at if self.left_at else None


class ServerPlayer(models.Model):
    """What all visits of one account to one server add up to, by which players are listed and found.

    `livestate/totals.py` writes it with the visits.
    """

    server = models.ForeignKey(Server, on_delete=models.CASCADE, db_index=False, related_name="seen_players")
    steam_id_64 = models.BigIntegerField()
    visits = models.PositiveIntegerField()
    milliseconds = models.BigIntegerField()  # of the visits that have ended
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()  # `ONLINE` during a visit
    online_since = models.DateTimeField(null=True, blank=True)
    name = models.CharField(max_length=LONGEST_NAME, blank=True)  # of the latest visit
    names = models.TextField(blank=True)  # of all visits, one a line

    class Meta:
        constraints = [models.UniqueConstraint(fields=["steam_id_64", "server"], name="one_row_per_player_of_server")]
        indexes = [models.Index(fields=["server", "last_seen_at", "steam_id_64"], name="player_of_server_by_time")]

    def __str__(self) -> str:
        return f"server {self.server_id}: {self.steam_id_64} × {self.visits}"


class SteamProfile(models.Model):
    """Name and picture of a Steam account, cached for a day. Accounts unknown to Steam are cached as `MISSING`."""

    class Kind(models.TextChoices):
        PUBLIC = "public", _("public")
        PRIVATE = "private", _("private")
        MISSING = "missing", _("unknown to Steam")

    steam_id_64 = models.BigIntegerField(primary_key=True)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.PUBLIC)
    persona_name = models.CharField(max_length=LONGEST_NAME, blank=True)
    avatar_url = models.CharField(max_length=200, blank=True)
    fetched_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["public", "private", "missing"]), name="profile_kind_is_known"
            ),
        ]

    def __str__(self) -> str:
        return self.persona_name or str(self.steam_id_64)


class PlayerNoteQuerySet(models.QuerySet["PlayerNote"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Notes of one's own servers, and of the owners of servers that one operates; for admins all."""
        if getattr(user, "is_admin", False):
            return self
        owners = Server.objects.operated_by(user).values("owner")
        return self.filter(Q(owner_id=user.pk) | Q(owner__in=owners))


class PlayerNote(models.Model):
    """What somebody wrote about a player, for the owner of the servers and those who operate one of them."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="player_notes")
    steam_id_64 = models.BigIntegerField()
    text = models.TextField(_("note"), max_length=LONGEST_NOTE, validators=[MaxLengthValidator(LONGEST_NOTE)])
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(null=True, blank=True)

    objects = PlayerNoteQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [models.Index(fields=["steam_id_64", "owner"], name="note_by_player_and_owner")]

    def __str__(self) -> str:
        return f"{self.steam_id_64}: {self.text[:60]}"

    @property
    def resource(self) -> str:
        return f"note:{self.pk}"


class Silence(models.Model):
    """A running server that does not answer polls: since when, how many polls, and why. Deleted when it answers."""

    server = models.OneToOneField(Server, on_delete=models.CASCADE, primary_key=True, related_name="silence")
    since = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.PositiveIntegerField()
    reason = models.CharField(max_length=16)
    message = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"server {self.server_id}: {self.reason} × {self.count}"


class OrderQuerySet(models.QuerySet["Order"]):
    def commands(self) -> Self:
        return self.filter(kind=Order.Kind.COMMAND)

    def unclaimed(self, now: datetime) -> Self:
        """Queued orders that are still recent enough to be sent: a kick must not come minutes late."""
        return self.filter(state=Order.State.QUEUED, created_at__gte=now - ORDER_WAITS)


class Order(models.Model):
    """An order to a running game: a console command, or an action whose effect is verified afterwards."""

    class Kind(models.TextChoices):
        COMMAND = "command", _("Command")
        SAY = "say", _("Say")
        KICK = "kick", _("Kick")
        BAN = "ban", _("Ban")  # of earlier releases, until their rows are old enough to be deleted
        MAP = "map", _("Change map")
        DIFFICULTY = "difficulty", _("Difficulty")
        MODE = "mode", _("Game mode")
        LOAD_PLUGIN = "load_plugin", _("Load plugin")
        UNLOAD_PLUGIN = "unload_plugin", _("Unload plugin")
        RELOAD_PLUGIN = "reload_plugin", _("Reload plugin")

    class State(models.TextChoices):
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("In progress")
        DONE = "done", _("Succeeded")
        UNCERTAIN = "uncertain", _("No reply")
        FAILED = "failed", _("Failed")

    server = models.ForeignKey(Server, on_delete=models.CASCADE, db_index=False, related_name="orders")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    # The text of a command; for other kinds the argument (a Steam id, a map, a text).
    value = models.CharField(max_length=1000)
    minutes = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    output = models.TextField(blank=True)
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = OrderQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running", "done", "uncertain", "failed"]),
                name="order_state_is_known",
            ),
        ]
        indexes = [models.Index(fields=["server", "-created_at"], name="order_by_server_and_time")]

    def __str__(self) -> str:
        return f"server {self.server_id}: {self.kind} {self.value}"

    def announce(self) -> None:
        """Tell open pages that the order changed."""
        signals.send_after_commit(f"{signals.ORDER}:{self.server_id}")

    def state_at(self, now: datetime) -> str:
        """The effective state: an order whose message or worker was lost becomes failed or uncertain after a time."""
        if self.state == self.State.QUEUED and now - self.created_at > ORDER_WAITS:
            return self.State.FAILED
        if self.state == self.State.RUNNING and now - self.created_at > ORDER_WAITS + ORDER_RUNS:
            return self.State.UNCERTAIN
        return self.state


class Sweep(models.Model):
    """The latest sweep of a host. `writer` is the process that made it; the cache of any other process is stale."""

    host = models.OneToOneField(Host, on_delete=models.CASCADE, primary_key=True, related_name="sweep")
    writer = models.UUIDField()
    started_at = models.DateTimeField()
    seconds = models.FloatField(default=0)
    answered = models.PositiveIntegerField(default=0)
    silent = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.host_id}: {self.answered} answered, {self.silent} silent"


def last_seen(server_ids: list[int]) -> dict[int, datetime]:
    """When each of these servers last answered; servers that never answered are missing."""
    return dict(Snapshot.objects.latest_of(server_ids).values_list("server_id", "last_seen_at"))


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured quantity. It is stored as a whole number of quanta; `unit` is what one of its values counts."""

    name: str
    unit: str
    quantum: float
    # Players of a step are the most that were seen at once; everything else is the mean of what was measured.
    is_peak: bool = False

    def stored(self, value: float) -> int:
        return round(value / self.quantum)

    def shown(self, quanta: float) -> float:
        return round(quanta * self.quantum, 4)


MIB = 1 << 20


class FigureBlock(models.Model):
    """The figures of one server or host over a block of time, one encoded column for each figure.

    `start` is the first step's time; `step` is the length of each in seconds. Fine blocks cover an hour, and hold the
    value of each step. Coarse blocks cover a day (UTC): of each figure the means of all steps, then the highest
    values. `livestate/figures/columns.py` describes the columns.
    """

    FINE, COARSE = 10, 300
    LENGTH: ClassVar[dict[int, timedelta]] = {FINE: timedelta(hours=1), COARSE: timedelta(days=1)}
    FIGURES: ClassVar[tuple[Figure, ...]] = ()

    step = models.PositiveSmallIntegerField(choices=[(FINE, "10 s"), (COARSE, "5 min")])
    start = models.DateTimeField()

    class Meta:
        abstract = True


class ServerFigures(FigureBlock):
    FIGURES = (
        Figure("players", "players", 0.1, is_peak=True),
        Figure("cpu", "percent", 0.5),  # of one core
        Figure("memory", "bytes", MIB),
        Figure("ping", "seconds", 0.0005),  # the time that the game took to answer a poll
        Figure("disk", "bytes", MIB),  # of its writable layer
    )

    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="figures")
    players = models.BinaryField(default=b"")
    cpu = models.BinaryField(default=b"")
    memory = models.BinaryField(default=b"")
    ping = models.BinaryField(default=b"")
    disk = models.BinaryField(default=b"")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["step", "start", "server"], name="one_block_of_figures_per_server")
        ]

    def __str__(self) -> str:
        return f"server {self.server_id}: {self.step} s from {self.start:%Y-%m-%d %H:%M}"


class HostFigures(FigureBlock):
    FIGURES = (
        Figure("cpu", "percent", 0.5),  # of the whole machine
        Figure("memory", "bytes", 4 * MIB),  # that is not available
        Figure("disk", "bytes", 64 * MIB),  # in use, of the disk of LEFT4ME_ROOT
        Figure("received", "bytes_per_second", 1024),
        Figure("sent", "bytes_per_second", 1024),
    )

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="figures")
    cpu = models.BinaryField(default=b"")
    memory = models.BinaryField(default=b"")
    disk = models.BinaryField(default=b"")
    received = models.BinaryField(default=b"")
    sent = models.BinaryField(default=b"")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["step", "start", "host"], name="one_block_of_figures_per_host")]

    def __str__(self) -> str:
        return f"{self.host_id}: {self.step} s from {self.start:%Y-%m-%d %H:%M}"
