"""Deletes expired sessions and links."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from accounts.models import OneTimeLink, Session

# Used and expired invitations stay listed for a while, so that admins can see who signed up by which link.
LINKS_KEPT = timedelta(days=30)


@shared_task(name="accounts.prune", ignore_result=True)
def prune() -> None:
    now = timezone.now()
    Session.objects.expired(now).delete()
    OneTimeLink.objects.filter(expires_at__lt=now - LINKS_KEPT).delete()
