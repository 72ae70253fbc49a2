"""Put people, streams, chatty games, polls and builds on the whole application at once; print what it makes of them.

    bench/load [--servers 100] [--people 200] [--streams 1000] [--seconds 600]
    bench/load --seconds 3600            an hour shows what grows: memory by process, rows by table, bytes by directory

Everything runs as bin/up runs it, with the simulated game; `LEFT4ME_WEB_PROCESSES` and `DATABASE_URL` are kept. Each
person clicks through pages by locust, with pauses of 5 to 15 seconds (bench/load_people.py). Half of the streams
follow logs, half of them what pages follow; one in 20 connects and never reads. Locust is not locked, because only
this benchmark uses it: `python3 -m venv DIR && DIR/bin/pip install locust`, then `LOCUST=DIR/bin/locust bench/load`.

It ends with status 1 after any error, and if p99 of the pages is not below 500 ms.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.faults_application import Application, _set_up_django, application
from bench.load_growth import SAMPLE_SECONDS, Growth
from bench.load_site import Site
from bench.load_streams import watch

SLOWEST_PAGE_MS = 500
# Figures of the first moments would be those of cold caches.
WARM_SECONDS = 30
_KEPT = ("LEFT4ME_STREAMS_PER_USER", "LEFT4ME_WEB_PROCESSES", "LEFT4ME_WEB_THREADS")


def click(base: str, visitors: list[str], seconds: float, place: Path) -> list[dict[str, str]]:
    """Let people click; returns a row for each page, and one for all."""
    locust = os.environ.get("LOCUST") or shutil.which("locust")
    if locust is None:
        raise SystemExit("Locust is not installed: see bench/load --help.")
    people = place / "people"
    people.write_text("\n".join(visitors))
    argv = [locust, "--locustfile", Path(__file__).with_name("load_people.py"), "--headless", "--only-summary"]
    argv += ["--host", base, "--users", str(len(visitors)), "--spawn-rate", "10"]
    argv += ["--run-time", f"{seconds:.0f}s", "--csv", place / "figures", "--reset-stats", "--loglevel", "WARNING"]
    environment = {"PATH": os.environ["PATH"], "PEOPLE": str(people)}
    done = subprocess.run(argv, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if not (place / "figures_stats.csv").exists():
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    for line in (place / "figures_failures.csv").read_text().splitlines()[1:]:
        print(f"  failed: {line[:300]}", flush=True)
    with (place / "figures_stats.csv").open() as file:
        return list(csv.DictReader(file))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=100)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=600)
    wanted = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="left4me-load-", dir="/var/tmp"))
    os.environ["LEFT4ME_STREAMS_PER_USER"] = str(wanted.streams)
    errors: dict[str, int] = {}
    with application(root / "data", keep=_KEPT) as running:
        _set_up_django(running.env)
        site = Site(servers=wanted.servers, people=wanted.people)
        try:
            print(f"{wanted.servers} servers run after {site.start():.1f} s", flush=True)
            site.chat(2 * wanted.seconds + 600)
            errors = measure(site, running, wanted.streams, wanted.seconds, place=root)
        finally:
            site.end()
    shutil.rmtree(root)
    print()
    for name, count in errors.items():
        print(f"{name:<44}{count:>10}")
    return 1 if any(errors.values()) else 0


def measure(site: Site, running: Application, streams: int, seconds: float, *, place: Path) -> dict[str, int]:
    from left4me.jobs.models import Job

    cookies = site.cookies()
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    wanted = [
        (
            f"/servers/{site.seen_by(number % len(cookies))[0]}/logs/stream" if number % 2 else "/live",
            cookies[number % len(cookies)],
        )
        for number in range(streams)
    ]
    watcher = context.Process(target=watch, args=(running.base, wanted, theirs), daemon=True)
    watcher.start()
    # Then a process that has died is seen at once.
    theirs.close()
    print(f"{streams} streams are open after {mine.recv():.1f} s", flush=True)
    ended = threading.Event()
    growth = Growth(running)
    growth.count()
    threads = [
        threading.Thread(target=site.build_until, args=(ended,)),
        threading.Thread(target=_sample, args=(growth, ended)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(WARM_SECONDS)
    visitors = [
        f"{cookie} {' '.join(str(pk) for pk in site.seen_by(number))}" for number, cookie in enumerate(cookies)
    ]
    began = time.monotonic()
    pages = click(running.base, visitors, seconds, place)
    hours = (time.monotonic() - began) / 3600
    ended.set()
    for thread in threads:
        thread.join()
    growth.count()
    mine.send(True)
    lines, lost = mine.recv()
    watcher.join()

    print(f"\n{'page':<34}{'requests':>10}{'p50 ms':>9}{'p99 ms':>9}{'failed':>8}")
    for row in pages:
        print(
            f"{row['Name']:<34}{row['Request Count']:>10}{row['50%']:>9}{row['99%']:>9}{row['Failure Count']:>8}",
            flush=True,
        )
    print(f"{'lines and events that streams got':<34}{lines:>10}")
    growth.report(hours)
    log = (running.root / "up.log").read_text(errors="replace")
    overall = pages[-1]
    return {
        "requests that failed": int(overall["Failure Count"]),
        "streams that read and were lost": lost,
        "jobs that failed": Job.objects.filter(state="failed").count(),
        "tracebacks in the log": log.count("Traceback (most recent call last)"),
        f"pages slower than {SLOWEST_PAGE_MS} ms at p99": int(float(overall["99%"]) >= SLOWEST_PAGE_MS),
    }


def _sample(growth: Growth, ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_SECONDS):
        growth.sample()


if __name__ == "__main__":
    sys.exit(main())
