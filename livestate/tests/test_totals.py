"""What visits add up to stays equal to the visits, whatever happens to them."""

from __future__ import annotations

import importlib
import random
from datetime import UTC, datetime, timedelta

import pytest
from django.apps import apps
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livestate import history, totals
from livestate.models import ONLINE, PlayerSession, ServerPlayer
from livestate.players import erasure, search
from livestate.poller import Answered
from livestate.recorder import Recorder
from livestate.tests.answers import Person, status
from livestate.tests.factories import make_session
from servers.models import Server, ServerShare
from servers.tests.factories import make_server, share

NOW = datetime(2026, 3, 1, 20, 0, 0, tzinfo=UTC)
ACCOUNTS = range(101, 106)

pytestmark = pytest.mark.django_db


class Operations:
    """What happens to two servers whose players come and go, on a clock that each operation moves on."""

    def __init__(self, servers: list[Server]) -> None:
        self.servers, self.now = servers, NOW
        self.joined: dict[tuple[int, int], datetime] = {}
        self.restart()

    def poll(self, online: int) -> None:
        """Poll all servers; the bits of `online` say who is there, the higher ones under which name."""
        answers = []
        for number, server in enumerate(self.servers):
            people = []
            for place, account in enumerate(ACCOUNTS):
                if online >> (place + 2 * number) & 1:
                    joined = self.joined.setdefault((server.pk, account), self.now)
                    name = f"Zoey, the {online % 3}"
                    people.append(Person(account, int((self.now - joined).total_seconds()), name=name))
                else:
                    self.joined.pop((server.pk, account), None)
            answers.append(Answered(server.pk, status(people)))
        self.recorder.begin(now=self.now)
        self.recorder.record(answers, now=self.now)

    def lose(self, ended: int) -> None:
        self.recorder.begin(now=self.now)
        self.recorder.close_lost_stays(ended={each.pk for each in self.servers[: ended % 2]}, now=self.now)

    def restart(self, _number: int = 0) -> None:
        self.recorder = Recorder(host_id=self.servers[0].host_id, gap=timedelta(seconds=60))

    def set_clock_back(self, minutes: int) -> None:
        self.now -= timedelta(minutes=minutes % 20)
        self.joined.clear()
        self.restart()

    def prune(self, minutes: int) -> None:
        history.prune(now=self.now + timedelta(days=1) - timedelta(minutes=minutes), days=1)

    def forget(self, number: int) -> None:
        erasure.forget(Person(ACCOUNTS[number % len(ACCOUNTS)]).steam_id_64, by=None)
        # The game is polled by a process that knows the visit which is gone.
        self.restart()

    def delete(self, number: int) -> None:
        if number % 5 == 0 and len(self.servers) > 1:
            self.servers.pop().delete()
            self.restart()


_DONE = st.tuples(
    st.sampled_from(["poll"] * 5 + ["lose", "restart", "set_clock_back", "prune", "forget", "delete"]),
    st.integers(0, 2**7 - 1),
    st.sampled_from([5, 20, 90, 600]),
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40, deadline=None
)
@given(done=st.lists(_DONE, min_size=4, max_size=25))
def test_totals_are_those_of_the_visits_after_any_operations(cast, done):
    with transaction.atomic():
        operations = Operations([make_server(cast.owner), make_server(cast.owner)])
        for name, number, seconds in done:
            operations.now += timedelta(seconds=seconds)
            getattr(operations, name)(number)
            assert list(totals.differences()) == [], name
        transaction.set_rollback(True)


def test_visits_add_up_to_times_names_and_the_end_of_the_last(cast):
    server = make_server(cast.owner)
    make_session(server, 101, NOW - timedelta(days=3), NOW - timedelta(days=2), name_at_join="Old, name")
    make_session(server, 101, NOW - timedelta(hours=3), NOW - timedelta(hours=1), name_at_join="Zoey")
    row = ServerPlayer.objects.get()
    assert (row.visits, row.milliseconds, row.name) == (2, 26 * 3_600_000, "Zoey")
    assert (row.first_seen_at, row.last_seen_at) == (NOW - timedelta(days=3), NOW - timedelta(hours=1))
    assert set(row.names.split("\n")) == {"Old, name", "Zoey"} and row.online_since is None
    make_session(server, 101, NOW, name_at_join="Zoey")
    row.refresh_from_db()
    assert (row.visits, row.milliseconds) == (3, 26 * 3_600_000)
    assert (row.last_seen_at, row.online_since) == (ONLINE, NOW)


def _random_visits(servers: list[Server], count: int = 60) -> None:
    chance = random.Random(18)
    for number in range(count):
        joined = NOW - timedelta(minutes=chance.randrange(100_000))
        left = joined + timedelta(minutes=chance.randrange(1, 200))
        server, account = chance.choice(servers), chance.randrange(1, 25)
        is_open = number % 10 == 0 and not PlayerSession.objects.open().filter(server=server, steam_id_64=account)
        make_session(server, 1_000 * number if is_open else account, joined, None if is_open else left)


def test_the_migration_counts_the_visits_that_were_there(cast, monkeypatch):
    migration = importlib.import_module("livestate.migrations.0010_count_visits_of_players")
    monkeypatch.setattr(migration, "_VISITS_AT_ONCE", 7)
    _random_visits([make_server(cast.owner), make_server(cast.owner)])
    counted = ServerPlayer.objects.count()
    ServerPlayer.objects.filter(pk__gt=ServerPlayer.objects.order_by("pk")[5].pk).delete()

    class Editor:
        connection = connection

    migration.count_visits(apps, Editor)
    assert ServerPlayer.objects.count() == counted
    assert list(totals.differences()) == []


def test_what_a_worker_without_totals_recorded_is_counted_when_a_newer_one_begins(cast):
    server = make_server(cast.owner)
    make_session(server, 101, NOW - timedelta(hours=3), NOW - timedelta(hours=2))
    stays = make_session(server, 102, NOW - timedelta(hours=3))
    # As a worker of an earlier release leaves it: one left, one came, one came and left.
    PlayerSession.objects.filter(pk=stays.pk).update(left_at=NOW - timedelta(minutes=40))
    for account, left in ((103, None), (104, NOW - timedelta(minutes=30))):
        PlayerSession.objects.create(
            server=server, steam_id_64=account, joined_at=NOW - timedelta(hours=1), left_at=left
        )
    assert len(list(totals.differences())) == 3
    Recorder(host_id=server.host_id, gap=timedelta(seconds=60)).begin(now=NOW)
    assert list(totals.differences()) == []


def test_parts_of_the_list_are_those_of_all_players_of_visible_servers(cast):
    servers = [make_server(cast.owner, name=f"server {number}") for number in range(3)]
    share(servers[0], cast.viewer)
    share(servers[2], cast.viewer, ServerShare.Role.OPERATOR)
    _random_visits(servers)
    for user, seen in ((cast.viewer, [servers[0], servers[2]]), (cast.owner, servers), (cast.stranger, [])):
        latest: dict[int, datetime] = {}
        for visit in PlayerSession.objects.filter(server__in=seen):
            end = visit.left_at or ONLINE
            latest[visit.steam_id_64] = max(end, latest.get(visit.steam_id_64, end))
        expected = sorted(latest, key=lambda account: (ONLINE - latest[account], account))
        accounts = search.Filter().accounts(user, now=NOW)
        assert accounts.count() == len(expected)
        for start in range(0, len(expected) + 5, 4):
            assert accounts[start : start + 4] == expected[start : start + 4]
