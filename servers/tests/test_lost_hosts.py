"""Removing hosts whose machine is lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from left4me.jobs import actions as jobs
from left4me.jobs import transitions
from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from servers import actions
from servers.models import Host, Server
from servers.tests.factories import make_host, make_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def host() -> Host:
    return make_host(last_seen_at=timezone.now())


@pytest.fixture
def lost(cast: Cast, host: Host) -> Host:
    """A host that reported long ago, with a server that is wanted running and a job that it was running."""
    row = Host.objects.create(name="two", address="203.0.113.7", last_seen_at=timezone.now() - timedelta(days=3))
    server = make_server(cast.owner, host=row, port=27015, name="Friday")
    Server.objects.filter(pk=server.pk).update(
        desired_state="running", actual_state="running", started_at=timezone.now(), last_error="Old"
    )
    job = jobs.request(operation="stop", resource=server.resource, by=None, host="two")
    transitions.claim(host="two", worker="two:1:x", limit=1, now=timezone.now(), lease=timedelta(hours=1))
    assert Job.objects.get(pk=job.pk).state == "running"
    jobs.request(operation="clean_game", resource="game", by=None, host="two")
    return row


def test_a_lost_host_is_removed_with_its_jobs_and_its_servers_move_to_another(
    lost: Host, host: Host, cast: Cast, capsys
):
    make_server(cast.owner, host=host, port=27015, name="Taken")
    before = Server.objects.get(name="Friday")
    with pytest.raises(CommandError, match="Add --move-servers-to HOST"):
        call_command("remove_host", "two", "--gone")
    call_command("remove_host", "two", "--gone", "--move-servers-to", "local")
    told = capsys.readouterr().out
    moved = Server.objects.get(name="Friday")
    assert not Host.objects.filter(name="two").exists()
    assert (moved.pk, moved.host, moved.desired_state, moved.actual_state) == (before.pk, host, "stopped", "stopped")
    assert moved.port not in {27015, None} and moved.last_error == "" and moved.started_at is None
    assert moved.rcon_password != before.rcon_password
    assert {job.state for job in Job.objects.filter(host="two")} == {"failed", "cancelled"}
    assert f"Moved Friday: local:{moved.port}. It is stopped" in told and "Ended 2 of its jobs." in told
    assert moved.state_changes.latest("pk").detail.startswith("Moved from host two.")
    assert actions.request(server=moved, operation="start", by=None).host == "local"


def test_the_servers_of_a_lost_host_are_deleted_if_that_is_asked_for(lost: Host, capsys):
    call_command("remove_host", "two", "--gone", "--delete-servers")
    assert not Server.objects.exists() and not Host.objects.filter(name="two").exists()
    told = capsys.readouterr().out
    assert "Deleted Friday." in told and "Lost: what these games have written" in told


def test_servers_of_a_machine_that_works_are_not_moved_by_removing_it(lost: Host):
    for options in (["--delete-servers"], ["--move-servers-to", "local"]):
        with pytest.raises(CommandError, match="Add --gone"):
            call_command("remove_host", "two", *options)
    with pytest.raises(CommandError, match=r"There is no host named three\. Other hosts: local"):
        call_command("remove_host", "two", "--gone", "--move-servers-to", "three")
    assert Server.objects.get().host == lost


def test_a_lost_host_that_had_the_key_of_all_passwords_is_pointed_out(lost: Host, capsys):
    call_command("remove_host", "two", "--gone", "--delete-servers")
    assert "keys rotate" not in capsys.readouterr().out
    Host.objects.create(name="four", knows_web_key=True)
    call_command("remove_host", "four", "--gone")
    assert "keys rotate" in capsys.readouterr().out
