"""Keys of the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import secrets

PREFIX = "l4m_"
# How exact "last used" is: one write in this time, not one with each request.
USED_EVERY = timedelta(minutes=5)


class Scope(models.TextChoices):
    READ = "read", _("read: look at everything you may see")
    OPERATE = "operate", _("operate: also start, stop and change what is yours")
    ADMIN = "admin", _("admin: all that you may do yourself")


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def usable(self, now: datetime) -> Self:
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), user__is_active=True)


class ApiToken(models.Model):
    """A key that acts as its user, within its scope. Only a digest of it is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(_("name"), max_length=64)
    scope = models.CharField(_("scope"), max_length=16, choices=Scope, default=Scope.READ)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(_("begins with"), max_length=12, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [models.CheckConstraint(condition=Q(scope__in=Scope.values), name="token_scope_is_known")]

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}…)"

    def set_secret(self) -> str:
        """Give this token a fresh key and return it: the only time it can be seen."""
        raw = secrets.new(PREFIX)
        self.digest, self.hint = secrets.digest(raw), raw[: len(PREFIX) + 4]
        return raw

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def was_used(self, now: datetime) -> bool:
        """Note the use, at most once in USED_EVERY; return whether this is the first of its hour."""
        before = self.last_used_at
        if before is not None and before > now - USED_EVERY:
            return False
        # The condition lets one of several simultaneous requests win.
        unchanged = ApiToken.objects.filter(pk=self.pk).filter(last_used_at=before)
        if before is None:
            unchanged = ApiToken.objects.filter(pk=self.pk, last_used_at__isnull=True)
        self.last_used_at = now
        won = unchanged.update(last_used_at=now) == 1
        return won and (before is None or _hour(before) != _hour(now))


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
