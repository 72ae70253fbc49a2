"""One installation of bench/growth, in a process of its own: it makes the rows, then measures the work it is told to.

It reads a line of JSON for each work, and answers with one. Each size has its own database, Redis and caches.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import sys
import time
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import django
import psycopg
from django.core.management import call_command

from bench import stack
from bench.poll import endpoints
from left4me.core.env import database_from_url


def keep_alive(host: Any) -> None:
    """What workers would report every few seconds, so that pages do not show a host that is down."""
    from django.utils import timezone

    from livestate.models import Snapshot
    from servers.models import Host, Server

    now = timezone.now()
    Host.objects.update(last_seen_at=now)
    running = list(Server.objects.running().values_list("pk", flat=True))
    newest = Snapshot.objects.latest_of(running).filter(started_at__lt=now - timedelta(seconds=1))
    Snapshot.objects.filter(pk__in=list(newest.values_list("pk", flat=True))).update(last_seen_at=now)


def _make_database(original: str) -> None:
    """Migrate a new database, or copy the one that another size has migrated, which takes a fraction of that."""
    if os.environ.get("DATABASE_URL"):
        _create_database(original)
    elif original:
        shutil.copy(original, stack.ROOT / "left4me.sqlite3")
    django.setup()
    if not original:
        # Not by `stack.prepare`, which empties a database of PostgreSQL, also of the host that migrations make.
        call_command("migrate", verbosity=0)


def _create_database(original: str) -> None:
    """Make the database of `DATABASE_URL`, as a copy of `original` if that is given."""
    config = database_from_url(os.environ["DATABASE_URL"])
    login = {"host": config["HOST"], "user": config["USER"], "password": config["PASSWORD"], "port": config["PORT"]}
    with psycopg.connect(dbname="postgres", autocommit=True, **{k: v for k, v in login.items() if v}) as server:
        server.execute(f"DROP DATABASE IF EXISTS {config['NAME']}")
        server.execute(f"CREATE DATABASE {config['NAME']}" + (f" TEMPLATE {original}" if original else ""))


def main() -> None:
    stack.end_with_processes()
    factor, original, *parts = int(sys.argv[1]), *sys.argv[2:]
    # Only the answers to the works go to the parent.
    answers, sys.stdout = sys.stdout, sys.stderr

    def answer(words: Any) -> None:
        print(json.dumps(words), file=answers, flush=True)

    if url := os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = urlsplit(url)._replace(path=f"/growth_x{factor}").geturl()
    _make_database(original)
    stack.redis()
    from django.db import connection, connections

    connections.close_all()
    if connection.vendor == "postgresql":
        connection.close_pool()
    # No game runs behind the rows, and many works would say so.
    logging.disable(logging.WARNING)
    answer(str(connection.settings_dict["NAME"]))
    # Until all have copied it.
    sys.stdin.readline()
    call_command("collectstatic", interactive=False, verbosity=0)
    from bench import growth_installation
    from bench.growth_rows import SERVERS
    from bench.growth_tasks import PARTS
    from bench.growth_work import measure

    servers = SERVERS * factor
    with endpoints(servers) if "sweep" in parts else nullcontext(range(2_000, 2_000 + servers)) as ports:
        began = time.perf_counter()
        site = growth_installation.fill(factor, ports=ports)
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # As autovacuum does within minutes of any growth.
                cursor.execute("VACUUM ANALYZE")
        filled = time.perf_counter() - began
        works = [(part, work) for part in parts for work in PARTS[part](site)]
        kinds = [{"part": part, "name": work.name, "limit": work.limit, "full": work.full} for part, work in works]
        answer({"filled": filled, "works": kinds})
        for line in sys.stdin:
            keep_alive(site.host)
            # As the web and workers do when they have loaded all. Otherwise, a collection in the midst of a page would
            # go through everything that was loaded before, which takes longer than the page.
            gc.collect()
            gc.freeze()
            answer(measure(works[int(line)][1]))


if __name__ == "__main__":
    main()
