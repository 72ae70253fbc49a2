"""Who is told of what, and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from left4me.alerts import incidents
from left4me.alerts.events import Event
from left4me.alerts.models import Channel, Delivery, Incident
from left4me.alerts.tests.factories import crash, make_channel

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


def told() -> list[tuple[str, str]]:
    return list(Delivery.objects.order_by("pk").values_list("channel__name", "event"))


def test_an_alert_and_what_it_tells_of_are_written_together_or_not_at_all(cast: Any):
    make_channel(cast.owner)
    with pytest.raises(RuntimeError), transaction.atomic():
        incidents.report(crash(cast.owner), now=NOW)
        raise RuntimeError
    assert not Delivery.objects.exists()
    assert not Incident.objects.exists()


def test_the_owner_is_told_and_admins_who_want_everything(cast: Any):
    make_channel(cast.owner, name="owner")
    make_channel(cast.stranger, name="stranger")
    make_channel(cast.admin, name="admin")
    make_channel(cast.admin, name="admin of all", everything=True)
    assert incidents.report(crash(cast.owner), now=NOW) == 2
    assert {name for name, _ in told()} == {"owner", "admin of all"}


def test_one_who_is_no_longer_admin_is_told_of_their_own_only(cast: Any):
    make_channel(cast.admin, everything=True)
    cast.admin.is_admin = False
    cast.admin.save()
    assert incidents.report(crash(cast.owner, 1), now=NOW) == 0
    assert incidents.report(crash(cast.owner, 2, event=Event.DISK_LOW), now=NOW) == 0
    assert incidents.report(crash(cast.admin, 3), now=NOW) == 1


def test_one_who_may_not_sign_in_is_told_nothing(cast: Any):
    make_channel(cast.owner)
    cast.owner.is_active = False
    cast.owner.save()
    assert incidents.report(crash(cast.owner), now=NOW) == 0


def test_a_channel_tells_only_of_what_was_chosen_and_only_while_it_is_on(cast: Any):
    make_channel(cast.owner, events=["job_failed"])
    make_channel(cast.owner, is_enabled=False)
    assert incidents.report(crash(cast.owner), now=NOW) == 0


def test_recovery_is_told_to_those_who_heard_of_the_trouble(cast: Any):
    make_channel(cast.owner, name="all")
    make_channel(cast.owner, name="gave up", events=["server_gave_up", "server_recovered"])
    make_channel(cast.owner, name="no recovery", events=["server_crashed"])
    incidents.report(crash(cast.owner), now=NOW)
    incidents.mark_recovered("server:1", now=NOW + timedelta(minutes=1))
    incidents.announce_recoveries(now=NOW + timedelta(minutes=4))
    assert told() == [("all", "server_crashed"), ("no recovery", "server_crashed"), ("all", "server_recovered")]


def test_what_falls_again_before_it_settled_has_not_recovered(cast: Any):
    make_channel(cast.owner)
    incidents.report(crash(cast.owner), now=NOW)
    for minute in range(1, 20, 2):
        incidents.mark_recovered("server:1", now=NOW + timedelta(minutes=minute))
        assert incidents.announce_recoveries(now=NOW + timedelta(minutes=minute + 1)) == 0
        incidents.report(crash(cast.owner), now=NOW + timedelta(minutes=minute + 1))
    assert len(told()) == 1


def test_the_same_failure_is_told_again_after_an_hour(cast: Any):
    make_channel(cast.owner)
    for minutes in (0, 30, 59, 61, 90):
        sign = crash(cast.owner, event=Event.JOB_FAILED, key="job:start:server:1")
        incidents.report(sign, now=NOW + timedelta(minutes=minutes))
    assert len(told()) == 2


def test_the_longest_words_are_cut_not_refused(cast: Any):
    make_channel(cast.owner)
    incidents.report(crash(cast.owner, title="t" * 999, text="x" * 9999, recovered_title="r" * 999), now=NOW)
    row = Delivery.objects.get()
    assert (len(row.title), len(row.text)) == (200, 1000)


def test_a_storm_costs_a_few_queries_a_server(cast: Any, django_assert_max_num_queries):
    make_channel(cast.owner)
    with django_assert_max_num_queries(100 * 14):
        for number in range(100):
            incidents.report(crash(cast.owner, number + 1), now=NOW)
    with django_assert_max_num_queries(100 * 8):
        for number in range(100):
            incidents.report(crash(cast.owner, number + 1), now=NOW)


def test_an_address_is_sealed_at_rest(cast: Any):
    channel = make_channel(cast.owner, "https://discord.com/api/webhooks/12/abcdefghijklmnop")
    raw = Channel.objects.values_list("sealed_address", flat=True).get()
    assert "discord" not in raw
    assert channel.address.endswith("abcdefghijklmnop")
    assert channel.masked_address == "https://discord.com/…mnop"


@pytest.mark.parametrize(
    ("kind", "address", "shown"),
    [
        ("webhook", "https://hooks.example.org/short", "https://hooks.example.org/…"),
        ("webhook", "https://hooks.example.org:8443/a/b?key=1234567890123456", "https://hooks.example.org:8443/…3456"),
        ("webhook", "https://hooks.example.org", "https://hooks.example.org"),
        ("email", "anna@example.org", "a…@example.org"),
    ],
)
def test_what_is_shown_of_an_address_is_of_no_use(cast: Any, kind: str, address: str, shown: str):
    assert make_channel(cast.owner, address, kind=kind).masked_address == shown
