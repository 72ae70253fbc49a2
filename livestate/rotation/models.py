"""Which campaigns a server plays one after the other, what comes next, and what its game tells of itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, Self

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from livestate.models import Order
from livestate.reconcile import LONGEST_MAP
from livestate.rotation.entries import Entry
from servers.models import Server
from servers.models.game_access import OfBlueprintOrServer

SHORTEST_WAIT, LONGEST_WAIT = 5, 300
MOST_ROUNDS = 20
MOST_NOTES = 8


class Rotation(OfBlueprintOrServer):
    """The campaigns and maps that servers play one after the other. A server's own replaces that of its blueprint."""

    class Sequence(models.TextChoices):
        LISTED = "listed", _("As listed")
        SHUFFLED = "shuffled", _("Shuffled")

    is_on = models.BooleanField(_("change to the next campaign by itself"), default=True)
    entries: models.JSONField[list[dict[str, str]]] = models.JSONField(default=list)
    sequence = models.CharField(_("order"), max_length=16, choices=Sequence.choices, default=Sequence.LISTED)
    repeats = models.BooleanField(_("begin again after the last one"), default=True)
    wait_seconds = models.PositiveSmallIntegerField(
        _("seconds until the change"),
        default=20,
        validators=[MinValueValidator(SHORTEST_WAIT), MaxValueValidator(LONGEST_WAIT)],
    )
    survival_rounds = models.PositiveSmallIntegerField(
        _("rounds of survival"), default=2, validators=[MinValueValidator(1), MaxValueValidator(MOST_ROUNDS)]
    )

    class Meta(OfBlueprintOrServer.Meta):
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *OfBlueprintOrServer.Meta.constraints,
            *(
                models.UniqueConstraint(fields=[place], name=f"rotation_once_per_{place}")
                for place in ("blueprint", "server")
            ),
        ]

    def __str__(self) -> str:
        return f"rotation of {self.server_id or self.blueprint_id}"

    @property
    def listed(self) -> list[Entry]:
        return [Entry.load(each) for each in self.entries]


class MapState(models.Model):
    """Where a server stands: its queue, its place in the rotation, and the change of the map that is announced.

    Every write names the `revision` that it read, so that of two workers who look at the same server one acts.
    """

    class Reason(models.TextChoices):
        FINISHED = "finished", "finished"  # the game told that the campaign ended
        LEFT = "left", "left"  # everybody left during its last map
        AGAIN = "again", "again"  # the game did not carry out the change

    server = models.OneToOneField(Server, on_delete=models.CASCADE, primary_key=True, related_name="map_state")
    revision = models.PositiveIntegerField(default=0)
    queue: models.JSONField[list[dict[str, str]]] = models.JSONField(default=list)
    # The entry of the rotation that is played or was played last, in the order that `seed` makes of it.
    position = models.IntegerField(default=-1)
    seed = models.PositiveIntegerField(default=0)
    # What a change led to last, as long as nothing else is known.
    playing: models.JSONField[dict[str, str] | None] = models.JSONField(null=True, blank=True)
    # What was seen of the present map.
    map = models.CharField(max_length=LONGEST_MAP, blank=True)
    was_played = models.BooleanField(default=False)
    rounds = models.PositiveSmallIntegerField(default=0)
    # The announced change.
    due_at = models.DateTimeField(null=True, blank=True)
    announced_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=16, choices=Reason.choices, blank=True)
    # The change that was ordered, until the game shows it.
    order = models.ForeignKey(Order, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    target: models.JSONField[dict[str, str] | None] = models.JSONField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    # Further ends of the same map count after this moment: the credits of a finale, and a change that was cancelled.
    quiet_until = models.DateTimeField(null=True, blank=True)
    # What happened last, the newest first: {"at", "code", "what"}.
    notes: models.JSONField[list[dict[str, Any]]] = models.JSONField(default=list)

    FIELDS: ClassVar[tuple[str, ...]] = (
        *("queue", "position", "seed", "map", "was_played", "rounds", "due_at", "announced_at", "reason"),
        *("playing", "order_id", "target", "attempts", "quiet_until", "notes"),
    )

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="announced_map_changes")]

    def __str__(self) -> str:
        return f"server {self.server_id}: {self.map}"

    @property
    def queued(self) -> list[Entry]:
        return [Entry.load(each) for each in self.queue]


class GameEventQuerySet(models.QuerySet["GameEvent"]):
    def votes(self) -> Self:
        return self.filter(name__startswith="vote_")


class GameEvent(models.Model):
    """Something that the game told through the script that every start lays (`events.nut`)."""

    # The web looks at an event within seconds. One that is older has no effect any more.
    FRESH = timedelta(seconds=90)

    server = models.ForeignKey(Server, on_delete=models.CASCADE, db_index=False, related_name="game_events")
    key = models.CharField(max_length=32)
    name = models.CharField(max_length=40)
    map = models.CharField(max_length=LONGEST_MAP, blank=True)
    mode = models.CharField(max_length=32, blank=True)
    details: models.JSONField[list[str]] = models.JSONField(default=list)
    at = models.DateTimeField()
    is_handled = models.BooleanField(default=False)

    objects = GameEventQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["server", "key"], name="game_event_once")]
        indexes = [
            models.Index(fields=["server", "at"], name="game_event_by_server_and_time"),
            models.Index(fields=["server"], condition=Q(is_handled=False), name="game_event_to_handle"),
        ]

    def __str__(self) -> str:
        return f"server {self.server_id}: {self.name}"
