"""The command `try_game`, with the simulated game and with a 32-bit one, and each way in which it fails."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from left4me.jobs.models import Job
from left4me.site.management.commands import try_game
from left4me.testing import jobs
from left4me.testing.cast import Cast
from left4me.testing.recorded_run import RecordedRun
from servers.gamehost.game import Versions
from servers.gamehost.port import State
from servers.gamehost.spec import RestartPolicy
from servers.gamehost.tests.i386 import game
from servers.hosts import this_host
from servers.lifecycle import launch_plan
from servers.models import Blueprint, Host, Server
from servers.tests.factories import make_host

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(240)]
ALL = ["machine", "account", "host", "game", "server", "start", "query", "RCON", "stop"]


@pytest.fixture
def host(tmp_path: Path, settings, monkeypatch: pytest.MonkeyPatch, cast: Cast, worker_id: str) -> Iterator[Host]:
    settings.LEFT4ME_ROOT = tmp_path
    settings.LEFT4ME_GAME = "simulated"
    this_host.runtime.cache_clear()
    # Games of tests that run at the same time do not meet.
    # Below the ports that the kernel gives to clients, of which one may be taken at any moment.
    first = 29_000 + 100 * int(worker_id.removeprefix("gw") if worker_id.startswith("gw") else 0)
    row = make_host(last_seen_at=timezone.now(), first_port=first, last_port=first + 99, facts={"runtime": "process"})
    # The worker, in this thread: it works while the command waits.
    monkeypatch.setattr(try_game, "_pause", lambda: jobs.drain(host=row.name))
    yield row
    for pk in Server.objects.values_list("pk", flat=True):
        with contextlib.suppress(Exception):
            this_host.runtime().kill(pk)
    this_host.runtime.cache_clear()


def run(*arguments: str) -> tuple[int, str]:
    """The exit status of the command, and what it printed."""
    out = io.StringIO()
    try:
        call_command("try_game", *arguments, stdout=out, no_color=True)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def steps(printed: str) -> list[tuple[str, str]]:
    """The mark and the name of each step."""
    lines = [line for line in printed.splitlines() if line.startswith(("ok ", "FAILED "))]
    return [(line.split()[0], line.split()[1].rstrip(":")) for line in lines]


@pytest.mark.slow
def test_the_simulated_game_is_installed_tried_and_cleaned_up(host: Host):
    status, printed = run()
    assert steps(printed) == [("ok", name) for name in ALL], printed
    assert status == 0
    assert "answers A2S_INFO: try-game, c1m1_hotel, 0 of 4" in printed
    assert "version : 2.2.4.3" in printed
    assert not Server.objects.exists()
    assert not Blueprint.objects.filter(name="try-game").exists()


@pytest.mark.slow
def test_a_kept_server_runs_on_and_the_next_try_replaces_it(host: Host):
    status, printed = run("--keep")
    assert status == 0, printed
    [server] = Server.objects.all()
    assert f":{server.port}" in printed.splitlines()[-2]
    assert this_host.runtime().observe([server.pk])[server.pk].state is State.RUNNING
    status, printed = run()
    assert status == 0, printed
    assert not Server.objects.exists()


@pytest.mark.i386
def test_a_32_bit_game_behind_a_script_like_valves_is_tried(host: Host, settings):
    settings.LEFT4ME_GAME = "steam"
    versions = Versions(settings.LEFT4ME_ROOT / "game")
    game.build(versions.stage(watch=RecordedRun("game")))
    host.game_version = versions.publish(kind="steam", build="100", now=datetime.now(UTC)).id
    host.save()
    status, printed = run()
    assert steps(printed) == [("ok", name) for name in ALL], printed
    assert "answers A2S_INFO: try-game, c1m1_hotel, 1 of 8" in printed
    assert status == 0


def test_a_host_that_is_unknown_or_silent_is_told_with_what_to_do(host: Host):
    status, printed = run("--host", "nowhere")
    assert status == 1
    assert "FAILED  host: there is no host “nowhere”\n        → Choose one of these with --host: local." in printed
    Host.objects.update(last_seen_at=None)
    status, printed = run()
    assert status == 1
    assert "Start bin/up" in printed


def test_without_an_admin_it_says_where_to_make_one(host: Host, cast: Cast):
    cast.admin.delete()
    status, printed = run()
    assert status == 1
    assert "→ Create the first admin: manage.py create_user NAME --admin" in printed


def test_a_failed_install_is_told_with_its_cure(host: Host, monkeypatch: pytest.MonkeyPatch):
    failed = {
        "state": "failed",
        "error": "Steam did not respond in time.\nSteamCMD: “ERROR (Timeout)”\nPress Retry.",
        "finished_at": timezone.now(),
    }
    monkeypatch.setattr(try_game, "_pause", lambda: Job.objects.live().update(**failed))
    status, printed = run()
    assert status == 1
    told = "FAILED  game: Steam did not respond in time. SteamCMD: “ERROR (Timeout)”\n        → Press Retry."
    assert told in printed
    assert not Server.objects.exists()


def test_a_game_that_cannot_start_is_told_with_its_last_lines_and_leaves_nothing(
    host: Host, settings, monkeypatch: pytest.MonkeyPatch
):
    # As many restarts as always, without the half minute of pauses between them.
    instance_spec, quick = launch_plan.instance_spec, RestartPolicy(first_pause_seconds=0.05)
    monkeypatch.setattr(launch_plan, "instance_spec", lambda **named: replace(instance_spec(**named), restart=quick))
    versions = Versions(settings.LEFT4ME_ROOT / "game")
    tree = versions.stage(watch=RecordedRun("game"))
    (tree / "left4dead2/cfg").mkdir(parents=True)
    (tree / "srcds_run").write_text("#!/bin/sh\necho './srcds_linux: not found'\nexit 127\n")
    (tree / "srcds_run").chmod(0o755)
    host.game_version = versions.publish(kind="simulated", build="1", now=datetime.now(UTC)).id
    host.save()
    status, printed = run()
    assert status == 1
    assert steps(printed)[-1] == ("FAILED", "start")
    assert "        | ./srcds_linux: not found" in printed
    assert not Server.objects.exists()
