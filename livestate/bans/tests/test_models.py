from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from livestate.bans.models import Ban

pytestmark = pytest.mark.django_db


def test_the_tables_of_the_migrations_are_those_of_the_models():
    call_command("makemigrations", "bans", check_changes=True, dry_run=True, verbosity=0)


def test_a_ban_is_active_until_it_ends_or_is_lifted(cast):
    now = timezone.now()
    begin, end = now - timedelta(hours=3), now - timedelta(hours=1)
    for fields, state, minutes in (
        ({}, "active", 0),
        ({"expires_at": now + timedelta(hours=1)}, "active", 240),
        ({"expires_at": end}, "expired", 120),
        ({"expires_at": end, "ended_at": end}, "expired", 120),
        ({"expires_at": end, "ended_at": end - timedelta(seconds=1)}, "lifted", 120),
        ({"ended_at": end}, "lifted", 0),
    ):
        ban = Ban(target="203.0.113.7", created_at=begin, **fields)
        assert (ban.state, ban.is_active, ban.minutes) == (state, state == "active", minutes)
