"""The parts of the application that `bench/faults all` afflicts, each with the faults that it can have."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.fault_disk import Disk, locked
from bench.fault_link import SecondHost
from bench.fault_site import ITEMS, Site
from bench.faults_application import SERVICES, Application, template
from left4me.core.processes import procfs
from left4me.testing.simulated_steam import Fault, SimulatedSteam
from servers.gamehost.directory import ServerDirectory

LASTS_SECONDS = 6.0
# Of the faults of one answer: more than are asked for while it lasts.
_MANY = 200

Strike = Callable[[], object]


class Parts:
    """All parts and their faults by name, `PART, FAULT`; `strike` afflicts one and returns when that is over."""

    def __init__(
        self,
        app: Application,
        site: Site,
        disk: Disk,
        steam: SimulatedSteam,
        two: SecondHost | None,
        *,
        chance: random.Random,
        lasts: float,
    ) -> None:
        self._app, self._site, self._disk, self._steam, self._two = app, site, disk, steam, two
        self._chance, self._lasts = chance, lasts

    def choices(self, server: int) -> dict[str, Strike]:
        """Every fault that can be made now; those of a game are of this server's."""
        found: dict[str, Strike] = {}
        for part, find in self._processes(server).items():
            if part in {"template", "supervisor", "game"} and find() is None:
                continue
            found[f"{part}, kill -9"] = lambda find=find: send(find(), signal.SIGKILL)
            found[f"{part}, SIGSTOP"] = lambda find=find: self._pause(find())
            found[f"{part}, slow"] = lambda find=find: self._slow_down(find())
            if part not in {"supervisor", "game"}:
                found[f"{part}, TERM"] = lambda find=find: send(find(), signal.SIGTERM)
            if part not in {"game", "broker", "bin/up"}:
                found[f"{part}, fd limit"] = lambda find=find: self._few_files(find())
        database = self._app.root / "left4me.sqlite3"
        found["database, locked"] = lambda: self._last(locked(database))
        found["disk, full"] = lambda: self._last(self._disk.full())
        found["disk, inodes gone"] = lambda: self._last(self._disk.without_inodes())
        found["disk, read-only"] = lambda: self._last(self._disk.read_only())
        found["disk, stands still"] = lambda: self._disk.freeze(self._lasts)
        found |= self._of_steam()
        if self._two is not None:
            two = self._two
            found["link, cut"] = lambda: self._last(two.cut())
            found["link, stalls"] = lambda: self._last(two.stalled())
        return found

    def _processes(self, server: int) -> dict[str, Callable[[], int | None]]:
        parts: dict[str, Callable[[], int | None]] = {
            name: lambda name=name: self._app.service(name) for name in SERVICES if name != "web"
        }
        parts["web parent"] = lambda: self._app.service("web")
        parts["web process"] = lambda: self._child_of("web")
        parts["command of the worker"] = lambda: self._child_of("worker")
        parts["bin/up"] = lambda: self._app.pid
        parts["template"] = lambda: template(self._app.root)
        parts["supervisor"] = lambda: self._game_processes(server)[0]
        parts["game"] = lambda: self._game_processes(server)[1]
        if self._two is not None:
            two = self._two
            parts["second worker"] = lambda: two.pid
        return parts

    def _child_of(self, service: str) -> int | None:
        parent = self._app.service(service)
        children = procfs.children(parent) if parent is not None else []
        return self._chance.choice(children) if children else None

    def _game_processes(self, server: int) -> tuple[int | None, int | None]:
        """The supervisor and the game, on whichever host they are."""
        for place, _is_here in self._site.places(server):
            supervisor = ServerDirectory(place).living_supervisor()
            if supervisor is not None:
                init = next(iter(procfs.children(supervisor)), None)
                return supervisor, next(iter(procfs.children(init)), None) if init else None
        return None, None

    def _of_steam(self) -> dict[str, Strike]:
        faults = {
            "down": Fault(status=503),
            "slow": Fault(seconds_before_answer=self._lasts / 2),
            "nonsense": Fault(body=b"<html>"),
        }
        of_files = {**faults, "torn": Fault(torn_after=100), "stalls": Fault(stall_after=100)}
        found: dict[str, Strike] = {}
        for name, fault in faults.items():
            found[f"Steam API, {name}"] = lambda fault=fault: self._last(
                self._answering([self._steam.api_faults], fault)
            )
        for name, fault in of_files.items():
            queues = [self._steam.items[number].faults for number in range(1, ITEMS + 1)]
            found[f"CDN, {name}"] = lambda fault=fault, queues=queues: self._last(self._answering(queues, fault))
        return found

    @staticmethod
    @contextlib.contextmanager
    def _answering(queues: list[deque[Fault]], fault: Fault) -> Iterator[None]:
        for queue in queues:
            queue.extend([fault] * _MANY)
        try:
            yield
        finally:
            for queue in queues:
                queue.clear()

    def _last(self, spoilt: contextlib.AbstractContextManager[None]) -> None:
        """Keep it spoilt for a while in which people read and ask."""
        with spoilt:
            until = time.monotonic() + self._lasts
            while time.monotonic() < until:
                self._site.api.call("GET", "/servers")
                self._site.ask(
                    self._chance.choice(self._site.fleet.ids), self._chance.choice(("stop", "start")), self._chance
                )
                time.sleep(0.5)

    def _pause(self, pid: int | None) -> None:
        if send(pid, signal.SIGSTOP):
            time.sleep(self._lasts)
            send(pid, signal.SIGCONT)

    def _slow_down(self, pid: int | None) -> None:
        """It runs for one of ten moments."""
        until = time.monotonic() + self._lasts
        while time.monotonic() < until and send(pid, signal.SIGSTOP):
            time.sleep(0.18)
            send(pid, signal.SIGCONT)
            time.sleep(0.02)

    def _few_files(self, pid: int | None) -> None:
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 2, before[1]))
            time.sleep(self._lasts)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def send(pid: int | None, number: signal.Signals) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
