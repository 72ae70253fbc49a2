"""Afflict every part of the whole application during its operations, through its API alone; print how it recovers.

    bench/faults all [--rounds 20] [--servers 3] [--seed 1]

Runs as root, on an ext4 of its own in a file, with everything as bin/up runs it and the simulated game. Each round
asks for one operation and afflicts, a little later, one part: kill -9, a pause by SIGSTOP, an orderly end, a limit of
open files, a full disk, no inodes, a database that is locked. What lasts is lifted after some seconds. Then, within 30
seconds: wanted is observed, no job is live, stuck or was run twice, logs have no gaps, no process, mount or temporary
file is left, and the API has answered nothing above 499 but honest 503.

Not among them: steps of the clock, which would be those of the whole machine (`left4me/tests/test_clock_steps.py`), a
disk that becomes read-only, which the kernel refuses while files are open, and Steam (`bench/faults workshop`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.faults_application import SERVICES, Application, Fleet, _set_up_django, belonging

LIMIT_SECONDS = 30
LASTS_SECONDS = 6
UP_SECONDS = 180
DISK_MB = 3_000
OPERATIONS = ("start", "stop", "restart", "kill", "repair", "nothing")


class Api:
    """The API as a client uses it; counts what it must not answer."""

    def __init__(self, base: str, key: str, counts: Counter[str]) -> None:
        self._base, self._key, self._counts = base, key, counts

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer, None if there was none worth having; a refusal is one too."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._base}/api/v1{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            honest = error.code == 503 and error.headers.get("Retry-After")
            self._counts["honest 503"] += bool(honest)
            if error.code >= 500 and not honest:
                self._counts["5xx that are no honest 503"] += 1
                print(f"  {method} {path}: {error.code} {error.read(200)!r}", flush=True)
            error.close()
        except (OSError, ValueError):
            self._counts["connections refused or cut"] += 1
        return None


class Disk:
    """An ext4 in a file, mounted, with means to spoil it."""

    def __init__(self, base: Path) -> None:
        self.place = base / "disk"
        self.place.mkdir()
        image = base / "image"
        with image.open("wb") as file:
            file.truncate(DISK_MB * 1024**2)
        subprocess.run(["mkfs.ext4", "-q", "-N", "30000", "-m", "0", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, self.place], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self.place], check=True)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        ballast = self.place / "ballast"
        try:
            with ballast.open("wb") as file:
                size, piece = 0, 64 * 1024**2
                while piece >= 4096:
                    try:
                        os.posix_fallocate(file.fileno(), size, piece)
                        size += piece
                    except OSError:
                        piece //= 2
            yield
        finally:
            ballast.unlink(missing_ok=True)

    @contextlib.contextmanager
    def without_inodes(self) -> Iterator[None]:
        crumbs = self.place / "crumbs"
        crumbs.mkdir(exist_ok=True)
        try:
            with contextlib.suppress(OSError):
                for number in range(100_000):
                    (crumbs / str(number)).touch()
            yield
        finally:
            shutil.rmtree(crumbs)


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(database, timeout=5, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            yield
            return
        yield
        other.execute("ROLLBACK")


class Bench:
    def __init__(
        self, app: Application, fleet: Fleet, api: Api, disk: Disk, *, seed: int, counts: Counter[str]
    ) -> None:
        self._app, self._fleet, self._api, self._disk = app, fleet, api, disk
        self._chance = random.Random(seed)
        self.counts = counts
        self.slowest: Counter[str] = Counter()
        self._seen_jobs = 0

    def play(self, number: int) -> None:
        server = self._chance.choice(self._fleet.ids)
        operation = self._chance.choice(OPERATIONS)
        name, strike = self._chance.choice(self._afflictions(server))
        self.ask(server, operation)
        time.sleep(self._chance.uniform(0, 1.5))
        strike()
        began = time.monotonic()
        faults = self.settle(within=LIMIT_SECONDS)
        self.slowest[name] = max(self.slowest[name], round(time.monotonic() - began))
        self.counts[f"afflicted: {name}"] += 1
        self.counts["rounds that did not settle"] += bool(faults)
        for fault in faults:
            print(f"round {number}: {operation} of server {server}, {name}: {fault}", flush=True)
        if faults:
            self.settle(within=4 * LIMIT_SECONDS)
        self._look_at_jobs()

    def settle(self, *, within: float) -> list[str]:
        deadline = time.monotonic() + within
        while True:
            faults = self._faults()
            if not faults or time.monotonic() > deadline:
                return faults
            time.sleep(0.5)

    def ask(self, server: int, operation: str) -> None:
        if operation == "repair":
            self._api.call("POST", "/hosts/1/actions", {"operation": "repair_game"})
        elif operation != "nothing":
            self._api.call("POST", f"/servers/{server}/actions", {"operation": operation})

    def _afflictions(self, server: int) -> list[tuple[str, Callable[[], None]]]:
        parts: dict[str, Callable[[], int | None]] = {
            name: lambda name=name: self._app.service(name) for name in SERVICES
        }
        parts["supervisor"] = lambda: self._fleet.processes(server)[0]
        parts["game"] = lambda: self._fleet.processes(server)[2]
        found: list[tuple[str, Callable[[], None]]] = []
        for name, find in parts.items():
            found.append((f"{name}, kill -9", lambda find=find: _signal(find(), signal.SIGKILL)))
            found.append((f"{name}, SIGSTOP", lambda find=find: self._pause(find())))
            if name in SERVICES:
                found.append((f"{name}, TERM", lambda find=find: _signal(find(), signal.SIGTERM)))
        for name in ("web", "worker"):
            found.append((f"{name}, fd limit", lambda name=name: self._few_files(self._app.service(name))))
        database = self._app.root / "left4me.sqlite3"
        for name, spoilt in (
            ("disk full", self._disk.full),
            ("inodes gone", self._disk.without_inodes),
            ("database locked", lambda: locked(database)),
        ):
            # As often as all kinds of kill together.
            found += [(name, lambda spoilt=spoilt: self._last(spoilt))] * 3
        return found

    def _last(self, spoilt: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        with spoilt():
            until = time.monotonic() + LASTS_SECONDS
            while time.monotonic() < until:
                self._api.call("GET", "/servers")
                self.ask(self._chance.choice(self._fleet.ids), self._chance.choice(("stop", "start")))
                time.sleep(0.5)

    def _pause(self, pid: int | None) -> None:
        if _signal(pid, signal.SIGSTOP):
            time.sleep(LASTS_SECONDS)
            _signal(pid, signal.SIGCONT)

    def _few_files(self, pid: int | None) -> None:
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 2, before[1]))
            time.sleep(LASTS_SECONDS)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    def _faults(self) -> list[str]:
        if not self._app.is_whole():
            return ["not every service runs"]
        servers = self._api.call("GET", "/servers")
        jobs = self._api.call("GET", "/jobs?whose=all&state=live")
        if servers is None or jobs is None:
            return ["the API does not answer"]
        found = [f"job {job['id']} {job['operation']} is {job['state']}" for job in jobs["items"]]
        for row in servers["items"]:
            if row["actual_state"] != row["desired_state"]:
                words = f"{row['actual_state']}, not {row['desired_state']}: {row['last_error']}"
                found.append(f"server {row['id']} is {words}; next attempt {row['next_start_at']}")
            count = len(belonging(self._fleet.directory(row["id"]).path))
            if count != (2 if row["desired_state"] == "running" else 0):
                found.append(f"server {row['id']} has {count} processes")
        return found

    def _look_at_jobs(self) -> None:
        """Jobs since the last round: none run more often than a death of its worker explains, and no gap in a log."""
        jobs = self._api.call("GET", "/jobs?whose=all&limit=100")
        for job in jobs["items"] if jobs else []:
            if job["id"] <= self._seen_jobs:
                continue
            self.counts["jobs"] += 1
            lines = self._api.call("GET", f"/jobs/{job['id']}/log?limit=5000")
            numbers = [line["seq"] for line in lines["items"]] if lines else []
            self.counts["logs with a gap"] += numbers != list(range(1, len(numbers) + 1))
            text = " ".join(line["line"] for line in lines["items"]) if lines else ""
            self.counts["jobs run twice after success"] += text.count("The server is ready.") > 1
        self._seen_jobs = max([self._seen_jobs, *(job["id"] for job in (jobs or {"items": []})["items"])])

    def left(self) -> None:
        root = self._app.root
        self.counts["mounts left"] = sum(
            str(root) in line.split()[4] and line.split()[4] != str(self._disk.place)
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
        )
        old = time.time() - 60
        temporary = [path for path in root.rglob("*") if path.name.startswith((".left4me-", ".tmp-"))]
        self.counts["temporary files left"] = sum(path.lstat().st_mtime < old for path in temporary)
        self.counts["processes left"] = sum(len(belonging(root / "servers" / str(pk))) for pk in self._fleet.ids)


def _signal(pid: int | None, number: signal.Signals) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


WRONG = (
    "rounds that did not settle",
    "5xx that are no honest 503",
    "logs with a gap",
    "jobs run twice after success",
    "mounts left",
    "temporary files left",
    "processes left",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench/faults all mounts a disk of its own: run it as root.")
    base = Path(tempfile.mkdtemp(prefix="left4me-faults-", dir="/var/tmp"))
    disk = Disk(base)
    counts: Counter[str] = Counter()
    try:
        app = Application(disk.place / "root")
        try:
            app.wait_until_up()
            _set_up_django(app.env)
            fleet = Fleet(app, wanted.servers)
            bench = Bench(app, fleet, Api(app.base, fleet.key(), counts), disk, seed=wanted.seed, counts=counts)
            bench.ask(0, "repair")
            if faults := bench.settle(within=UP_SECONDS):
                sys.exit(f"could not begin: {faults}")
            for server in fleet.ids:
                bench.ask(server, "start")
            if faults := bench.settle(within=UP_SECONDS):
                sys.exit(f"could not begin: {faults}")
            for number in range(wanted.rounds):
                bench.play(number)
            for server in fleet.ids:
                bench.ask(server, "kill")
            bench.settle(within=2 * LIMIT_SECONDS)
            bench.left()
        finally:
            app.end()
    finally:
        disk.unmount()
        shutil.rmtree(base)
    print(f"{'rounds':44} {wanted.rounds:6}")
    for name in sorted(counts):
        slowest = bench.slowest.get(name.removeprefix("afflicted: "))
        print(f"{name:44} {counts[name]:6}" + ("" if slowest is None else f"   settled within {slowest} s"))
    if any(counts[name] for name in WRONG):
        sys.exit(1)


if __name__ == "__main__":
    main()
