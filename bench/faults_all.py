"""Afflict every part of the whole application during its operations, through its API alone; print how it recovers.

    bench/faults all [--rounds 20] [--stacks 1] [--servers 3] [--seed 1] [--lasts 6] [--only WORD] [--alone]

Runs as root, on an ext4 of its own in a file, with everything as bin/up runs it, the web in two processes, the
simulated game, a simulated Steam, and the worker of a second host behind a link (not with --alone). Each round asks
for one operation and afflicts, a little later, one part (bench/fault_parts.py): kill -9, an orderly end, a pause, a
limit of open files, a full, frozen or read-only disk, a locked database, a cut link, a Steam that is down. What lasts
is lifted after some seconds. Then, within 30 seconds: wanted is observed, no job is live, stuck or was run twice, logs
have no gaps, histories end with what is, no process, mount or temporary file is left, and the API has answered nothing
above 499 but honest 503.

--stacks shares the rounds out to as many applications, side by side. --only takes the faults whose name contains a
word. Steps of the clock are not among them, as they would be those of the whole machine
(`left4me/tests/test_clock_steps.py`), and SteamCMD is not, as the simulated game needs none
(`servers/gamehost/tests`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.fault_disk import Disk
from bench.fault_link import SecondHost
from bench.fault_parts import LASTS_SECONDS, Parts
from bench.fault_site import ITEMS, Api, Site
from bench.faults_application import Application, Fleet, _set_up_django, belonging
from left4me.testing.simulated_steam import SimulatedSteam

LIMIT_SECONDS = 30
UP_SECONDS = 240
WRONG = (
    "rounds that did not settle",
    "5xx that are no honest 503",
    "logs with a gap",
    "jobs run twice after success",
    "failed jobs without a reason",
    "histories that end otherwise",
    "items missing after the last build",
    "mounts left",
    "temporary files left",
    "processes left",
)


class Bench:
    def __init__(
        self, app: Application, site: Site, parts: Parts, two: SecondHost | None, *, seed: int, only: str
    ) -> None:
        self._app, self._site, self._parts, self._two, self._only = app, site, parts, two, only
        self._seed = seed
        self._chance = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.slowest: Counter[str] = Counter()
        self._seen_jobs = 0

    def play(self, number: int) -> None:
        began = time.monotonic()
        server = self._chance.choice(self._site.fleet.ids)
        operation = self._chance.choice(self._site.operations)
        choices = {name: each for name, each in self._parts.choices(server).items() if self._only in name}
        name = self._chance.choice(sorted(choices))
        self._site.ask(server, operation, self._chance)
        time.sleep(self._chance.uniform(0, 1.5))
        choices[name]()
        struck = time.monotonic()
        faults = self.settle(within=LIMIT_SECONDS)
        self.slowest[name] = max(self.slowest[name], round(time.monotonic() - struck))
        self.counts[f"afflicted: {name}"] += 1
        self.counts[f"asked for: {operation}"] += 1
        self.counts["rounds that did not settle"] += bool(faults)
        for fault in faults:
            _tell(f"seed {self._seed}, round {number}: {operation} of server {server}, {name}: {fault}")
        if faults:
            self.settle(within=4 * LIMIT_SECONDS)
        self._look_at_jobs()
        self.counts["histories that end otherwise"] += not self._site.history_is_exact(server)
        if os.environ.get("BENCH_ROUNDS"):
            _tell(f"  round {number}: {time.monotonic() - began:5.1f} s  {operation}, {name}")

    def settle(self, *, within: float) -> list[str]:
        """Wait until all is as wanted; what is not in the end. It looks less often the longer that takes."""
        deadline, pause = time.monotonic() + within, 0.1
        while True:
            self._app.revive()
            if self._two is not None:
                self._two.revive()
            faults = self._site.faults() if self._app.is_whole() else ["not every service runs"]
            if not faults or time.monotonic() > deadline:
                return faults
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def begin(self) -> None:
        """Install the game, fill the overlay and start every server."""
        self._site.install()
        self._site.ask(0, "refresh", self._chance)
        self._until_settled()
        for server in self._site.fleet.ids:
            self._site.ask(server, "start", self._chance)
        self._until_settled()

    def _until_settled(self) -> None:
        if faults := self.settle(within=UP_SECONDS):
            sys.exit(f"could not begin: {faults}")

    def finish(self, root: Path, disk: Disk) -> None:
        """Refresh once more, end every game, and count what is left."""
        self._site.ask(0, "refresh", self._chance)
        self.settle(within=2 * LIMIT_SECONDS)
        self.counts["items missing after the last build"] = self._site.items_missing()
        for server in self._site.fleet.ids:
            self._site.ask(server, "kill", self._chance)
        self.settle(within=2 * LIMIT_SECONDS)
        self.counts["mounts left"] = sum(
            str(root) in line.split()[4] and line.split()[4] != str(disk.place)
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
        )
        old = time.time() - 60
        temporary = [path for path in root.rglob("*") if path.name.startswith((".left4me-", ".tmp-"))]
        self.counts["temporary files left"] = sum(path.lstat().st_mtime < old for path in temporary)
        places = [place for pk in self._site.fleet.ids for place, _is_here in self._site.places(pk)]
        self.counts["processes left"] = sum(len(belonging(place)) for place in places)

    def _look_at_jobs(self) -> None:
        """Jobs since the last round: none run more often than a death of its worker explains, and no gap in a log."""
        call = self._site.api.call
        jobs = call("GET", "/jobs?whose=all&limit=100")
        for job in jobs["items"] if jobs else []:
            if job["id"] <= self._seen_jobs:
                continue
            self.counts["jobs"] += 1
            self.counts["failed jobs without a reason"] += job["state"] == "failed" and not job["error"]
            lines = call("GET", f"/jobs/{job['id']}/log?limit=5000")
            numbers = [line["seq"] for line in lines["items"]] if lines else []
            self.counts["logs with a gap"] += numbers != list(range(1, len(numbers) + 1))
            text = " ".join(line["line"] for line in lines["items"]) if lines else ""
            self.counts["jobs run twice after success"] += text.count("The server is ready.") > 1
        self._seen_jobs = max([self._seen_jobs, *(job["id"] for job in (jobs or {"items": []})["items"])])


def _tell(line: str) -> None:
    """Print what is of interest at once. The standard output of a stack among several is read at its end."""
    print(line, file=sys.stderr, flush=True)


def _furnish(fleet: Fleet, root: Path) -> int:
    """Give the blueprint of the fleet a competitive pack and an overlay of workshop items; returns the latter."""
    from django.utils import timezone

    from livestate.matches.tests import factories
    from overlays.models import Overlay, OverlayWorkshopItem
    from overlays.tests.factories import make_overlay
    from servers.models import Blueprint, BlueprintOverlay, Host
    from workshop.models import WorkshopItem

    Host.objects.update(last_seen_at=timezone.now())
    pack = make_overlay(name="Pack", path="pack", built_at=timezone.now())
    factories.lay(root / "overlays" / pack.path)
    factories.offer(pack, factories.MODE)
    items = make_overlay(name="Items", path="items", kind=Overlay.Kind.WORKSHOP)
    for number in range(1, ITEMS + 1):
        item, _is_new = WorkshopItem.objects.get_or_create(steam_id=number)
        OverlayWorkshopItem.objects.create(overlay=items, item=item)
    for position, overlay in enumerate((pack, items)):
        BlueprintOverlay.objects.create(blueprint=Blueprint.objects.get(), overlay=overlay, position=position)
    return int(items.pk)


def _run(wanted: argparse.Namespace) -> tuple[Counter[str], Counter[str], float]:
    """All rounds on one stack; the counts, the slowest of each fault, and the seconds of a round."""
    # Not below /tmp or /var/tmp, which a game has of its own: it would not find the workshop files there.
    base = Path(tempfile.mkdtemp(prefix="left4me-faults-", dir="/srv"))
    disk = Disk(base)
    two: SecondHost | None = None
    steam_folder = base / "steam"
    steam_folder.mkdir()
    try:
        with SimulatedSteam(steam_folder) as steam:
            chance = random.Random(wanted.seed)
            for number in range(1, ITEMS + 1):
                steam.add(number, files={"maps/a.bsp": chance.randbytes(chance.randint(20_000, 400_000))})
            os.environ |= {"LEFT4ME_STEAM_API_URL": steam.url, "LEFT4ME_STEAM_CONTENT_HOSTS": steam.url}
            os.environ["LEFT4ME_WEB_PROCESSES"] = "2"
            keep = ("LEFT4ME_STEAM_API_URL", "LEFT4ME_STEAM_CONTENT_HOSTS", "LEFT4ME_WEB_PROCESSES")
            app = Application(disk.place / "root", keep=keep)
            try:
                app.wait_until_up()
                _set_up_django(app.env)
                fleet = Fleet(app, wanted.servers)
                overlay = _furnish(fleet, app.root)
                if not wanted.alone:
                    two = SecondHost(app, base / "two")
                counts: Counter[str] = Counter()
                site = Site(
                    Api(app.base, fleet.key(), counts),
                    fleet,
                    steam,
                    overlay=overlay,
                    cache=app.root / "workshop_cache",
                    two=None if two is None else two.root,
                )
                parts = Parts(app, site, disk, steam, two, chance=chance, lasts=wanted.lasts)
                bench = Bench(app, site, parts, two, seed=wanted.seed, only=wanted.only)
                bench.counts = counts
                bench.begin()
                began = time.monotonic()
                for number in range(wanted.rounds):
                    bench.play(number)
                seconds = (time.monotonic() - began) / max(1, wanted.rounds)
                bench.finish(app.root, disk)
            finally:
                if two is not None:
                    two.end()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    app.end()
    finally:
        disk.unmount()
        if not os.environ.get("BENCH_KEEP"):
            shutil.rmtree(base)
    return bench.counts, bench.slowest, seconds


def _run_side_by_side(wanted: argparse.Namespace) -> tuple[Counter[str], Counter[str], float]:
    """The same on several stacks, each a process of its own with a seed of its own."""
    runs = []
    for stack in range(wanted.stacks):
        rounds = wanted.rounds // wanted.stacks + (stack < wanted.rounds % wanted.stacks)
        argv = ["--rounds", str(rounds), "--seed", str(wanted.seed * 1000 + stack), "--servers", str(wanted.servers)]
        argv += ["--lasts", str(wanted.lasts), "--only", wanted.only, "--as-json", *["--alone"] * wanted.alone]
        program = [sys.executable, "-m", "bench.faults", "all", *argv]
        runs.append((rounds, subprocess.Popen(program, stdout=subprocess.PIPE, text=True)))
    counts: Counter[str] = Counter()
    slowest: Counter[str] = Counter()
    seconds = 0.0
    for rounds, run in runs:
        printed, _ = run.communicate()
        *lines, last = printed.splitlines() or [""]
        print("\n".join(lines), flush=True)
        try:
            told: dict[str, Any] = json.loads(last)
        except ValueError:
            counts["rounds that did not settle"] += rounds
            _tell(f"a stack ended early: {last}")
            continue
        counts.update(told["counts"])
        slowest |= Counter(told["slowest"])
        seconds += told["seconds"] * rounds
    return counts, slowest, seconds / wanted.stacks / max(1, wanted.rounds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/faults all", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--stacks", type=int, default=1)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lasts", type=float, default=LASTS_SECONDS, help="the seconds of what lasts")
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--alone", action="store_true", help="without a second host")
    parser.add_argument("--as-json", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench/faults all mounts a disk of its own: run it as root.")
    counts, slowest, seconds = _run_side_by_side(wanted) if wanted.stacks > 1 else _run(wanted)
    if wanted.as_json:
        print(json.dumps({"counts": counts, "slowest": slowest, "seconds": seconds}))
        return
    print(f"{'rounds':50} {wanted.rounds:6}   {seconds:.1f} s each")
    for name in sorted({*counts, *WRONG}):
        settled = slowest.get(name.removeprefix("afflicted: "))
        print(f"{name:50} {counts[name]:6}" + ("" if settled is None else f"   settled within {settled} s"))
    if any(counts[name] for name in WRONG):
        sys.exit(1)


if __name__ == "__main__":
    main()
