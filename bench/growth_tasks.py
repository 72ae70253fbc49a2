"""What bench/growth does besides asking for pages: the work of workers, of beat and of Prometheus; and all parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from bench.growth_installation import Installation
from bench.growth_pages import Page, api, history, pages, requests
from bench.growth_rows import SERVERS
from bench.growth_work import FLAT, LINEAR, Work


def metrics(site: Installation) -> Iterator[Work]:
    """What Prometheus asks for, and the size of the tables that it shows."""
    from left4me.site import sizes

    yield from requests(site, (Page("/metrics", limit=LINEAR),))
    yield Work("count the rows of all tables", sizes.measure, LINEAR)


def jobs(site: Installation) -> Iterator[Work]:
    """Requests, claims and ends of jobs beside a year of jobs that have ended, and a queue that has to wait."""
    from left4me.jobs import actions, sweep, transitions
    from left4me.jobs.leases import LEASE
    from left4me.jobs.models import Job

    def request() -> Job:
        resource = f"server:{site.quiet.pk}"
        return actions.request(operation="diagnostic", resource=resource, by=site.owner, host="local")

    def claim() -> list[Job]:
        now = timezone.now()
        return transitions.claim(host="local", worker="growth", limit=1, now=now, lease=LEASE)

    def run() -> None:
        (job,) = claim()
        assert transitions.finish(job, state=Job.State.SUCCEEDED, now=timezone.now(), exit_code=0)

    yield Work("request a job", request, FLAT, undone=True)
    yield Work("claim a job", claim, FLAT, undone=True)
    yield Work("claim a job and end it", run, FLAT, undone=True)
    yield Work("settle abandoned jobs", lambda: sweep.settle_abandoned(host="local", now=timezone.now()), FLAT)


def builds(site: Installation) -> Iterator[Work]:
    """Builds of a files overlay with 100 files for each time the size, and of one that stays small."""
    from left4me.testing.recorded_run import RecordedRun
    from overlays import builds, paths

    def build(overlay: Any, files: int) -> Callable[[], object]:
        top = paths.directory(overlay)
        for number in range(files):
            place = top / "left4dead2" / f"cfg{number % 20}" / f"{number}.cfg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("sv_pure 2\n")
        return lambda: builds.build(RecordedRun(overlay.resource), overlay)

    yield Work("build of 100 files x size", build(site.overlay, 100 * site.factor), LINEAR, undone=True)
    yield Work("build of 100 files", build(site.quiet.blueprint.overlays.first(), 100), FLAT, undone=True)


def backups(site: Installation) -> Iterator[Work]:
    """The copy of the database that a backup of the machine holds, archives, and their tidying."""
    from left4me.backups import archives, operations
    from left4me.backups.models import Backup

    place = Path(settings.LEFT4ME_ROOT) / "growth"
    tree = place / "tree"
    for number in range(50 * site.factor):
        (tree / f"{number % 10}").mkdir(parents=True, exist_ok=True)
        (tree / f"{number % 10}" / f"{number}.cfg").write_text("sv_pure 2\n")

    def archive() -> None:
        shutil.rmtree(place / "archives", ignore_errors=True)
        (place / "archives").mkdir()
        archives.write(tree, place / "archives" / "1.tar.gz", most=10**9, check=lambda: None, count=lambda *done: None)

    yield Work("archive of 50 files x size", archive, LINEAR)
    yield Work("tidy archives", operations.remove_orphans, LINEAR)
    yield Work("bytes of a user's backups", lambda: Backup.objects.filter(owner=site.owner).size(), LINEAR)


def cleanup(site: Installation) -> Iterator[Work]:
    """The nightly and hourly deletion of old rows: with nothing to delete, and of a tenth of all."""
    from accounts import tasks as accounts_tasks
    from left4me.alerts import tasks as alerts_tasks
    from left4me.audit import tasks as audit_tasks
    from left4me.jobs import sweep
    from left4me.schedules import tasks as schedules_tasks
    from livestate import history as livestate_history
    from livestate.bans import tasks as bans_tasks
    from livestate.figures import condensation
    from livestate.matches import tasks as matches_tasks
    from servers import tasks as servers_tasks

    def history_of(days: int) -> Callable[[], object]:
        return lambda: livestate_history.prune(now=timezone.now(), days=days)

    def jobs_of(log_days: int, job_days: int) -> Callable[[], object]:
        return lambda: sweep.prune(now=timezone.now(), log_days=log_days, job_days=job_days)

    yield Work("history, nothing old", history_of(31), LINEAR, undone=True)
    yield Work("history, a tenth is old", history_of(27), LINEAR, undone=True)
    yield Work("figures", lambda: condensation.condense(now=timezone.now(), days=30), LINEAR, undone=True)
    yield Work("jobs, nothing old", jobs_of(366, 366), LINEAR, undone=True)
    yield Work("jobs, a tenth is old", jobs_of(328, 328), LINEAR, undone=True)
    for name, tasks in (
        ("accounts", accounts_tasks),
        ("alerts", alerts_tasks),
        ("audit", audit_tasks),
        ("runs of schedules", schedules_tasks),
        ("bans", bans_tasks),
        ("matches", matches_tasks),
        ("servers", servers_tasks),
    ):
        yield Work(name, tasks.prune, LINEAR, undone=True)


def periodic(site: Installation) -> Iterator[Work]:
    """What beat has hosts do every few seconds or minutes. What looks at servers may cost more for more of them."""
    from left4me.alerts import tasks as alerts_tasks
    from left4me.jobs import tasks as jobs_tasks
    from left4me.schedules import tasks as schedules_tasks
    from left4me.site import pulse
    from left4me.status_pages import discord
    from livestate import profiles
    from livestate.bans import application as bans
    from livestate.demos import tasks as demos_tasks
    from livestate.matches import tasks as matches_tasks
    from livestate.rotation import tasks as rotation_tasks
    from overlays import tasks as overlays_tasks
    from servers import tasks as servers_tasks
    from servers.game_access import application as game_access
    from servers.gamehost.port import State
    from servers.hosts import reconcile
    from servers.models import Server
    from servers.tests.fake_runtime import FakeRuntime

    runtime = FakeRuntime()
    for pk, state in Server.objects.values_list("pk", "actual_state"):
        runtime.set(pk, State.RUNNING if state == "running" else State.STOPPED)

    def observe() -> None:
        reconcile.refresh(
            "local",
            runtime=runtime,
            ready=lambda servers: {server.pk for server in servers},
            now=timezone.now(),
            rebooted=False,
        )

    yield Work("observe all servers of a host", observe, LINEAR, undone=True)
    yield Work("admins of games", lambda: game_access.apply("local", now=timezone.now()), LINEAR, undone=True)
    # The first time notes that no game answers, and when to try again.
    yield Work("bans of games", lambda: bans.apply_due("local", now=timezone.now()), LINEAR)
    yield Work("rotations", rotation_tasks.follow, LINEAR, undone=True)
    yield Work("demos", demos_tasks.look, LINEAR, undone=True)
    yield Work("matches", matches_tasks.attend, LINEAR, undone=True)
    yield Work("schedules", schedules_tasks.tick, FLAT, undone=True)
    yield Work("alerts", alerts_tasks.send, FLAT, undone=True)
    yield Work("messages in Discord", lambda: discord.send(now=timezone.now()), FLAT, undone=True)
    yield Work("jobs", jobs_tasks.sweep_jobs, FLAT, undone=True)
    yield Work("pulse", pulse.beat, FLAT, undone=True)
    a_day = timedelta(days=1)
    yield Work("Steam profiles of a day", lambda: profiles.due(now=timezone.now(), ttl=a_day, of_all=False), LINEAR)
    yield Work("Steam profiles, hourly", lambda: profiles.due(now=timezone.now(), ttl=a_day), LINEAR)
    yield Work("copies of servers", servers_tasks.copy_due, LINEAR, undone=True)
    yield Work("moves of servers", servers_tasks.forget_moves, FLAT, undone=True)
    yield Work("silent hosts", servers_tasks.watch_hosts, FLAT, undone=True)
    yield Work("tidy overlays", overlays_tasks.tidy, LINEAR, undone=True)
    yield Work("look for overlays to inspect", overlays_tasks.inspect_old, FLAT, undone=True)
    yield Work("workshop refresh", overlays_tasks.refresh_when_due, FLAT, undone=True)


def sweep(site: Installation) -> Iterator[Work]:
    """A sweep over all running servers, whose endpoints are in another process. Each has 8 visitors."""
    from livestate.sweep import Sweeper

    sweeper = Sweeper(site.host)
    yield Work(f"sweep of {SERVERS * 4 // 5} servers x size", sweeper.sweep, LINEAR)


PARTS: dict[str, Callable[[Installation], Iterator[Work]]] = {
    part.__name__: part for part in (pages, api, history, metrics, jobs, builds, backups, cleanup, periodic, sweep)
}
