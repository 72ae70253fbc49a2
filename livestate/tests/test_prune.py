from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from livestate import history, tasks
from livestate.models import PlayerSession, Snapshot, SteamProfile
from livestate.tests.factories import make_profile, make_session, make_snapshot
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db


def ago(**parts: float):
    return timezone.now() - timedelta(**parts)


def test_what_ended_before_the_span_goes_and_what_reaches_into_it_stays(cast, monkeypatch):
    monkeypatch.setattr(history, "ROWS_AT_ONCE", 2)
    server = make_server(cast.owner)
    for _ in range(5):
        make_snapshot(server, ago(days=40), ago(days=31))
        make_session(server, 1, ago(days=40), ago(days=31))
    make_snapshot(server, ago(days=40), ago(days=29))
    make_session(server, 2, ago(days=40), ago(days=29))
    make_session(server, 3, ago(days=40))
    make_profile(1, ago(days=31))
    make_profile(2, ago(days=31))
    tasks.prune()
    tasks.prune()
    assert Snapshot.objects.count() == 1
    assert PlayerSession.objects.count() == 2
    assert SteamProfile.objects.count() == 1
