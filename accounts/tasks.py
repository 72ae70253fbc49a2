"""Clearing out sessions that have ended and links that no longer work."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from accounts.models import OneTimeLink, Session

# Used and expired invitations stay on the list for a while: who came by which link is worth knowing.
_LINKS_KEPT = timedelta(days=30)


@shared_task(name="accounts.prune", ignore_result=True)
def prune() -> None:
    now = timezone.now()
    Session.objects.expired(now).delete()
    OneTimeLink.objects.filter(expires_at__lt=now - _LINKS_KEPT).delete()
