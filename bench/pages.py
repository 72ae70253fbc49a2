"""Print requests per second, p50 and p99 of the pages people look at, against a bare Django view in the same run.

500 servers of one owner on SQLite (or DATABASE_URL), the real web, real Redis; keep-alive clients that ask one
request after the other. One client shows what a page costs; several show what the machine serves. With --calls, it
counts function calls, queries and bytes of a request instead, which a busy machine does not change. With --browser, it
prints what every page costs a browser (bench/pages_browser.py).

    BENCH_CLIENTS=1,4,16          clients at the same time
    BENCH_WEBS=1x8,2x1,2x4        webs that are compared, each with its processes and the threads of each
    BENCH_PAGES=list,health       pages whose names contain one of these words
    BENCH_PAUSE=5                 people instead: seconds between an answer and the next click, half to one and a half
"""

from __future__ import annotations

import cProfile
import http.client
import itertools
import os
import pstats
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from bench import figures, stack
from bench.figures import Figure
from bench.idle import descendants, pss_kib

SERVERS = int(os.environ.get("BENCH_SERVERS", "500"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
FORGET_EVERY = 50
COUNTED = 5
CLIENTS = [int(word) for word in os.environ.get("BENCH_CLIENTS", "1,4").split(",")]
WEBS = os.environ.get("BENCH_WEBS", "1x8").split(",")
PAGES = os.environ.get("BENCH_PAGES", "").split(",")
LIST = f"server list (50 of {SERVERS})"
PAUSE = float(os.environ.get("BENCH_PAUSE", "0"))


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
    # People did not all come at the same moment.
    time.sleep(random.uniform(0, PAUSE))
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
        if PAUSE:
            # As with a browser that has closed it meanwhile; the next click opens another one.
            connection.close()
            time.sleep(PAUSE * random.uniform(0.5, 1.5))
    connection.close()


def measure(
    name: str, web: str, port: int, path: str, visitor: Visitor, clients: int, *, who: str = figures.US, work: str = ""
) -> None:
    """Measure one page, and record it as `work` (the name of the page) of `who`."""
    taken: list[float] = []
    faults: list[int] = []
    _ask_by(clients, (port, path, visitor, time.perf_counter() + 1, [], []))  # warm: templates, connections, caches
    began = time.perf_counter()
    _ask_by(clients, (port, path, visitor, began + SECONDS, taken, faults))
    rate = len(taken) / (time.perf_counter() - began)
    p50, p99 = stack.percentile(taken, 0.5), stack.percentile(taken, 0.99)
    work = f"{work or name}, {clients} {'people' if PAUSE else 'clients' if clients > 1 else 'client'}"
    if web and web != WEBS[0]:
        work += f", web {web}"
    figures.record(
        f"{name:<34}{web:>8}{clients:>8}{rate:>10.1f}{p50:>10.1f}{p99:>10.1f}",
        Figure("pages", f"{work}: rate", rate, "req/s", who),
        Figure("pages", f"{work}: p50", p50, "ms", who),
        Figure("pages", f"{work}: p99", p99, "ms", who),
        Figure("pages", f"{work}: errors", len(faults), "", who),
    )
    if faults:
        raise SystemExit(
            f"{path} answered {sorted(set(faults))} in {len(faults)} of {len(taken)} requests: no figures"
        )


def _ask_by(clients: int, arguments: tuple[int, str, Visitor, float, list[float], list[int]]) -> None:
    threads = [threading.Thread(target=ask, args=arguments) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def memory(process: subprocess.Popen[bytes]) -> float:
    """MiB of all processes of a web, pages that they share counted once."""
    return sum(pss_kib(pid) for pid in descendants(process.pid)) / 1024


def count_calls(paths: dict[str, str], visitor: Visitor) -> None:
    """Print calls, queries and bytes of each page in this process, once what is kept of earlier requests is there."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(HTTP_HOST="127.0.0.1", HTTP_COOKIE=visitor.cookie)
    print(f"{'':<34}{'function calls':>16}{'queries':>9}{'bytes':>9}")
    for name, path in paths.items():
        for _ in range(COUNTED):
            client.get(path)
        visitor.forget_requests()
        with cProfile.Profile() as profile:
            statuses = {client.get(path).status_code for _ in range(COUNTED)}
        if statuses != {200}:
            raise SystemExit(f"{path} answered {sorted(statuses)}: no figures")
        calls = pstats.Stats(profile).total_calls // COUNTED  # type: ignore[attr-defined]
        with CaptureQueriesContext(connection) as queries:
            size = len(client.get(path).content)
        figures.record(
            f"{name:<34}{calls:>16,}{len(queries):>9}{size:>9,}",
            Figure("pages", f"{name}: function calls", calls, "calls"),
            Figure("pages", f"{name}: queries", len(queries), "queries"),
            Figure("pages", f"{name}: size", size, "bytes"),
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
    visitor = Visitor(owner, f"{settings.SESSION_COOKIE_NAME}={session}")
    paths = {
        "health": "/health",
        "dashboard": "/",
        LIST: "/servers",
        "server page": f"/servers/{server}",
        "server page, its moving part": f"/servers/{server}/state",
        f"API: 50 of {SERVERS} servers": "/api/v1/servers?limit=50",
        "activity": "/jobs",
    }
    if "--calls" in sys.argv[1:]:
        count_calls(paths, visitor)
        return 0
    connections.close_all()
    webs = {web: stack.web(**_shape(web)) for web in WEBS}
    _bare, bare = stack.web("bench.peers.bare_view:application")
    before = {web: memory(process) for web, (process, _port) in webs.items()}
    print(f"{'':<34}{'web':>8}{'clients':>8}{'req/s':>10}{'p50 ms':>10}{'p99 ms':>10}")
    for clients in CLIENTS:
        measure("bare Django view", "", bare, "/", visitor, clients, who="bare Django view", work="health")
        for name, path in paths.items():
            if any(word in name for word in PAGES):
                # One after the other, so that what else the machine does meets all of them alike.
                for web, (_process, port) in webs.items():
                    measure(name, web, port, path, visitor, clients)
    print(f"\n{'memory, MiB of PSS':<34}{'web':>8}{'before':>10}{'after':>10}")
    for web, (process, _port) in webs.items():
        print(f"{'':<34}{web:>8}{before[web]:>10.1f}{memory(process):>10.1f}")
    return 0


def _shape(web: str) -> dict[str, str]:
    processes, _, threads = web.partition("x")
    return {"LEFT4ME_WEB_PROCESSES": processes, "LEFT4ME_WEB_THREADS": threads}


if __name__ == "__main__":
    sys.exit(main())
