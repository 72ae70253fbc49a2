"""The audit log: append-only rows of who did what, when, and to what.

The model refuses changes made by mistake in code; database triggers (see migration 0003) refuse all others. Only
entries older than KEPT can be deleted.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Never, Self

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

KEPT = timedelta(days=365)


class OnlyAdded(Exception):
    """An attempt to change or delete an audit entry."""


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    def by(self, name: str) -> Self:
        return self.filter(actor__icontains=name)

    def of_action(self, action: str) -> Self:
        """Entries of one action, or of a group of actions: `session` matches `session.start` and `session.refused`."""
        return self.filter(models.Q(action=action) | models.Q(action__startswith=f"{action}."))

    def outdated(self, now: datetime) -> Self:
        return self.filter(created_at__lt=now - KEPT)

    def prune(self, now: datetime) -> int:
        """Delete entries older than KEPT. Return how many were deleted."""
        outdated = self.outdated(now)
        return int(outdated._raw_delete(outdated.db))

    def update(self, **fields: Any) -> Never:
        raise OnlyAdded("Audit entries are only added, never changed.")

    def delete(self) -> Never:
        raise OnlyAdded("Audit entries are only added, never removed.")


class AuditEntry(models.Model):
    """One action of a user. The username is stored too, so that the entry outlives the account."""

    created_at = models.DateTimeField(_("when"), default=timezone.now, db_index=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    actor = models.CharField(_("user"), max_length=64)
    action = models.CharField(_("action"), max_length=64, db_index=True)
    target = models.CharField(_("target"), max_length=128, blank=True)
    address = models.GenericIPAddressField(_("address"), null=True, blank=True)
    details = models.JSONField(default=dict, blank=True)

    objects = AuditEntryQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name_plural = _("audit log entries")

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.target}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise OnlyAdded("Audit entries are only added, never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise OnlyAdded("Audit entries are only added, never removed.")
