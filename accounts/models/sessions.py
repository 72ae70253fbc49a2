"""Sessions: the browsers in which a user is signed in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts import browsers
from left4me.core.statements import Given

# Precision of "last seen": at most one write per interval, not one per request.
SEEN_EVERY = timedelta(minutes=5)


class SessionQuerySet(models.QuerySet["Session"]):
    def live(self, now: datetime | Given) -> Self:
        return self.filter(expires_at__gt=now)

    def expired(self, now: datetime) -> Self:
        return self.filter(expires_at__lte=now)


class Session(models.Model):
    """A browser session. Only the digest of its key is stored, so a copy of the database lets nobody sign in."""

    digest = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="sessions")
    data = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering = ["-last_seen_at"]

    def __str__(self) -> str:
        return f"session of {self.user_id or 'nobody'}"

    @property
    def device(self) -> str:
        return browsers.name_of(self.user_agent)

    def was_seen(self, *, address: str, now: datetime) -> None:
        """Record the visit, at most once in SEEN_EVERY."""
        if self.last_seen_at <= now - SEEN_EVERY:
            self.last_seen_at, self.address = now, address or None
            Session.objects.filter(pk=self.pk).update(last_seen_at=now, address=address or None)
