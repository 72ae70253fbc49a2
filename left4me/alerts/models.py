"""Alert channels of users, incidents, and the deliveries of alerts.

A delivery is stored in the transaction that records the observation, so neither exists without the other. A worker
sends it later and retries until it succeeds or is too old.
"""

from __future__ import annotations

from datetime import datetime
from typing import Self
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from left4me.alerts.events import CHATTER, CHATTER_WAITS, Event
from left4me.core import names, secrets


class ChannelQuerySet(models.QuerySet["Channel"]):
    def enabled(self) -> Self:
        """Channels that are switched on and whose user is active."""
        return self.filter(is_enabled=True, user__is_active=True)

    def due(self, now: datetime) -> Self:
        """Channels with deliveries that may be sent now: those without failures first, then the longest waiting."""
        # From the waiting deliveries, which are few, to their channels.
        waiting = Delivery.objects.waiting()
        ripe = waiting.exclude(event__in=CHATTER, created_at__gt=now - CHATTER_WAITS)
        may_be_told = Q(sealed_code="", pk__in=ripe.values("channel"))
        may_be_told |= Q(pk__in=waiting.filter(event=Event.CONFIRM).values("channel"))
        free = Q(not_before=None) | Q(not_before__lte=now)
        unclaimed = Q(claimed_until=None) | Q(claimed_until__lt=now)
        return self.enabled().filter(free, unclaimed, may_be_told).order_by("failures", "not_before", "pk")


class Channel(models.Model):
    """A webhook or mailbox to which alerts of a user are sent."""

    class Kind(models.TextChoices):
        DISCORD = "discord", _("Discord webhook")
        WEBHOOK = "webhook", _("Webhook (JSON)")
        EMAIL = "email", _("E-mail")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="alert_channels"
    )
    name = models.CharField(_("name"), max_length=names.LONGEST, validators=[names.is_plain])
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices, default=Kind.DISCORD)
    # Encrypted: anyone with a webhook's address can post to it. The property `address` decrypts it.
    sealed_address = models.TextField(editable=False, default="")
    # The encrypted confirmation code of a mailbox; empty once it is confirmed, and for webhooks.
    sealed_code = models.TextField(editable=False, default="")
    events = models.JSONField(_("events"), default=list)
    everything = models.BooleanField(
        _("servers and jobs of all users"),
        default=False,
        help_text=_("For admins: include servers and jobs of other users."),
    )
    is_enabled = models.BooleanField(_("on"), default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    # The state of sending: the latest result, and when the next message may be sent.
    last_delivered_at = models.DateTimeField(_("last sent"), null=True, blank=True, editable=False)
    last_error = models.CharField(_("last error"), max_length=300, blank=True, editable=False)
    last_error_at = models.DateTimeField(null=True, blank=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)
    not_before = models.DateTimeField(null=True, blank=True, editable=False)
    claimed_until = models.DateTimeField(null=True, blank=True, editable=False)
    # Messages since `hour_began_at`: busy channels get fewer, larger messages.
    hour_began_at = models.DateTimeField(null=True, blank=True, editable=False)
    messages_this_hour = models.PositiveIntegerField(default=0, editable=False)

    objects = ChannelQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "name"],
                name="alert_channel_name_unique_per_user",
                violation_error_code="name_taken",
                violation_error_message=_("You already have a channel with this name. Choose another name."),
            ),
            models.CheckConstraint(condition=Q(kind__in=["discord", "webhook", "email"]), name="alert_kind_is_known"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def address(self) -> str:
        """The decrypted address. Raises secrets.Unreadable if it was encrypted with another key."""
        return secrets.unseal(self.sealed_address)

    @address.setter
    def address(self, value: str) -> None:
        self.sealed_address = secrets.seal(value)

    @property
    def is_confirmed(self) -> bool:
        return not self.sealed_code

    def waiting(self) -> DeliveryQuerySet:
        """The deliveries that may be sent now, oldest first. Before confirmation, that is only the code."""
        rows = Delivery.objects.waiting().filter(channel=self).order_by("pk")
        return rows if self.is_confirmed else rows.filter(event=Event.CONFIRM)

    @property
    def event_labels(self) -> list[str]:
        """The labels of its events."""
        return [str(Event(name).label) for name in self.events if name in Event.values]

    @property
    def masked_address(self) -> str:
        """The part of the address that may be shown: enough to recognise it, too little to use it."""
        try:
            return mask(self.address)
        except secrets.Unreadable:
            return ""


def mask(address: str) -> str:
    """`https://discord.com/…x7Qz`, `a…@example.org`."""
    if "://" not in address:
        name, _at, domain = address.partition("@")
        return f"{name[:1]}…@{domain}"
    parts = urlsplit(address)
    where = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    secret = f"{parts.path}{parts.query}".strip("/")
    return f"{where}/…{secret[-4:] if len(secret) >= 16 else ''}" if secret else where


class Incident(models.Model):
    """A problem of one resource, from its first report until it is closed. It is alerted once."""

    key = models.CharField(max_length=255)
    subject = models.CharField(max_length=96)
    # The events that were alerted; emptied when a round ends.
    told = models.JSONField(default=list)
    opened_at = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.PositiveIntegerField(default=0)
    well_since = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    # The alert that announces the recovery.
    recovered_event = models.CharField(max_length=32, blank=True)
    recovered_title = models.CharField(max_length=200, blank=True)
    path = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=Q(closed_at=None), name="one_open_incident_per_key"),
        ]
        indexes = [
            models.Index(fields=["well_since"], condition=Q(closed_at=None), name="incident_open_and_well"),
            models.Index(fields=["closed_at"], name="incident_by_end"),
        ]

    def __str__(self) -> str:
        return self.key


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def waiting(self) -> Self:
        return self.filter(state=Delivery.State.WAITING)


class Delivery(models.Model):
    """An alert for one channel."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Queued")
        SENT = "sent", _("Sent")
        DROPPED = "dropped", _("Not sent")

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    incident = models.ForeignKey(Incident, null=True, on_delete=models.SET_NULL, related_name="deliveries")
    event = models.CharField(max_length=32, choices=Event.choices)
    subject = models.CharField(max_length=96, blank=True)
    title = models.CharField(max_length=200)
    text = models.CharField(max_length=1000, blank=True)
    path = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = _("deliveries")
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "sent", "dropped"]), name="alert_delivery_state_is_known"
            ),
        ]
        indexes = [
            # Not only of those that wait: without statistics, SQLite prefers any other index to such a one.
            models.Index(fields=["state", "channel", "id"], name="alert_in_state"),
            models.Index(fields=["channel", "-id"], name="alert_of_channel"),
            models.Index(fields=["created_at"], name="alert_by_age"),
        ]

    def __str__(self) -> str:
        return self.title


class BellMark(models.Model):
    """What a user has seen in the bell: everything until `seen_at`, and these reasons for attention."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="bell_mark"
    )
    seen_at = models.DateTimeField()
    # The keys of the reasons that were shown; one that comes back later is new again.
    reasons = models.JSONField(default=list, blank=True)

    def __str__(self) -> str:
        return f"{self.user_id}"
