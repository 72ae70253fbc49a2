"""What hosts beside the web's own prove themselves with when they fetch the content of overlays."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from servers.models.hosts import Host

PREFIX = "l4h_"
# How exact "last used" is: one write in this time, not one with each request.
_USED_EVERY = timedelta(minutes=5)


class HostToken(models.Model):
    """The one token of a host, of which only a digest is kept. It opens overlays' content and nothing else.

    In a table of its own, so that the database can keep it from the hosts themselves.
    """

    host = models.OneToOneField(Host, on_delete=models.CASCADE, primary_key=True, related_name="token")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    def __str__(self) -> str:
        return f"{self.host_id}"

    def was_used(self, now: datetime) -> None:
        unused_for_long = Q(last_used_at=None) | Q(last_used_at__lt=now - _USED_EVERY)
        HostToken.objects.filter(unused_for_long, pk=self.pk).update(last_used_at=now)
