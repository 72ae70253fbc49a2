"""Makes an installation large: forty servers, long lists of everything, and names as long as the forms allow."""

from __future__ import annotations

from datetime import datetime, timedelta

from accounts.models import User
from left4me.audit.models import AuditEntry
from left4me.jobs.models import Job
from overlays.models import Overlay
from servers.models import Blueprint, BlueprintOverlay, Host, Server, StateChange
from servers.tests.factories import make_host

SERVERS, OTHERS, JOBS = 40, 30, 120
# Without a space to break at: the worst for a column.
LONG = "Wintergames_2026_finals_group_stage_server_with_an_unbreakable__"


def crowd(owner: User, now: datetime) -> None:
    """Add to a furnished installation until each list is longer than its page."""
    host = Host.objects.get(name="local")
    make_host(name="attic", address="attic.example.org", last_seen_at=now - timedelta(days=2), version="0.0.1")
    overlays = Overlay.objects.bulk_create(
        Overlay(name=f"{LONG[:58]}{number}" if number == 0 else f"Overlay {number}", path=f"c/{number}", owner=owner)
        for number in range(OTHERS)
    )
    plans = Blueprint.objects.bulk_create(
        Blueprint(owner=owner, name=f"{LONG[:58]}{number}" if number == 0 else f"Blueprint {number}")
        for number in range(OTHERS)
    )
    BlueprintOverlay.objects.bulk_create(
        BlueprintOverlay(blueprint=plans[0], overlay=overlay, position=position)
        for position, overlay in enumerate(overlays[:12])
    )
    states = Server.State.values
    servers = Server.objects.bulk_create(
        Server(
            owner=owner,
            name=LONG[:64] if number == 0 else f"Server {number}",
            host=host,
            blueprint=plans[number % OTHERS],
            port=host.last_port - number,
            sealed_rcon_password="x",
            tags=",night," if number % 3 else ",night,tournament,public,",
            desired_state="running" if number % 2 else "stopped",
            actual_state=states[number % len(states)],
            actual_state_at=now,
        )
        for number in range(SERVERS)
    )
    StateChange.objects.bulk_create(
        StateChange(server=servers[0], state=states[number % len(states)], at=now - timedelta(hours=number))
        for number in range(OTHERS)
    )
    User.objects.bulk_create(User(username=f"player{number}") for number in range(OTHERS))
    Job.objects.bulk_create(
        Job(
            operation="start",
            resource=f"server:{servers[number % SERVERS].pk}",
            state="succeeded",
            user=owner,
            host=host.name,
            finished_at=now - timedelta(minutes=number),
        )
        for number in range(JOBS)
    )
    AuditEntry.objects.bulk_create(
        AuditEntry(user=owner, actor=owner.username, action="server.start", target=f"server:{servers[0].pk}")
        for _ in range(JOBS)
    )
