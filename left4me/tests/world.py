"""An installation in use, for tests that look at pages: servers in every state, jobs, overlays, players."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from accounts.models import User
from left4me.alerts.tests.factories import make_channel
from left4me.backups.tests.factories import make_backup
from left4me.core import secrets
from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from left4me.jobs.models import Job, JobLog
from left4me.schedules.models import BulkAction, Run
from left4me.schedules.tests.factories import make_schedule
from left4me.status_pages.models import StatusMessage
from left4me.status_pages.tests.factories import make_page
from livestate.bans.tests.factories import make_ban, make_list
from livestate.demos.models import Demo
from livestate.demos.tests.factories import make_demo
from livestate.matches.tests.factories import MODE, make_match, offer
from livestate.rotation.entries import Entry, Kind
from livestate.rotation.tests.factories import make_announcement, make_event, make_rotation
from livestate.tests.factories import make_note, make_profile, make_session, make_snapshot, record_figures
from overlays.models import Overlay, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from servers.models import GameCheck, Host, Server
from servers.tests.factories import make_blueprint, make_host, make_server, share
from workshop.models import WorkshopItem

NAMES = ["Nick", "Rochelle", "Coach", "Ellis", "Bill", "Zoey", "Francis", "Louis <3", 'the #end of "names"', "ゾンビ"]
SERVERS = [
    ("Friday versus", "running", "running"),
    ("Campaign evening", "running", "running"),
    ("Workshop night", "running", "starting"),
    ("Realism", "stopped", "stopped"),
    ("Scavenge cup", "running", "gave_up"),
    ("A server with a name as long as the form allows it to be", "stopped", "running"),
]
LOG = [
    ("event", "start asked for by anna"),
    ("stdout", "mounting 3 layers over the game"),
    ("stdout", 'Executing dedicated server config file "server.cfg"'),
    ("stderr", "CSteam3Server: no answer from the master server yet; trying again in 5 seconds, as often as it takes"),
    ("stdout", 'L 11/21/2026 - 20:00:12: World triggered "Round_Start"'),
]


def furnish(owner: User, friend: User, now: datetime) -> dict[str, int]:
    """Fill the database for `owner`; returns the key of one object of each kind, by the first part of its address."""
    host = make_host(last_seen_at=now, game_version="20300102T000000-100", facts=_facts(now))
    overlays = [
        make_overlay(name="Competitive config", kind=Overlay.Kind.FILES, expose_cfg=True, built_at=now),
        make_overlay(
            name="Friday maps", kind=Overlay.Kind.WORKSHOP, owner=owner, size_bytes=4_212_345_678, file_count=23
        ),
        make_overlay(name="SourceMod", kind=Overlay.Kind.SCRIPT, built_at=now - timedelta(days=3), file_count=1204),
    ]
    blueprint = make_blueprint(
        owner,
        overlays=overlays,
        name="Versus with our maps",
        arguments="+map c5m1_waterfront\n-tickrate 60",
        config="sv_alltalk 1\nmp_gamemode versus",
    )
    servers = [
        make_server(
            owner,
            host=host,
            blueprint=blueprint,
            name=name,
            desired_state=desired,
            actual_state=actual,
            actual_state_at=now,
            started_at=now - timedelta(hours=2) if actual == "running" else None,
            last_error="srcds ended with signal 11, five times in ten minutes." if actual == "gave_up" else "",
        )
        for name, desired, actual in SERVERS
    ]
    share(servers[0], friend)
    make_backup(servers[0], user=owner, file_count=412, size=73_400_000, was_running=True)
    make_backup(servers[0], reason="before_restore", file_count=409, size=73_100_000)
    _populate(servers[0], now)
    _fill(overlays[1], now)
    job = _jobs(owner, servers, now)
    GameCheck.objects.create(host=host, newest_build="101", noticed_at=now, checked_at=now, source="steam")
    ban_list = make_list(owner, is_default=True)
    ban = make_ban(
        ban_list, 100, name=NAMES[0], evidence="https://example.org/demo", expires_at=now + timedelta(days=6)
    )
    make_ban(ban_list, target="203.0.113.0/24", name="", reason="")
    shared = make_list(friend, is_shared=True)
    make_note(101, owner, text="Left after every lost round.\nAsk before the next kick vote.", changed_at=now)
    make_rotation(blueprint, ["c1m1_hotel", "c2m1_highway", "c5m1_waterfront", "gone_1"], sequence="shuffled")
    queue = [Entry(Kind.MAP, "c8m5_rooftop"), Entry(Kind.CAMPAIGN, "a_campaign_with_a_name_as_long_as_a_file_may_be")]
    make_announcement(servers[0], "c2m3_coaster", now=now, queue=queue)
    _votes(servers[0], now)
    note = make_note(100, owner, author=friend, text="Votes to kick whoever plays with a microphone that is loud")
    make_ban(make_list(owner, server=servers[0]), 101, name=NAMES[8], ended_at=now, ended_by=owner)
    return {
        "bans": ban.pk,
        "banlists": shared.pk,
        "servers": servers[0].pk,
        "hosts": host.pk,
        "blueprints": blueprint.pk,
        "overlays": overlays[1].pk,
        "jobs": job.pk,
        "notes": note.pk,
        "matches": _matches(servers, now),
        "demos": _demos(servers[0], now),
        "alerts": _alerts(owner, servers, now),
        "bulk": _bulk(owner, host, servers, now),
        "schedules": _schedules(owner, servers, now),
        "status-pages": _status_pages(owner, servers, now),
        "users": friend.pk,
        "players": STEAM_ID_64_BASE + 100,
    }


def _votes(server: Server, now: datetime) -> None:
    called = now - timedelta(minutes=9)
    kick = ("#L4D_vote_kick_player", NAMES[8], "255")
    make_event(server, "vote_started", called, *kick, NAMES[1], "STEAM_1:0:50")
    make_event(server, "vote_failed", called, "", "", "255", "1", "3", "4")
    make_event(
        server, "vote_started", now, "#L4D_vote_mission_change", "#L4D360UI_CampaignName_C5", "255", NAMES[9], ""
    )


def _matches(servers: list[Server], now: datetime) -> int:
    """One that waits for players, one that is being played, with teams and points, and one that was never loaded."""
    offer(servers[0].blueprint.layers[0], MODE)
    accounts = [STEAM_ID_64_BASE + 100 + number for number in range(len(NAMES))]
    ready = [str(account) for account in accounts[::2]]
    sides = {str(account): "Survivor" for account in accounts[:4]}
    make_match(servers[0], state="waiting", loads_when_ready=True, map="c2m1_highway", ready=ready, sides=sides)
    note = "[Confogl] Map a_map_with_quite_a_long_name_of_a_campaign_that_nobody_has not found!"
    make_match(servers[1], state="failed", mode_title="1v1 Arena", note=note, ended_at=now)
    begin = now - timedelta(minutes=40)
    played = {"map": "c2m1_highway", "a": 310, "b": 295, "total_a": 310, "total_b": 295, "team_a": [], "team_b": []}
    match = make_match(
        servers[1],
        started_at=begin,
        created_at=begin,
        phase="ready_up",
        created_by=servers[1].owner,
        tells_score=True,
        maps=[["c2m1_highway", begin.isoformat()], ["a_map_with_quite_a_long_name_of_a_campaign", now.isoformat()]],
        rounds=[played],
    )
    for number, name in enumerate(NAMES):
        match.players.create(steam_id_64=accounts[number], name=name, team="AB"[number % 2] if number < 8 else "")
    return match.pk


def _bulk(owner: User, host: Host, servers: list[Server], now: datetime) -> int:
    """An update that was stopped at its second server."""
    bulk = BulkAction.objects.create(
        user=None,
        origin=BulkAction.Origin.GAME_UPDATE,
        host=host,
        action="restart",
        condition="wait_skip",
        game_version=host.game_version,
        state=BulkAction.State.STOPPED,
        reason="“Friday versus” failed: The game ended with status 1.",
        ended_at=now,
    )
    states = ["skipped", "failed", *["cancelled"] * len(servers)]
    for position, (server, state) in enumerate(zip(servers, states, strict=False)):
        Run.objects.create(
            bulk=bulk,
            position=position,
            server=server,
            action="restart",
            due_at=now,
            state=state,
            ended_at=now,
            reason="The game ended with status 1." if state == "failed" else "",
        )
    return bulk.pk


def _fill(overlay: Overlay, now: datetime) -> None:
    stamp = int(now.timestamp())
    ways = {"cached": (stamp, ""), "stale": (stamp - 1, ""), "failed": (None, "Steam answered 404 to the download.")}
    for number, (title, (version, error)) in enumerate(ways.items(), 1):
        item = WorkshopItem.objects.create(
            steam_id=3_000_000_000 + number,
            title=f"A campaign that is {title}",
            file_size=number * 123_456_789,
            file_url="https://cdn.steamusercontent.com/x",
            time_updated=stamp,
            cached_version=version,
            last_error=error,
            is_valid=True if version else None,
            campaigns=[{"name": "dead", "title": "Dead Before Dawn", "modes": {"coop": [{"map": "dbd_1"}]}}],
        )
        OverlayWorkshopItem.objects.create(overlay=overlay, item=item, linked_version=version)


def _schedules(owner: User, servers: list[Server], now: datetime) -> int:
    """A schedule with runs of every result, one that is off, and one that waits on the first server."""
    nightly = make_schedule(owner, after=now, name="Nightly restart", time_zone="Europe/Berlin", warn_minutes=[10, 5])
    make_schedule(owner, after=now, server=servers[0], name="Finale on Fridays", cron="0 20 * * 5", is_enabled=False)
    for days, (state, _label) in enumerate(Run.State.choices):
        due = now - timedelta(days=days)
        reason = "Players were online." if state == Run.State.SKIPPED else ""
        nightly.runs.create(server=servers[0], user=owner, action="restart", due_at=due, state=state, reason=reason)
    Run.objects.create(server=servers[0], user=owner, action="stop", condition="wait_skip", due_at=now)
    return nightly.pk


def _status_pages(owner: User, servers: list[Server], now: datetime) -> int:
    """A page that is on, and one that is off; both in Discord, one of them failing."""
    page = make_page(owner, *servers, title="Our servers", slug="ours", embed_origins=["https://clan.example.org"])
    off = make_page(owner, servers[0], title="Scrims", is_enabled=False)
    for shown, error in ((page, ""), (off, "The receiver is rate limiting (HTTP 429). Retrying later.")):
        channel = make_channel(owner, name=f"Discord of {shown.title}", kind="discord", events=["server_started"])
        StatusMessage.objects.create(channel=channel, page=shown, message_id="1", sent_at=now, last_error=error)
    return page.pk


def _demos(server: Server, now: datetime) -> int:
    """A demo of every state, with names as long as they come; returns one whose game was killed."""
    for hours, (state, _label) in enumerate(Demo.State.choices):
        length = timedelta() if state == Demo.State.DAMAGED else timedelta(minutes=40)
        name = f"a_campaign_whose_map_has_quite_a_long_name_{state}"
        demo = make_demo(
            server,
            now - timedelta(hours=hours),
            length,
            path=f"left4dead2/demos/auto-20300102-1{hours}00-{name}.dem",
            map="" if state == Demo.State.DAMAGED else name,
            state=state,
        )
        if state == Demo.State.UNFINISHED:
            unfinished = demo
    make_demo(server, now - timedelta(days=1))
    return unfinished.pk


def _alerts(owner: User, servers: list[Server], now: datetime) -> int:
    """Create channels in every state; returns the one with deliveries."""
    well = make_channel(owner, name="our Discord", kind="discord", last_delivered_at=now)
    make_channel(owner, name="a script", is_enabled=False, events=["job_failed"])
    error = "hooks.example.org answers with HTTP status 503."
    make_channel(owner, name="a name as long as anybody would", last_error=error, last_error_at=now, failures=3)
    make_channel(owner, "anna@example.org", name="mail", kind="email", sealed_code=secrets.seal("0A1B2C3D"))
    for state in ("sent", "waiting", "dropped"):
        title = f"“{servers[4].name}” keeps crashing"
        text = "srcds ended with signal 11, five times in ten minutes. It stays down until somebody starts it."
        well.deliveries.create(event="server_gave_up", title=title, text=text, state=state, created_at=now)
    return well.pk


def _facts(now: datetime) -> dict[str, object]:
    versions = [
        {
            "id": f"2030010{day}T000000-{build}",
            "kind": "steam",
            "build": str(build),
            "installed_at": (now - timedelta(days=9 - day)).isoformat(),
        }
        for day, build in ((1, 99), (2, 100))
    ]
    machine = {"cores": 8, "load": 1.25, "memory": {"total": 32 << 30, "available": 21 << 30}}
    disk = {"total": 480 << 30, "free": 130 << 30}
    backup = {"since": (now - timedelta(hours=5)).isoformat(), "is_nightly": True}
    return {
        "runtime": "process",
        "game": "simulated",
        "versions": versions,
        "disk": disk,
        "backup": backup,
        **machine,
        "floods": _floods(now),
    }


def _floods(now: datetime) -> dict[str, object]:
    total = {"queries": 48_120_377, "connections": 1_204, "strangers": 96, "storms": 2_310_009, "players": 0}
    total |= {"malformed": 71_512, "rcon": 5_480}
    before = {name: count * 3 // 4 for name, count in total.items()}
    return {
        "is_loaded": True,
        "limits": {"requests": 10, "requests_in_all": 200, "packets": 500},
        "read_at": now.timestamp(),
        "rate": {"queries": 2140.5},
        "total": total,
        "marks": [{"at": now.timestamp() - 3700, "total": before}],
    }


def _figures(step: int, dice: random.Random) -> dict[str, float]:
    players = step // 50
    return {
        "players": players,
        "cpu": dice.gauss(8 + 7 * players, 3),
        "memory": 5e8 + 2e7 * players,
        "ping": dice.gauss(0.02, 0.003),
        "disk": 4e7,
    }


def _populate(server: Server, now: datetime) -> None:
    dice = random.Random(4)
    for hour in range(48, 0, -1):
        start = now - timedelta(hours=hour)
        players = max(0, min(8, round(4 + 4 * dice.uniform(-1, 1) - abs(hour % 24 - 8) / 4)))
        place = dice.choice(["c5m1_waterfront", "c2m3_coaster", "c8m5_rooftop", "my_custom_map_with_a_long_name"])
        make_snapshot(server, start, start + timedelta(minutes=59), players=players, map=place)
    make_snapshot(server, now - timedelta(minutes=20), now, players=5, bots=1, map="c2m3_coaster")
    record_figures(server, now - timedelta(minutes=40), [_figures(step, dice) for step in range(240)])
    load = [{"cpu": dice.gauss(30, 5), "memory": 6e9, "disk": 4e10, "received": 4e5, "sent": 9e5} for _ in range(240)]
    record_figures(server.host, now - timedelta(minutes=40), load)
    for number, name in enumerate(NAMES):
        joined = now - timedelta(minutes=90 - 7 * number)
        left = None if number < 5 else now - timedelta(minutes=3 * number)
        make_session(server, 100 + number, joined - timedelta(hours=1), left, name_at_join=name)
        make_profile(100 + number, now, persona_name=name)


def _jobs(owner: User, servers: list[Server], now: datetime) -> Job:
    given = {"user": owner, "host": servers[0].host.name}
    states = [("start", "succeeded"), ("stop", "cancelled"), ("start", "failed"), ("restart", "queued")]
    for number, (operation, state) in enumerate(states):
        ended = now if state in {"succeeded", "failed", "cancelled"} else None
        Job.objects.create(
            **given,
            operation=operation,
            resource=f"server:{servers[number].pk}",
            state=state,
            error="the game ended with status 139 before it was ready" if state == "failed" else "",
            created_at=now - timedelta(minutes=number),
            started_at=now - timedelta(minutes=number) if ended else None,
            finished_at=ended,
        )
    Job.objects.create(**given, operation="install", resource="game", state="succeeded", finished_at=now)
    job = Job.objects.create(
        **given,
        operation="start",
        resource=f"server:{servers[2].pk}",
        state="running",
        started_at=now - timedelta(seconds=42),
        progress={"phase": "Waiting for the map to load", "done": 12, "total": 30, "unit": "s"},
        lease_expires_at=now + timedelta(days=1),
        last_seq=len(LOG),
    )
    JobLog.objects.bulk_create(
        JobLog(job=job, seq=number, stream=stream, line=line, created_at=now)
        for number, (stream, line) in enumerate(LOG, 1)
    )
    return job
