"""What each page costs the process that makes it, against minimal pages in the same run.

Times are CPU time of this process, so other work on the machine does not count. All pages are asked for in turn, and
the median of the rounds counts, so that the figures of two pages are comparable.

    BENCH_ROUNDS=40
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from bench import figures, pages, stack
from bench.figures import Figure

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "40"))
_WARM = 6
FLOOR = "floor: the list, minimal"
NOTHING = "floor: session and middleware"


class Asker:
    """Asks the application in this process, without the work of a client."""

    def __init__(self, application: Callable[..., Any], cookie: str) -> None:
        self._application = application
        self._cookie = cookie

    def get(self, path: str) -> int:
        """Ask for a page; returns the size of its body. Ends the bench if it does not answer 200."""
        path, _, query = path.partition("?")
        statuses: list[str] = []
        body = self._application(
            {
                "REQUEST_METHOD": "GET",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "SERVER_NAME": "127.0.0.1",
                "SERVER_PORT": "80",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "REMOTE_ADDR": "127.0.0.1",
                "HTTP_HOST": "127.0.0.1",
                "HTTP_COOKIE": self._cookie,
                "wsgi.url_scheme": "http",
                "wsgi.input": io.BytesIO(),
                "wsgi.errors": sys.stderr,
            },
            lambda status, headers: statuses.append(status),
        )
        size = sum(len(piece) for piece in body)
        body.close()
        if statuses != ["200 OK"]:
            raise SystemExit(f"{path} answered {statuses}: no figures")
        return size


def measure(asker: Asker, paths: Mapping[str, str]) -> None:
    """Print CPU time, its ratio to the floor, queries and size of each page."""
    taken: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(-_WARM, ROUNDS):
        for name, path in paths.items():
            began = time.process_time()
            asker.get(path)
            if number >= 0:
                taken[name].append(1000 * (time.process_time() - began))
    floor = statistics.median(taken[FLOOR])
    print(f"{'':<34}{'CPU ms':>8}{'of floor':>10}{'queries':>9}{'slowest ms':>12}{'bytes':>9}")
    of_all = 0.0
    for name, path in paths.items():
        middle = statistics.median(taken[name])
        queries, slowest, size = _queries(asker, path)
        of_all = max(of_all, slowest if name not in (FLOOR, NOTHING) else 0)
        figures.record(
            f"{name:<34}{middle:>8.2f}{middle / floor:>10.2f}{queries:>9}{slowest:>12.2f}{size:>9}",
            *_figures(name, middle, statistics.median(taken[NOTHING])),
        )
    figures.record(None, Figure("pages", "slowest query of any page", of_all, "ms"))


def _figures(name: str, milliseconds: float, nothing: float) -> list[Figure]:
    """The figure of a page, and that of its floor: the minimal list for the list, else the page that says nothing."""
    if name == NOTHING:
        return []
    if name == FLOOR:
        return [Figure("pages", f"{pages.LIST}: CPU", milliseconds, "ms", who="minimal template")]
    floor = Figure("pages", f"{name}: CPU", nothing, "ms", who="session and middleware")
    return [Figure("pages", f"{name}: CPU", milliseconds, "ms"), *([] if name == pages.LIST else [floor])]


def _queries(asker: Asker, path: str) -> tuple[int, float, int]:
    """The number of queries of a page, the time of the slowest one as the best of some rounds, and its size."""
    from django.db import connection

    slowest = []
    for _ in range(5):
        times: list[float] = []

        def clock(execute: Any, sql: Any, params: Any, many: Any, context: Any, times: list[float] = times) -> Any:
            began = time.perf_counter()
            try:
                return execute(sql, params, many, context)
            finally:
                times.append(1000 * (time.perf_counter() - began))

        with connection.execute_wrapper(clock):
            size = asker.get(path)
        slowest.append(max(times, default=0.0))
    return len(times), min(slowest), size


def main() -> int:
    stack.redis()
    stack.prepare()
    from django.conf import settings
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    call_command("collectstatic", interactive=False, verbosity=0)
    from bench import pages_world
    from bench.peers import minimal_list

    settings.ROOT_URLCONF = minimal_list.__name__
    world = pages_world.furnish()
    asker = Asker(get_wsgi_application(), f"{settings.SESSION_COOKIE_NAME}={world.session}")
    measure(asker, {NOTHING: minimal_list.NOTHING, FLOOR: minimal_list.PATH, **world.paths()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
