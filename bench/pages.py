"""Print requests per second, p50 and p99 of the pages people look at, against a bare Django view in the same run.

500 servers of one owner on SQLite (or DATABASE_URL), real uvicorn, real Redis; keep-alive clients that ask one
request after the other. One client shows what a page costs; several show what the machine serves. With --browser, it
prints what every page costs a browser (bench/pages_browser.py).
"""

from __future__ import annotations

import http.client
import itertools
import os
import sys
import threading
import time
from dataclasses import dataclass

from bench import stack

SERVERS = int(os.environ.get("BENCH_SERVERS", "500"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
FORGET_EVERY = 50
CLIENTS = [int(word) for word in os.environ.get("BENCH_CLIENTS", "1,4").split(",")]


def furnish() -> tuple[int, str, int]:
    """Make the installation; returns the owner's id and session, and one server's id."""
    from django.contrib.auth import login
    from django.http import HttpRequest
    from django.utils import timezone

    from accounts.models import User
    from accounts.sessions import SessionStore
    from overlays.models import Overlay
    from servers.models import Blueprint, BlueprintOverlay, Host, Server

    owner = User.objects.create_user("anna")
    now = timezone.now()
    host = Host.objects.get()
    Host.objects.update(last_seen_at=now, last_port=60000)
    layers = [Overlay.objects.create(name=f"overlay {number}", path=f"bench-{number}") for number in range(5)]
    states = Server.State.values
    for number in range(SERVERS):
        blueprint = Blueprint.objects.create(owner=owner, name=f"blueprint {number}", config="sv_pure 2\nsv_region 3")
        BlueprintOverlay.objects.bulk_create(
            BlueprintOverlay(blueprint=blueprint, overlay=layer, position=at) for at, layer in enumerate(layers)
        )
        server = Server(owner=owner, name=f"server {number:03}", blueprint=blueprint, host=host, port=27015 + number)
        server.rcon_password = "x" * 43
        server.actual_state = states[number % len(states)]
        server.actual_state_at = now
        server.save()
    request = HttpRequest()
    request.session = SessionStore()
    login(request, owner)
    request.session.save()
    return owner.pk, str(request.session.session_key), server.pk


@dataclass(frozen=True)
class Visitor:
    user: int
    cookie: str

    def forget_requests(self) -> None:
        """Start the API's window of this user again: it counts as in production, but never reaches the limit."""
        from accounts.api import REQUESTS
        from left4me.core.redis import rate_limit

        rate_limit.forget([(REQUESTS, f"user:{self.user}")])


def ask(port: int, path: str, visitor: Visitor, until: float, taken: list[float], faults: list[int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for number in itertools.count():
        if time.perf_counter() >= until:
            break
        if number % FORGET_EVERY == 0:
            visitor.forget_requests()
        began = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": visitor.cookie, "Accept-Encoding": "identity"})
        answer = connection.getresponse()
        answer.read()
        taken.append(1000 * (time.perf_counter() - began))
        if answer.status != 200:
            faults.append(answer.status)
    connection.close()


def measure(name: str, port: int, path: str, visitor: Visitor, clients: int) -> None:
    taken: list[float] = []
    faults: list[int] = []
    ask(port, path, visitor, time.perf_counter() + 1, [], [])  # warm: templates, connections, caches
    began = time.perf_counter()
    args = (port, path, visitor, began + SECONDS, taken, faults)
    threads = [threading.Thread(target=ask, args=args) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(taken) / (time.perf_counter() - began)
    p50, p99 = stack.percentile(taken, 0.5), stack.percentile(taken, 0.99)
    print(f"{name:<34}{clients:>8}{rate:>10.1f}{p50:>10.1f}{p99:>10.1f}", flush=True)
    if faults:
        raise SystemExit(
            f"{path} answered {sorted(set(faults))} in {len(faults)} of {len(taken)} requests: no figures"
        )


def main() -> int:
    if "--browser" in sys.argv[1:]:
        from bench import pages_browser

        return pages_browser.main()
    stack.redis()
    stack.prepare()
    owner, session, server = furnish()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    call_command("collectstatic", interactive=False, verbosity=0)
    connections.close_all()
    _ours, ours = stack.web()
    _bare, bare = stack.web("bench.bare_view:application")
    visitor = Visitor(owner, f"{settings.SESSION_COOKIE_NAME}={session}")
    pages = {
        "bare Django view": (bare, "/"),
        "health": (ours, "/health"),
        "dashboard": (ours, "/"),
        f"server list (50 of {SERVERS})": (ours, "/servers"),
        "server page": (ours, f"/servers/{server}"),
        "server page, its moving part": (ours, f"/servers/{server}/state"),
        f"API: 50 of {SERVERS} servers": (ours, "/api/v1/servers?limit=50"),
    }
    print(f"{'':<34}{'clients':>8}{'req/s':>10}{'p50 ms':>10}{'p99 ms':>10}")
    for clients in CLIENTS:
        for name, (port, path) in pages.items():
            measure(name, port, path, visitor, clients)
    return 0


if __name__ == "__main__":
    sys.exit(main())
