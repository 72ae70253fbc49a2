"""Moves of servers with the rights of a worker host in PostgreSQL: its role does both jobs, and the web the rest."""

from __future__ import annotations

import pytest
from django.utils import timezone

from left4me.alerts.models import Delivery
from left4me.alerts.tests.factories import make_channel
from left4me.core.files import room
from left4me.testing.cast import Cast
from left4me.tests.test_host_rights import alone_with_roles, as_host, on_postgresql  # noqa: F401 -- a fixture
from servers import tasks
from servers.actions import moves
from servers.models import Server
from servers.tests.factories import make_server
from servers.tests.far_web import Pair, far_web, pair_of_hosts, port_of_web, process_of_web, worker_host  # noqa: F401

pytestmark = [on_postgresql, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


def test_a_worker_host_sends_a_server_and_takes_it_back(as_host, pair: Pair, cast: Cast):  # noqa: F811
    server = make_server(
        cast.owner, host=pair.two, actual_state="running", actual_state_at=timezone.now(), desired_state="running"
    )
    pair.upper("two", server).mkdir(parents=True)
    (pair.upper("two", server) / "x").write_text("written")
    moves.request_move(server=server, target=pair.local, by=cast.owner)
    with as_host():
        assert pair.drain("two").state == "succeeded"
    job = pair.drain("local")
    assert job.state == "succeeded", job.error
    with as_host(), pair.on("two"):
        assert not Server.objects.exists()
        tasks.drop_moved()
    assert not pair.upper("two", server).exists()
    moves.request_move(server=Server.objects.get(), target=pair.two, by=cast.owner)
    pair.drain("local")
    with as_host():
        job = pair.drain("two")
        assert job.state == "succeeded", job.error
        there = Server.objects.get()
        assert (there.host.name, there.actual_state) == ("two", "stopped")
    assert (pair.upper("two", server) / "x").read_text() == "written"


def test_the_owner_hears_of_a_move_that_fails_on_the_new_host(as_host, pair: Pair, cast: Cast, monkeypatch):  # noqa: F811
    """The new host does not see the server before it has it."""
    server = make_server(cast.owner, host=pair.local, name="Friday", actual_state="stopped")
    for user in (cast.owner, cast.admin, cast.stranger):
        make_channel(user, events=["job_failed"], everything=user.is_admin)
    moves.request_move(server=server, target=pair.two, by=cast.admin)
    assert pair.drain("local").state == "succeeded"
    monkeypatch.setattr(room, "left", lambda path, **_: 0)
    with as_host():
        assert pair.drain("two").state == "failed"
    with pair.on("local"):
        tasks.forget_moves()
        tasks.forget_moves()
    told = Delivery.objects.filter(channel__user=cast.owner)
    assert "Friday" in told.get().title, "once, and by its name"
    assert Delivery.objects.filter(channel__user=cast.admin).count() == 1
    assert not Delivery.objects.filter(channel__user=cast.stranger).exists()
