"""One-time links: invitations and password resets."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Purpose(models.TextChoices):
    INVITATION = "invitation", _("invitation")
    PASSWORD = "password", _("new password")


class OneTimeLinkQuerySet(models.QuerySet["OneTimeLink"]):
    def usable(self, now: datetime) -> Self:
        return self.filter(used_at__isnull=True, expires_at__gt=now)

    def invitations(self) -> Self:
        return self.filter(purpose=Purpose.INVITATION)

    def claim(self, now: datetime) -> bool:
        """Mark the link as used. Return False if it was used before or has expired."""
        return self.usable(now).update(used_at=now) == 1


class OneTimeLink(models.Model):
    """A link that works once, before it expires, for anyone who has it. Only its digest is stored."""

    purpose = models.CharField(max_length=16, choices=Purpose)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    note = models.CharField(_("note"), max_length=64, blank=True)
    # For an invitation, the user who signed up with it; null until then.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="links")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"))
    used_at = models.DateTimeField(null=True, editable=False)

    objects = OneTimeLinkQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(purpose=Purpose.INVITATION) | Q(purpose=Purpose.PASSWORD, user__isnull=False),
                name="link_has_its_purpose",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_purpose_display()} {self.note}".strip()
