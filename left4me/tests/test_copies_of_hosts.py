"""Copies of worker hosts' servers: what the doctor says of them, and that a host's rights in PostgreSQL suffice."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from deploy.doctor import application as doctor
from left4me.testing.cast import Cast
from left4me.tests.test_host_rights import alone_with_roles, as_host, on_postgresql  # noqa: F401 -- a fixture
from servers.actions import copies
from servers.models import Host, Server, ServerCopy
from servers.tests.factories import make_host, make_server
from servers.tests.far_web import Pair, far_web, pair_of_hosts, port_of_web, process_of_web, worker_host  # noqa: F401


@pytest.mark.django_db
def test_the_doctor_names_servers_that_were_not_copied_for_two_days(cast: Cast, settings):
    make_host()
    assert doctor.copies_of_hosts() == [], "without another host there is nothing to copy"
    server = make_server(cast.owner, host=Host.objects.create(name="two"), name="Friday")
    now = timezone.now()
    ServerCopy.objects.create(server=server, created_at=now, requested_at=now)
    assert [finding.level for finding in doctor.copies_of_hosts()] == ["ok"]
    ServerCopy.objects.update(created_at=now - timedelta(days=3))
    (finding,) = doctor.copies_of_hosts()
    assert (finding.level, "of two: Friday" in finding.message) == ("warning", True)
    assert "left4mectl manage copy_servers two" in finding.cure
    settings.LEFT4ME_HOST_COPIES_GB = 0
    assert [finding.level for finding in doctor.copies_of_hosts()] == ["ok"]


@on_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis_server")
def test_a_worker_host_sends_a_copy_and_takes_that_of_a_lost_host(as_host, pair: Pair, cast: Cast):  # noqa: F811
    server = make_server(cast.owner, host=pair.two, actual_state="stopped", actual_state_at=timezone.now())
    pair.upper("two", server).mkdir(parents=True)
    (pair.upper("two", server) / "x").write_text("written")
    copies.request_of_host(host=pair.two, by=None)
    with as_host():
        job = pair.drain("two")
        assert job.state == "succeeded", job.error
    Server.objects.filter(pk=server.pk).update(host=Host.objects.create(name="three"))
    (pair.upper("two", server) / "x").write_text("something else")
    with pair.on("local"):
        call_command("remove_host", "three", "--gone", "--move-servers-to", "two")
    with as_host():
        job = pair.drain("two")
        assert job.state == "succeeded", job.error
    assert (pair.upper("two", server) / "x").read_text() == "written"
