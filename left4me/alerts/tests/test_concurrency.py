"""Several processes notice the same, or want to send the same, at once: real connections, each in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from left4me.alerts import delivery, incidents
from left4me.alerts.models import Delivery, Incident
from left4me.alerts.tests.factories import crash, make_channel
from left4me.alerts.tests.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


def at_once(number: int, act: Callable[[], object]) -> None:
    start = threading.Barrier(number)
    faults: list[BaseException] = []

    def run() -> None:
        try:
            start.wait()
            act()
        except BaseException as fault:
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_what_six_notice_at_once_is_told_once(cast: Any):
    make_channel(cast.owner)
    at_once(6, lambda: incidents.report(crash(cast.owner), now=NOW))
    assert Delivery.objects.count() == 1
    assert Incident.objects.get().count == 6


def test_what_four_workers_want_to_send_at_once_is_sent_once(cast: Any, receiver: Receiver):
    for _ in range(3):
        make_channel(cast.owner, receiver.url())
    incidents.report(crash(cast.owner), now=NOW)
    at_once(4, lambda: delivery.send(now=NOW))
    assert len(receiver.bodies) == 3


def test_what_is_well_is_said_once(cast: Any):
    make_channel(cast.owner)
    incidents.report(crash(cast.owner), now=NOW)
    incidents.mark_recovered("server:1", now=NOW)
    at_once(4, lambda: incidents.announce_recoveries(now=NOW + incidents.SETTLED_AFTER))
    assert list(Delivery.objects.order_by("pk").values_list("event", flat=True)) == [
        "server_crashed",
        "server_recovered",
    ]
