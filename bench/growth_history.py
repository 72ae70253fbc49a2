"""What years of use leave behind in an installation of bench/growth: its large tables."""

from __future__ import annotations

from datetime import timedelta

from accounts.models import OneTimeLink, Session
from bench.growth_rows import DAYS, FIRST_ACCOUNT, SERVERS, Rows
from left4me.alerts.models import Delivery, Incident
from left4me.audit.models import AuditEntry
from left4me.jobs.models import Job, JobLock, JobLog
from left4me.schedules.models import Run
from livestate import totals
from livestate.bans.models import Ban
from livestate.demos.models import Demo
from livestate.figures import columns
from livestate.matches.models import Match, MatchPlayer
from livestate.models import FigureBlock, Order, PlayerNote, PlayerSession, ServerFigures, Snapshot, SteamProfile
from livestate.rotation.models import GameEvent
from servers.models import (
    StateChange,
)

_MAPS = "CASE i % 3 WHEN 0 THEN 'c1m1_hotel' WHEN 1 THEN 'c2m1_highway' ELSE 'c5m1_waterfront' END"


def write_history(rows: Rows) -> None:
    """Visits, snapshots, orders, events and figures. In the end every server has visitors who are still there."""
    count = 10_000
    age = rows.age(count)
    is_open = f"i >= {count * rows.factor - 2 * rows.servers}"
    rows.insert(
        PlayerSession,
        count,
        server=f"CASE WHEN {is_open} THEN {rows.first_server} + i % {rows.servers} ELSE {rows.server} END",
        steam_id_64=rows.player,
        joined_at=rows.at(age),
        left_at=f"CASE WHEN {is_open} THEN NULL ELSE {rows.at(f'{age} - 60 - i % 3600')} END",
        name_at_join=f"'player ' || ((i * 7919) % {rows.accounts})",
        min_ping=20,
        max_ping=90,
    )
    totals.write(PlayerSession.objects.all())
    # Each is a minute, so that those of the busy server do not overlap much.
    rows.insert(
        Snapshot,
        count,
        server=rows.server,
        started_at=rows.at(age),
        last_seen_at=rows.at(f"{age} - 60"),
        players="i % 9",
        max_players=8,
        bots=0,
        map=_MAPS,
        hibernating=False,
    )
    # What games were told and what happened to them.
    rows.insert(
        Order,
        1_000,
        server=rows.server,
        user=rows.user,
        kind="'command'",
        value="'status'",
        state="'done'",
        output="'hostname: growth'",
        created_at=rows.at(rows.age(1_000)),
        finished_at=rows.at(rows.age(1_000)),
    )
    rows.insert(
        StateChange,
        1_000,
        server=rows.server,
        at=rows.at(rows.age(1_000)),
        state="CASE i % 20 WHEN 0 THEN 'crashed' ELSE 'running' END",
    )
    rows.insert(
        GameEvent,
        1_000,
        server=rows.server,
        key="'k' || i",
        name="CASE i % 3 WHEN 0 THEN 'vote_started' ELSE 'finale_win' END",
        at=rows.at(rows.age(1_000)),
        is_handled=True,
    )
    rows.insert(
        Demo,
        100,
        server=rows.server,
        path="'auto-' || i || '.dem'",
        size=10**6,
        changed=0,
        state="'complete'",
        map=_MAPS,
        started_at=rows.at(rows.age(100)),
        ended_at=rows.at(f"{rows.age(100)} - 60"),
    )
    rows.insert(
        SteamProfile,
        2_000,
        steam_id_64=f"{FIRST_ACCOUNT} + i",
        persona_name="'player ' || i",
        fetched_at=rows.at("i % 3600"),
    )
    _write_figures(rows)


def _write_figures(rows: Rows) -> None:
    """An hour in fine steps, since a day of them would only take longer to make, and 30 days in coarse ones."""
    day = rows.now.replace(hour=0, minute=0, second=0, microsecond=0)
    hour = rows.now.replace(minute=0, second=0, microsecond=0)
    noise = [100 + (step * 7919) % 40 for step in range(2 * 288)]
    fine, coarse = columns.encode(noise[:360]), columns.encode(noise)
    blocks = [(FigureBlock.FINE, hour - timedelta(hours=back), fine) for back in range(2)]
    blocks += [(FigureBlock.COARSE, day - timedelta(days=back), coarse) for back in range(1, DAYS)]
    for step, start, column in blocks:
        figures = {figure.name: column for figure in ServerFigures.FIGURES}
        rows.insert(ServerFigures, SERVERS, server=f"{rows.first_server} + i", step=step, start=start, **figures)


def write_jobs(rows: Rows) -> None:
    """Jobs of a year that have ended, log lines of the newest, and a queue in which half wait behind an install."""
    count = rows.jobs_count
    age = rows.age(count, 365)
    rows.insert(
        Job,
        count,
        user=rows.user,
        operation="CASE i % 3 WHEN 0 THEN 'start' WHEN 1 THEN 'stop' ELSE 'back_up' END",
        resource=f"'server:' || ({rows.server})",
        host="'local'",
        state="CASE i % 10 WHEN 0 THEN 'failed' WHEN 1 THEN 'cancelled' ELSE 'succeeded' END",
        created_at=rows.at(age),
        started_at=rows.at(f"{age} - 1"),
        finished_at=rows.at(f"{age} - 20"),
        attempt=1,
        last_seq=10,
    )
    first = Job.objects.order_by("pk").values_list("pk", flat=True)[0]
    rows.insert(
        JobLog,
        10_000,
        job=f"{first} + i / 10",
        seq="1 + i % 10",
        stream="'stdout'",
        line="'Something that a build has to say, with a number: ' || i",
        created_at=rows.at(f"{365 * 86_400}.0 * ({count * rows.factor} - i / 10) / {count * rows.factor}"),
    )
    queued = Job.objects.bulk_create(
        Job(operation="diagnostic", resource=f"server:{rows.first_server + n % rows.servers}", host="local")
        for n in range(2 * rows.factor)
    )
    install = Job.objects.create(operation="diagnostic", resource="game", host="local")
    JobLock.objects.create(job=install, resource="game@local", exclusive=True)
    JobLock.objects.bulk_create(
        JobLock(job=job, resource=name, exclusive=exclusive)
        for n, job in enumerate(queued)
        for name, exclusive in ((job.resource, True), ("game@local", False))
        if n % 2 or exclusive
    )


def write_people(rows: Rows) -> None:
    """What users leave behind: the audit log, sessions, links, alerts."""
    rows.insert(
        AuditEntry,
        1_000,
        created_at=rows.at(rows.age(1_000, 365)),
        user=rows.user,
        actor=f"'person' || (i % {rows.users})",
        action="CASE i % 4 WHEN 0 THEN 'server.start' WHEN 1 THEN 'server.stop' ELSE 'session.start' END",
        target="'server:' || i % 100",
    )
    rows.insert(
        Session,
        20,
        digest="'digest' || i",
        user=rows.user,
        data="''",
        expires_at=rows.at("-864000"),
    )
    rows.insert(
        OneTimeLink,
        10,
        purpose="'invitation'",
        digest="'digest' || i",
        created_by=rows.user,
        expires_at=rows.at("-864000"),
    )
    rows.insert(
        Incident,
        100,
        key="'server:' || i",
        subject=f"'server:' || ({rows.server})",
        opened_at=rows.at(rows.age(100, 365)),
        last_at=rows.at(rows.age(100, 365)),
        closed_at=f"CASE WHEN i % 50 = 0 THEN NULL ELSE {rows.at(rows.age(100, 365))} END",
    )
    rows.insert(
        Delivery,
        1_000,
        channel=f"{rows.first_channel} + CASE WHEN i % 10 = 0 THEN 0 ELSE i % {5 * rows.factor} END",
        event="'job_failed'",
        subject=f"'server:' || ({rows.server})",
        title="'Backup failed'",
        created_at=rows.at(rows.age(1_000)),
        ended_at=rows.at(rows.age(1_000)),
        state="'sent'",
    )


def write_the_rest(rows: Rows) -> None:
    """Runs of schedules, matches, bans and notes."""
    rows.insert(
        Run,
        1_000,
        schedule=f"{rows.first_schedule} + CASE WHEN i % 10 = 0 THEN 0 ELSE i % {rows.servers} END",
        server=rows.server,
        action="'restart'",
        due_at=rows.at(rows.age(1_000, 90)),
        ended_at=rows.at(rows.age(1_000, 90)),
        state="'started'",
    )
    rows.insert(
        Match,
        50,
        server=rows.server,
        mode="'zonemod'",
        mode_title="'ZoneMod'",
        wanted_players=8,
        state="'ended'",
        created_at=rows.at(rows.age(50, 365)),
        ended_at=rows.at(rows.age(50, 365)),
    )
    first = Match.objects.order_by("pk").values_list("pk", flat=True)[0]
    rows.insert(MatchPlayer, 400, match=f"{first} + i / 8", steam_id_64=rows.player, name="'player'", team="'A'")
    rows.insert(
        Ban,
        200,
        ban_list=f"{rows.first_list} + CASE WHEN i % 10 = 0 THEN 0 ELSE i % {rows.users} END",
        target=f"CAST({FIRST_ACCOUNT} + i AS text)",
        name="'player ' || i",
        reason="'griefing'",
        created_at=rows.at(rows.age(200, 365)),
        ended_at=f"CASE i % 2 WHEN 0 THEN NULL ELSE {rows.at(f'{rows.age(200, 365)} / 2')} END",
    )
    rows.insert(
        PlayerNote,
        100,
        owner=rows.user,
        steam_id_64=rows.player,
        text="'Votes against everybody.'",
        created_at=rows.at(rows.age(100, 365)),
    )
