"""Queries of open pages and of tasks that run every few seconds are answered by an index, not by reading a history.

SQLite plans without statistics, so it decides in an empty database as it does in a large one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from left4me.alerts.models import Channel
from left4me.jobs.models import Job
from left4me.schedules import execution
from left4me.site import bell
from livestate import live, profiles, totals
from livestate.demos import lookups
from livestate.demos.models import Demo
from livestate.models import PlayerSession
from livestate.players import search
from livestate.tests.factories import make_session
from overlays import attention
from overlays.workshop_items import refresh
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _sqlite() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL plans by statistics, and reads small tables whole")


def plan(rows: QuerySet[Any]) -> str:
    return rows.explain()


def plans(captured: CaptureQueriesContext, *, of: str = "SELECT") -> str:
    found = []
    with connection.cursor() as cursor:
        for query in list(captured):
            if query["sql"].startswith(of):
                cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                found += [row[3] for row in cursor.fetchall()]
    return "\n".join(found)


def test_live_jobs_are_found_without_those_that_ended() -> None:
    for resources in (["server:1"], ["server:1", "server:2"]):
        assert "finished_at=?)" in plan(Job.objects.live().filter(resource__in=resources).select_related("user"))
    assert "INDEX job_of_user_by_end (user_id=? AND finished_at=?)" in plan(Job.objects.live().filter(user_id=1))


def test_failed_builds_are_found_without_other_jobs() -> None:
    with CaptureQueriesContext(connection) as captured:
        attention._failed_builds([1, 2, 3])
    assert "INDEX job_of_operation_in_state (operation=? AND state=?)" in plans(captured)
    assert "INDEX job_of_resource (resource=?)" in plan(attention.suspects().filter(pk__in=[1, 2, 3]))


def test_the_last_refresh_is_found_by_what_it_is_of() -> None:
    with CaptureQueriesContext(connection) as captured:
        refresh.is_due(now=timezone.now(), every=timedelta(days=1))
    assert "INDEX job_of_resource (resource=?)" in plans(captured)


def test_the_bell_reads_the_jobs_that_ended_last() -> None:
    user = User.objects.create_user("anna")
    with CaptureQueriesContext(connection) as captured:
        bell.of(user, now=timezone.now())
    assert plans(captured).count("job_of_user_by_end") == 2


def test_channels_are_found_by_the_deliveries_that_wait() -> None:
    found = plan(Channel.objects.due(timezone.now())[:8])
    assert "INDEX alert_in_state (state=?)" in found
    assert "alert_of_channel" not in found
    assert "INDEX alert_in_state (state=? AND channel_id=?)" in plan(Channel(pk=1).waiting())


def test_runs_that_wait_are_found_without_those_that_ended() -> None:
    with CaptureQueriesContext(connection) as captured:
        execution.carry_out_due(timezone.now())
    assert "INDEX run_in_state_by_time (state=? AND bulk_id=?)" in plans(captured)


def test_who_is_on_a_server_is_found_without_those_who_left() -> None:
    server = make_server(User.objects.create_user("anna"))
    for read in (live.current_players, live.recent_players):
        with CaptureQueriesContext(connection) as captured:
            read(server)
        found = plans(captured)
        assert "INDEX session_by_server_and_end (server_id=? AND left_at" in found
        assert "session_by_server_and_time" not in found


def test_who_is_in_a_demo_is_found_without_earlier_visits() -> None:
    server, now = make_server(User.objects.create_user("anna")), timezone.now()
    demo = Demo(server=server, started_at=now - timedelta(hours=1), ended_at=now)
    with CaptureQueriesContext(connection) as captured:
        lookups.players([demo])
    assert plans(captured).count("INDEX session_by_server_and_end (server_id=? AND left_at") == 2


def test_profiles_that_are_due_are_found_among_the_visits_of_a_day() -> None:
    with CaptureQueriesContext(connection) as captured:
        profiles.due(now=timezone.now(), ttl=timedelta(days=1), of_all=False)
    found = plans(captured)
    assert found.count("INDEX session_by_end (left_at") == 2
    assert "SCAN" not in found


def test_players_are_listed_by_server_and_time_without_their_visits() -> None:
    user, now = User.objects.create_user("anna"), timezone.now()
    server = make_server(user)
    for account in range(3):
        make_session(server, account, now - timedelta(hours=account + 1), now - timedelta(hours=account))
    with CaptureQueriesContext(connection) as captured:
        search.rows(user, search.Filter().accounts(user, now=now)[:2], now=now)
    found = plans(captured)
    assert "INDEX player_of_server_by_time (server_id=? AND last_seen_at>?)" in found
    assert "livestate_playersession" not in found and "SCAN livestate_serverplayer" not in found


def test_visits_of_a_player_are_counted_without_those_of_others() -> None:
    server, now = make_server(User.objects.create_user("anna")), timezone.now()
    account = make_session(server, 1, now).steam_id_64
    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        totals.refresh({(server.pk, account)})
    found = plans(captured, of="INSERT")
    # Those to group, and the latest of them once for each group.
    assert found.count("INDEX session_by_player_and_time (steam_id_64=?)") == 2
    assert "session_by_server" not in found


def test_old_visits_are_found_by_their_end() -> None:
    assert "INDEX session_by_end (left_at<?)" in plan(PlayerSession.objects.filter(left_at__lt=timezone.now()))
