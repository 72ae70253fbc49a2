"""Links that work once: invitations, and passwords set anew."""

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
        """Use the link up; return False if somebody else did, or it expired meanwhile."""
        return self.usable(now).update(used_at=now) == 1


class OneTimeLink(models.Model):
    """Whoever holds the link may use it once, before it expires. Only a digest of it is kept."""

    purpose = models.CharField(max_length=16, choices=Purpose)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    note = models.CharField(_("for whom"), max_length=64, blank=True)
    # An invitation gets its user when it is used, a password link has one from the start.
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
