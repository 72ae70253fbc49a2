"""API tokens."""

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
# Precision of "last used": at most one write per interval, not one per request.
USED_EVERY = timedelta(minutes=5)


class Scope(models.TextChoices):
    READ = "read", _("Read: view everything you can access")
    OPERATE = "operate", _("Operate: also start, stop and change what you manage")
    ADMIN = "admin", _("Admin: full access")


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def usable(self, now: datetime) -> Self:
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), user__is_active=True)


class ApiToken(models.Model):
    """An API key that acts on behalf of its user, limited by its scope. Only its digest is stored."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(_("name"), max_length=64)
    scope = models.CharField(_("scope"), max_length=16, choices=Scope, default=Scope.READ)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(_("starts with"), max_length=12, editable=False)
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
        """Set a new key and return it. It is not stored and cannot be shown again."""
        raw = secrets.new(PREFIX)
        self.digest, self.hint = secrets.digest(raw), raw[: len(PREFIX) + 4]
        return raw

    def was_used(self, now: datetime) -> bool:
        """Record the use, at most once in USED_EVERY. Return True for the first use within an hour."""
        before = self.last_used_at
        if before is not None and before > now - USED_EVERY:
            return False
        # The condition makes exactly one of several simultaneous requests succeed.
        unchanged = ApiToken.objects.filter(pk=self.pk).filter(last_used_at=before)
        if before is None:
            unchanged = ApiToken.objects.filter(pk=self.pk, last_used_at__isnull=True)
        self.last_used_at = now
        won = unchanged.update(last_used_at=now) == 1
        return won and (before is None or _hour(before) != _hour(now))


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
