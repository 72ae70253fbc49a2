"""Schedules and actions on many servers interrupt no live match."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from left4me.jobs.models import Job
from left4me.schedules import bulk, execution
from left4me.schedules.models import Action, Condition, Run
from livestate import live
from livestate.matches.models import Match
from livestate.matches.tests.factories import make_match
from servers.models import Server
from servers.tests.factories import make_server


@pytest.fixture
def server(cast) -> Server:
    running = Server.State.RUNNING
    return make_server(cast.owner, name="Friday", actual_state=running, desired_state=Server.Desired.RUNNING)


@pytest.fixture
def match(server) -> Match:
    return make_match(server, started_at=timezone.now())


def settle(server: Server, cast, **fields) -> Run:
    now = timezone.now()
    given = {"user": cast.owner, "action": Action.RESTART, "due_at": now - timedelta(seconds=1), **fields}
    run = Run.objects.create(server=server, **given)
    execution.settle(run, live.of(server, now=now), now)
    run.refresh_from_db()
    return run


def test_a_schedule_skips_a_live_match_or_waits_for_its_end(cast, server, match):
    run = settle(server, cast)
    assert run.state == "skipped" and "Arena 1.0" in run.reason
    later = timezone.now() + timedelta(hours=1)
    assert settle(server, cast, condition=Condition.WAIT_RUN, wait_until=later).state == "waiting"
    Run.objects.all().delete()
    passed = timezone.now() - timedelta(minutes=1)
    assert settle(server, cast, condition=Condition.WAIT_RUN, wait_until=passed, due_at=passed).state == "skipped"
    assert settle(server, cast, action=Action.COMMANDS, argument="say hello").state == "started"
    assert not Job.objects.exists()


def test_an_action_on_many_servers_leaves_it_out_or_waits(cast, server, match):
    def verdict(condition: str) -> bulk.Planned:
        rows = list(Server.objects.visible_to(cast.owner).with_blueprint().with_role(cast.owner))
        (planned,) = bulk.plan(
            rows, action=Action.RESTART, condition=condition, only_changed=False, by=cast.owner, now=timezone.now()
        )
        return planned

    assert verdict(Condition.ALWAYS).verdict is bulk.Verdict.LEFT_OUT
    assert "Arena 1.0" in verdict(Condition.ALWAYS).text
    assert verdict(Condition.WAIT_SKIP).verdict is bulk.Verdict.WAITS
