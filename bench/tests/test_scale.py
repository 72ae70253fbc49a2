"""What bench/scale derives and finds out, without the load."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.scale_hosts import Runtime, World
from bench.scale_parts import Reading
from bench.scale_table import Report, Seen, Step, line
from livestate.models import PlayerSession, Sweep
from livestate.sweep import Sweeper
from servers.models import Server
from servers.tests.factories import make_host, make_server


@pytest.fixture
def servers(cast) -> list[int]:
    host = make_host(name="scale1")
    running = Server.State.RUNNING
    return [make_server(cast.owner, host=host, actual_state=running).pk for _ in range(3)]


@pytest.fixture
def world(servers, redis_client) -> World:
    """Three servers that were swept twice, the last time without silence."""
    world = World(servers)
    sweeper = Sweeper(Server.objects.get(pk=servers[0]).host)
    sweeper._polling.close()
    sweeper._polling = world
    sweeper.sweep()
    world.is_over = True
    sweeper.sweep()
    return world


@pytest.mark.django_db
def test_what_happened_in_the_world_is_found_in_the_rows(world):
    assert Sweep.objects.get().answered == 3
    assert PlayerSession.objects.open().count() == sum(len(server.on) for server in world.servers.values())
    assert world.lost() == []


@pytest.mark.django_db
def test_a_visit_without_its_row_is_named(world, servers):
    PlayerSession.objects.open().filter(server=servers[0])[0].delete()
    assert {fault.partition(":")[0] for fault in world.lost()} == {f"server {servers[0]}"}


def test_games_that_crash_are_counted_and_run_again(servers, db):
    runtime = Runtime(servers)
    runtime.chance_of_crash = 1.0
    observed = runtime.observe(servers)
    assert runtime.crashes == 3
    assert {each.restarts for each in observed.values()} == {1}


def test_the_cost_of_servers_is_the_slope_of_what_was_measured():
    base, slope = line([(500, 0.35), (1000, 0.6), (2000, 1.1)])
    assert (round(base, 6), round(slope, 6)) == (0.1, 0.0005)


def test_a_step_does_not_keep_up_when_sweeps_are_missing_or_land_after_the_next_is_due():
    def step(landed_after: list[float]) -> Step:
        done = Report(count=Counter({"livestate.poll": len(landed_after)}), landed_after=landed_after)
        return Step(servers=200, hosts=2, used=Reading(50.0), done=done, seen=Seen())

    assert step([0.2] * 20).keeps_up
    assert not step([0.2] * 18).keeps_up, "two of twenty are missing"
    assert not step([0.2] * 19 + [6.0]).keeps_up
