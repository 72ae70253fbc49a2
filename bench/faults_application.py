"""Kill -9 parts of the whole application during its operations; print how often and how fast they recover.

    bench/faults application [--rounds 100] [--servers 3] [--seed 1]

Runs everything as bin/up does, on a data directory of its own, with the simulated game. A round asks for one operation
and kills, a little later, the worker, web, beat, Redis, the template, a server's supervisor or its game. Within 30
seconds the rows must say what is wanted, exactly the wanted processes exist, and every service be back. A game that
should run and was not hit itself must still be the same process.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from subprocess import STDOUT, Popen
from typing import Any

from left4me.core.processes import procfs
from servers.gamehost.directory import ServerDirectory

REPOSITORY = Path(__file__).resolve().parent.parent
LIMIT_SECONDS = 30
UP_SECONDS = 180
OPERATIONS = ("start", "stop", "restart", "kill", "install", "nothing")
SERVICES = ("worker", "web", "beat", "broker")
# Games and their SourceTV, of as many servers as bench/load wants.
_PORTS = 300
_BLOCK = 1_000
_claims: list[socket.socket] = []
VICTIMS = (*SERVICES, "template", "supervisor", "game")


def free_ports(count: int) -> list[int]:
    """Ports in a row that nobody uses, below those that the kernel gives to clients at any moment.

    The port before them stays taken as long as this process lives, so nobody else who calls this gets one of them.
    """
    assert count < _BLOCK
    for first in random.SystemRandom().sample(range(10_000, 32_000, _BLOCK), k=22_000 // _BLOCK):
        ports = range(first + 1, first + 1 + count)
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            claim = socket.create_server(("127.0.0.1", first))
            for port in ports:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    held.enter_context(socket.socket(socket.AF_INET, kind)).bind(("127.0.0.1", port))
            _claims.append(claim)
            return list(ports)
    sys.exit("No ports are free for the bench.")


class Application:
    """The whole application on `root`; what it is asked goes into the database, as pages would write it."""

    def __init__(self, root: Path, *, keep: Collection[str] = ()) -> None:
        self.root = root
        web_port, *ports = free_ports(1 + _PORTS)
        kept = {
            name: text
            for name, text in os.environ.items()
            if name in keep or not name.startswith(("LEFT4ME_", "REDIS_"))
        }
        self.env = {
            **kept,
            "LEFT4ME_ROOT": str(root),
            "LEFT4ME_GAME": "simulated",
            "LEFT4ME_BIND": f"127.0.0.1:{web_port}",
            "LEFT4ME_PORTS": f"{ports[0]}-{ports[-1]}",
        }
        root.mkdir(exist_ok=True)
        self._log = (root / "up.log").open("wb")
        self._up = self._start()
        self._address = ("127.0.0.1", web_port)
        self.base = f"http://127.0.0.1:{web_port}"

    def _start(self) -> Popen[bytes]:
        return Popen(
            [sys.executable, "-m", "deploy.up"], env=self.env, cwd=REPOSITORY, stdout=self._log, stderr=STDOUT
        )

    @property
    def pid(self) -> int:
        return self._up.pid

    def revive(self) -> None:
        """Start it again if it has ended, as its user would."""
        if self._up.poll() is not None:
            self._up = self._start()

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + UP_SECONDS
        while not self.is_whole():
            if self._up.poll() is not None or time.monotonic() > deadline:
                sys.exit((self.root / "up.log").read_text()[-3000:])
            time.sleep(0.1)

    def is_whole(self) -> bool:
        """Every service runs, and web takes connections."""
        if any(self.service(name) is None for name in SERVICES):
            return False
        with contextlib.suppress(OSError), socket.create_connection(self._address, timeout=1):
            return True
        return False

    def service(self, name: str) -> int | None:
        for pid in procfs.children(self._up.pid):
            if procfs.name(pid) == f"left4me-{name}" or (name == "broker" and "unixsocket" in _words(pid)):
                return pid
        return None

    def end(self) -> None:
        self._up.send_signal(signal.SIGINT)
        self._up.wait(60)
        self._log.close()


class Fleet:
    """The servers, as rows and as processes."""

    def __init__(self, application: Application, count: int) -> None:
        from accounts.actions import create_user
        from servers import actions
        from servers.hosts import this_host
        from servers.models import Server

        self._application = application
        self._actions = actions
        self._rows = Server.objects
        user = create_user(username="bench", password="a long passphrase", is_admin=True, by=None)
        self._user = user
        self._host = this_host.row()
        blueprint = actions.create_blueprint(owner=user, by=user, name="bench")
        made = [
            actions.create_server(
                owner=user, by=user, name=f"bench {n}", blueprint=blueprint, host=self._host, port=port
            )
            for n, port in enumerate(range(self._host.first_port, self._host.first_port + count))
        ]
        self.ids = [server.pk for server in made]

    def ask(self, server_id: int, operation: str) -> None:
        if operation == "install":
            self._actions.request_on_host(host=self._host, operation="repair_game", by=self._user)
        elif operation != "nothing":
            server = self._rows.select_related("host").get(pk=server_id)
            self._actions.request(server=server, operation=operation, by=self._user)

    def key(self) -> str:
        """The key of a new API token."""
        from accounts.actions import create_token

        return create_token(user=self._user, name="bench", scope="admin", by=self._user)[1]

    def directory(self, server_id: int) -> ServerDirectory:
        return ServerDirectory(self._application.root / "servers" / str(server_id))

    def processes(self, server_id: int) -> tuple[int | None, int | None, int | None]:
        """The supervisor, process 1 of the sandbox, the game."""
        supervisor = self.directory(server_id).living_supervisor()
        init = next(iter(procfs.children(supervisor)), None) if supervisor else None
        game = next(iter(procfs.children(init)), None) if init else None
        return supervisor, init, game

    def wanted(self) -> dict[int, bool]:
        return {pk: state == "running" for pk, state in self._rows.values_list("pk", "desired_state")}

    def faults(self) -> list[str]:
        """What is not as wanted now."""
        from left4me.jobs.models import Job
        from servers.lifecycle import readiness

        found = [f"job {job.pk} {job.operation} is {job.state}" for job in Job.objects.live()]
        for server in self._rows.all():
            runs = server.desired_state == "running"
            if server.actual_state != server.desired_state:
                found.append(
                    f"server {server.pk} is {server.actual_state}, not {server.desired_state}: {server.last_error}"
                )
            elif runs and not readiness.answers(server, timeout=5):
                found.append(f"server {server.pk} does not answer")
            count = len(belonging(self.directory(server.pk).path))
            if count != (2 if runs else 0):
                found.append(f"server {server.pk} has {count} processes")
        return found


def belonging(directory: Path) -> list[int]:
    """Every supervisor, child that starts a game, and process 1 whose command line ends with `directory`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        pid = int(path.name)
        if _words(pid).rstrip("\0").endswith(f"\0{directory}") and procfs.started(pid) is not None:
            found.append(pid)
    return found


def template(root: Path) -> int | None:
    """The process that the supervisors of a root are forked from, if there is one."""
    for path in Path("/proc").glob("[0-9]*"):
        if _words(int(path.name)).rstrip(" \0").endswith(f"\0{root}/servers/"):
            return int(path.name)
    return None


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


class Bench:
    def __init__(self, application: Application, fleet: Fleet, *, seed: int) -> None:
        self._application = application
        self._fleet = fleet
        self._chance = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def settle(self, *, within: float) -> list[str]:
        """Wait until all is as wanted; what is not in the end."""
        deadline = time.monotonic() + within
        while True:
            faults = [] if self._application.is_whole() else ["not every service runs"]
            faults += self._fleet.faults()
            if not faults or time.monotonic() > deadline:
                return faults
            time.sleep(0.2)

    def play(self, number: int) -> None:
        server_id = self._chance.choice(self._fleet.ids)
        operation, victim = self._chance.choice(OPERATIONS), self._chance.choice(VICTIMS)
        if operation in {"stop", "restart", "kill", "nothing"} and not self._fleet.wanted()[server_id]:
            self._fleet.ask(server_id, "start")
            self.settle(within=2 * LIMIT_SECONDS)
        before = {pk: self._fleet.processes(pk) for pk in self._fleet.ids if pk != server_id}
        self._fleet.ask(server_id, operation)
        time.sleep(self._chance.uniform(0, 1.5))
        struck = self._strike(server_id, victim)
        began = time.monotonic()
        faults = self.settle(within=LIMIT_SECONDS)
        self.counts[f"killed: {victim}"] += struck
        self.seconds[victim].append(time.monotonic() - began)
        self.counts["did not end as wished"] += bool(faults)
        for fault in faults:
            print(f"round {number}: {operation} on server {server_id}, {victim} killed: {fault}", flush=True)
        for pk, processes in before.items():
            if self._fleet.wanted()[pk] and self._fleet.processes(pk) != processes:
                self.counts["games stopped that should run"] += 1
        self.counts["mounts left"] += Path("/proc/self/mountinfo").read_text().count(str(self._application.root))
        if faults:
            self.settle(within=4 * LIMIT_SECONDS)

    def _strike(self, server_id: int, victim: str) -> bool:
        if victim in SERVICES:
            pid = self._application.service(victim)
        elif victim == "template":
            pid = template(self._application.root)
        else:
            supervisor, _, game = self._fleet.processes(server_id)
            pid = supervisor if victim == "supervisor" else game
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


@contextlib.contextmanager
def application(root: Path, *, keep: Collection[str] = ()) -> Iterator[Application]:
    """Run it on `root`, with those settings of this process that `keep` names."""
    running = Application(root, keep=keep)
    try:
        running.wait_until_up()
        yield running
    finally:
        running.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="left4me-faults-", dir="/var/tmp"))
    with application(root) as running:
        _set_up_django(running.env)
        fleet = Fleet(running, wanted.servers)
        bench = Bench(running, fleet, seed=wanted.seed)
        try:
            fleet.ask(0, "install")
            for server_id in fleet.ids:
                fleet.ask(server_id, "start")
            if faults := bench.settle(within=UP_SECONDS):
                sys.exit(f"could not begin: {faults}")
            for number in range(wanted.rounds):
                bench.play(number)
        finally:
            for server_id in fleet.ids:
                fleet.ask(server_id, "kill")
            bench.settle(within=2 * LIMIT_SECONDS)
    left = sum(len(belonging(root / "servers" / str(server_id))) for server_id in fleet.ids)
    report(bench, rounds=wanted.rounds, left=left)
    shutil.rmtree(root)
    if left or any(bench.counts[name] for name in WRONG):
        sys.exit(1)


WRONG = ("did not end as wished", "games stopped that should run", "mounts left")


def report(bench: Bench, *, rounds: int, left: int) -> None:
    print(f"{'rounds':34} {rounds:6}")
    for victim in VICTIMS:
        times = bench.seconds[victim] or [0.0]
        name, mean = f"killed: {victim}", sum(times) / len(times)
        print(f"{name:34} {bench.counts[name]:6}   as wished after {mean:5.1f} s, at most {max(times):5.1f} s")
    for name in WRONG:
        print(f"{name:34} {bench.counts[name]:6}")
    print(f"{'processes left at the end':34} {left:6}")


def _set_up_django(env: dict[str, Any]) -> None:
    os.environ.update(env)
    os.environ["DJANGO_SETTINGS_MODULE"] = "left4me.settings"
    import django

    django.setup()


if __name__ == "__main__":
    main()
