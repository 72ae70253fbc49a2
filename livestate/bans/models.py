"""Lists of bans, the servers that they apply to, and what each game was last seen to have of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.validators import URLValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from left4me.core import names
from livestate.bans import targets
from livestate.reconcile import LONGEST_NAME
from servers.models import Server

LONGEST_REASON = 300
# How long a ban stays listed after its end.
ENDED_KEPT = timedelta(days=365)


class BanListQuerySet(models.QuerySet["BanList"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Lists that concern the user, and those that others share; for admins all."""
        return self.filter(Q(is_shared=True) | Q(pk__in=BanList.objects.concerning(user).values("pk")))

    def concerning(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Lists of one's own, those that apply to servers which one operates, and all of their owners; for admins all.

        Lists that others share are among them only when one of these servers subscribes to them.
        """
        if getattr(user, "is_admin", False):
            return self
        operated = Server.objects.operated_by(user)
        owners = operated.values("owner")
        own = Q(owner_id=user.pk) | Q(server__in=operated.values("pk")) | Q(server=None, owner__in=owners)
        subscriptions = Subscription.objects.filter(
            Q(user_id=user.pk) | Q(server__in=operated.values("pk")) | Q(server=None, user__in=owners)
        )
        return self.filter(own | Q(is_shared=True, pk__in=subscriptions.values("ban_list")))

    def editable_by(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """The lists to which the user may add bans."""
        if getattr(user, "is_admin", False):
            return self
        return self.filter(Q(owner_id=user.pk) | Q(server__in=Server.objects.operated_by(user).values("pk")))


class BanList(models.Model):
    """Bans that apply to one server, or to all servers of the owner, and to those of its subscribers."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("owner"), on_delete=models.CASCADE, related_name="ban_lists"
    )
    # Empty for the default list of an owner and for a server's own: they are called after what they apply to.
    name = models.CharField(_("name"), max_length=names.LONGEST, blank=True, validators=[names.is_plain])
    server = models.OneToOneField(Server, null=True, blank=True, on_delete=models.CASCADE, related_name="ban_list")
    is_default = models.BooleanField(default=False)
    is_shared = models.BooleanField(_("shared"), default=False)
    # Incremented by every change of its bans, so that games are asked only when there is something to apply.
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = BanListQuerySet.as_manager()

    class Meta:
        ordering = ["-is_default", "name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["owner"], condition=Q(is_default=True), name="one_default_ban_list"),
            models.CheckConstraint(condition=Q(server=None) | Q(is_default=False), name="default_ban_list_is_general"),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("bans:list_detail", args=[self.pk])

    @property
    def title(self) -> str:
        if self.server is not None:
            return self.server.name
        return self.name or gettext("All servers of %(owner)s") % {"owner": self.owner}

    @property
    def resource(self) -> str:
        return f"ban_list:{self.pk}"


class Subscription(models.Model):
    """A shared list that applies to all servers of a user as well, or to `server` alone."""

    ban_list = models.ForeignKey(BanList, on_delete=models.CASCADE, related_name="subscriptions")
    # The owner of the servers.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="ban_subscriptions")
    server = models.ForeignKey(
        Server, null=True, blank=True, on_delete=models.CASCADE, related_name="ban_subscriptions"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["ban_list", "user"], condition=Q(server=None), name="ban_list_subscribed_once"
            ),
            models.UniqueConstraint(fields=["ban_list", "server"], name="ban_list_subscribed_once_by_server"),
        ]

    def __str__(self) -> str:
        return f"{self.server or self.user_id}: {self.ban_list_id}"


class BanQuerySet(models.QuerySet["Ban"]):
    def active(self, now: datetime) -> Self:
        return self.filter(Q(ended_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now)))

    def close_expired(self, now: datetime) -> None:
        """Mark what has expired as ended, so that its targets can be banned again on the same list."""
        self.filter(ended_at=None, expires_at__lte=now).update(ended_at=F("expires_at"))

    def ended_before(self, moment: datetime) -> Self:
        return self.filter(Q(ended_at__lt=moment) | Q(ended_at=None, expires_at__lt=moment))

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        if getattr(user, "is_admin", False):
            # Without a condition, those of the first page are read in the order of an index.
            return self
        return self.filter(ban_list__in=BanList.objects.visible_to(user))

    def for_pages(self) -> Self:
        return self.select_related("ban_list__owner", "ban_list__server", "created_by", "ended_by")


class Ban(models.Model):
    """One ban on one list. It ends when it expires or is lifted; the row stays for ENDED_KEPT."""

    class State(models.TextChoices):
        ACTIVE = "active", _("Active")
        EXPIRED = "expired", _("Expired")
        LIFTED = "lifted", _("Lifted")

    ban_list = models.ForeignKey(BanList, on_delete=models.CASCADE, related_name="bans")
    # A SteamID64, an address or a network, in the form of `targets.parse`.
    target = models.CharField(_("player or address"), max_length=targets.LONGEST, db_index=True)
    # The player's name at the time of the ban.
    name = models.CharField(_("name"), max_length=LONGEST_NAME, blank=True)
    reason = models.CharField(_("reason"), max_length=LONGEST_REASON, blank=True)
    evidence = models.CharField(
        _("evidence"), max_length=500, blank=True, validators=[URLValidator(schemes=["http", "https"])]
    )
    created_at = models.DateTimeField(default=timezone.now)
    # None for a ban that was found in a game.
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    expires_at = models.DateTimeField(_("ends"), null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = BanQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [models.Index(fields=["-created_at", "-id"], name="ban_by_time")]
        constraints = [
            models.UniqueConstraint(
                fields=["ban_list", "target"], condition=Q(ended_at=None), name="one_open_ban_per_list_and_target"
            ),
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(expires_at__gt=F("created_at")), name="ban_expires_after_it_begins"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.target})" if self.name else self.target

    def get_absolute_url(self) -> str:
        return reverse("bans:detail", args=[self.pk])

    @property
    def state(self) -> Ban.State:
        if self.ended_at is not None:
            is_early = self.expires_at is None or self.ended_at < self.expires_at
            return self.State.LIFTED if is_early else self.State.EXPIRED
        return self.State.EXPIRED if self.expires_at and self.expires_at <= timezone.now() else self.State.ACTIVE

    @property
    def is_active(self) -> bool:
        return self.state == self.State.ACTIVE

    @property
    def steam_id_64(self) -> int | None:
        return int(self.target) if targets.is_player(self.target) else None

    @property
    def minutes(self) -> int:
        """Its length; 0 for a permanent ban."""
        return round((self.expires_at - self.created_at).total_seconds() / 60) if self.expires_at else 0


class AppliedBans(models.Model):
    """What the game of a server was last seen to have of its bans. The workers of the host write it."""

    server = models.OneToOneField(Server, on_delete=models.CASCADE, primary_key=True, related_name="applied_bans")
    # The versions of the lists that were applied, and the start of the game that they were applied to.
    signature = models.TextField(blank=True)
    game_started_at = models.DateTimeField(null=True)
    # Of each target that left4me has banned there, the end of the ban; null for a permanent one.
    targets = models.JSONField(default=dict)
    # Why a target is not in the game's list, or is still there, by target.
    problems = models.JSONField(default=dict)
    # Why the game could not be asked.
    error = models.CharField(max_length=300, blank=True)
    failures = models.PositiveIntegerField(default=0)
    checked_at = models.DateTimeField(null=True)
    # When the game is asked again even if no list changes: a ban expires, a failure is tried again, or to compare.
    due_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"server {self.server_id}: {len(self.targets)} bans"
