"""The rows of bench/load: people, the servers that they share, and an overlay that is built again and again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accounts.models import User
    from servers.models import Server

PEOPLE_TO_A_SERVER = 10
LINES_PER_SECOND = 2
BUILD_SECONDS = 10.0
_SCRIPT = """
mkdir -p left4dead2/cfg
for n in $(seq 200); do echo "// $n $(date +%s%N)" > left4dead2/cfg/load_$n.cfg; done
"""


class Site:
    """Django has to be set up before the first one is made."""

    def __init__(self, *, servers: int, people: int) -> None:
        from accounts.actions import create_user
        from accounts.models import User
        from overlays import actions as overlay_actions
        from overlays.models import OverlayScript
        from servers import actions
        from servers.hosts import this_host
        from servers.models import ServerShare

        self.admin = create_user(username="admin", password=None, is_admin=True, by=None)
        self.host = this_host.row()
        self.people = [User.objects.create_user(f"person{number}") for number in range(people)]
        self.overlay = overlay_actions.create(name="load", kind="script", owner=None, by=self.admin)
        OverlayScript.objects.update_or_create(overlay=self.overlay, defaults={"text": _SCRIPT})
        self.servers: list[Server] = []
        self._seen_by: dict[int, list[int]] = {person.pk: [] for person in self.people}
        apart = max(1, people // servers)
        for number, port in enumerate(range(self.host.first_port, self.host.first_port + servers)):
            owner, *others = (
                self.people[(number * apart + step) % people] for step in range(min(PEOPLE_TO_A_SERVER, people))
            )
            blueprint = actions.create_blueprint(owner=owner, by=owner, name=f"load {number}")
            server = actions.create_server(
                owner=owner, by=owner, name=f"load {number:03}", blueprint=blueprint, host=self.host, port=port
            )
            ServerShare.objects.bulk_create(
                ServerShare(server=server, user=person, role="operator") for person in others
            )
            self.servers.append(server)
            for person in (owner, *others):
                self._seen_by[person.pk].append(server.pk)

    def start(self) -> float:
        """Start all games; returns the seconds until all run."""
        from servers import actions
        from servers.models import Server

        began = time.monotonic()
        actions.request_on_host(host=self.host, operation="repair_game", by=self.admin)
        for server in self.servers:
            actions.request(server=server, operation="start", by=server.owner)
        while (running := Server.objects.filter(actual_state="running").count()) < len(self.servers):
            if time.monotonic() - began > 600:
                raise SystemExit(f"only {running} of {len(self.servers)} servers run")
            time.sleep(0.5)
        return time.monotonic() - began

    def chat(self, seconds: float) -> None:
        """Have every game log lines for so long, and people come and go in it."""
        from servers.hosts import this_host

        for server in self.servers:
            server.refresh_from_db()
            this_host.ask_game(server, f"sim_flood {LINES_PER_SECOND} {seconds:.0f}", timeout=20)

    def cookies(self) -> list[str]:
        return [cookie_of(person) for person in self.people]

    def seen_by(self, number: int) -> list[int]:
        """The servers that a person owns or operates."""
        return self._seen_by[self.people[number].pk]

    def build_until(self, ended: threading.Event) -> None:
        from django.db import connection

        from overlays import builds

        while not ended.wait(BUILD_SECONDS):
            builds.request(overlay=self.overlay, by=self.admin)
        connection.close()

    def end(self) -> None:
        from servers import actions
        from servers.models import Server

        for server in Server.objects.select_related("host", "owner"):
            actions.request(server=server, operation="kill", by=self.admin)
        deadline = time.monotonic() + 300
        while Server.objects.exclude(actual_state="stopped").exists() and time.monotonic() < deadline:
            time.sleep(0.5)


def cookie_of(person: User) -> str:
    """Sign a person in; returns the header's value."""
    from django.conf import settings
    from django.test import Client

    client = Client()
    client.force_login(person)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
