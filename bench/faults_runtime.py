"""Kill -9 parts of the process runtime during its operations; print how often and how fast they recover.

    bench/faults runtime [--rounds 100] [--servers 4]

A round asks for one operation on one server and kills, a little later, the supervisor, its child (process 1 of the
sandbox, or what starts that), the game, or the template that supervisors are forked from. Then it does what the
application does: look, and ask again while what is seen is not what is wanted. At the end of a round exactly the
wanted processes may exist, and no mount on the host.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from left4me.core.processes import commands, procfs
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.port import RuntimeFault, State
from servers.gamehost.process.runtime import ProcessRuntime
from servers.gamehost.tests.stage import Stage, quit_game, reachable

LIMIT_SECONDS = 30
OPERATIONS = ("start", "stop", "stop by quit", "kill", "nothing")
VICTIMS = ("supervisor", "process 1", "game", "template", "supervisor, stopped before")
WANTED_RUNNING = {"start": True, "stop": False, "stop by quit": False, "kill": False}


class Fleet:
    def __init__(self, root: Path, servers: int) -> None:
        self.root = root
        self.runtime = ProcessRuntime(root=root)
        stage = Stage(root, self.runtime)
        self.specs = {number: stage.spec(number) for number in range(1, servers + 1)}
        self.wanted = dict.fromkeys(self.specs, False)

    def do(self, server_id: int, operation: str) -> None:
        """Ask for it; that it fails is part of the game."""
        spec = self.specs[server_id]
        try:
            if operation == "start":
                self.runtime.start(spec)
            elif operation == "stop":
                self.runtime.stop(server_id)
            elif operation == "stop by quit":
                self.runtime.stop(server_id, quit_game=quit_game(spec))
            elif operation == "kill":
                self.runtime.kill(server_id)
        except (RuntimeFault, commands.CommandError, OSError):
            pass

    def strike(self, server_id: int, victim: str) -> bool:
        """Kill one; returns whether there was one to kill."""
        directory = ServerDirectory(self.root / "servers" / str(server_id))
        if victim == "template":
            struck = belonging(self.root / "servers")
        else:
            supervisor = directory.living_supervisor()
            inits = procfs.children(supervisor) if supervisor else []
            games = procfs.children(inits[0]) if inits else []
            struck = {"process 1": inits, "game": games}.get(victim, [supervisor] if supervisor else [])
        for pid in struck[:1]:
            try:
                if victim.endswith("before"):
                    os.kill(pid, signal.SIGSTOP)
                    time.sleep(0.05)
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return False
            while procfs.started(pid) is not None:
                time.sleep(0.005)  # until it has landed, the dead one still counts as running
        return bool(struck)

    def converge(self, server_id: int) -> float | None:
        """Look and ask again until it is as wanted; returns the seconds it took, None beyond the limit."""
        began = time.monotonic()
        while (seconds := time.monotonic() - began) < LIMIT_SECONDS:
            seen = self.runtime.observe([server_id])[server_id]
            if self.wanted[server_id]:
                if seen.state is State.RUNNING and reachable(self.specs[server_id]):
                    return seconds
                unmanaged = seen.state is State.CRASHED and "supervisor" in seen.detail
                if unmanaged or seen.state in (State.STOPPED, State.GAVE_UP):
                    self.do(server_id, "start")
            else:
                if seen.state is State.STOPPED and not belonging(self.root / "servers" / str(server_id)):
                    return seconds
                if seen.state is not State.STOPPED:
                    self.do(server_id, "stop")
            time.sleep(0.02)
        return None

    def wrong_processes(self) -> int:
        """Processes too many or too few: two per running server name its directory, and none per stopped one."""
        count = 0
        for server_id, wanted in self.wanted.items():
            found = belonging(self.root / "servers" / str(server_id))
            count += abs(len(found) - (2 if wanted else 0))
        return count

    def mounts(self) -> int:
        return Path("/proc/self/mountinfo").read_text().count(str(self.root))


def belonging(directory: Path) -> list[int]:
    """Every supervisor, child that starts a game, and process 1 whose command line ends with `directory`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().rstrip("/ \0").split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        pid = int(path.parent.name)
        if words[-1] == str(directory) and procfs.started(pid) is not None:
            found.append(pid)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    chance = random.Random(wanted.seed)
    root = Path(tempfile.mkdtemp(prefix="left4me-faults-", dir="/var/tmp"))
    fleet = Fleet(root / "root", wanted.servers)
    counts: Counter[str] = Counter()
    times: list[float] = []
    try:
        for number in range(wanted.rounds):
            play_round(fleet, chance, counts, times, number)
    finally:
        for server_id in fleet.specs:
            fleet.runtime.kill(server_id)
    left = sum(len(belonging(root / "root/servers" / str(server_id))) for server_id in fleet.specs)
    shutil.rmtree(root)
    print(f"rounds                      {wanted.rounds:6}")
    for name in sorted(counts):
        print(f"{name:27} {counts[name]:6}")
    print(f"ended as wished             {len(times):6}")
    print(f"slowest, seconds            {max(times, default=0):6.1f}")
    print(f"processes left at the end   {left:6}")
    if len(times) < wanted.rounds or counts["wrong processes"] or counts["mounts left"] or left:
        sys.exit(1)


def play_round(fleet: Fleet, chance: random.Random, counts: Counter[str], times: list[float], number: int) -> None:
    server_id = chance.choice(list(fleet.specs))
    # Most rounds begin with a running server: a stopped one has little to kill.
    if chance.random() < 0.75 and not fleet.wanted[server_id]:
        fleet.wanted[server_id] = True
        fleet.converge(server_id)
    operation, victim = chance.choice(OPERATIONS), chance.choice(VICTIMS)
    fleet.wanted[server_id] = WANTED_RUNNING.get(operation, fleet.wanted[server_id])
    worker = threading.Thread(target=fleet.do, args=(server_id, operation))
    worker.start()
    time.sleep(chance.uniform(0, 0.3))
    counts[f"killed: {victim}"] += fleet.strike(server_id, victim)
    worker.join()
    seconds = fleet.converge(server_id)
    if seconds is None:
        print(f"round {number}: {operation}, {victim} killed: {fleet.runtime.observe([server_id])}")
    else:
        times.append(seconds)
    counts["wrong processes"] += fleet.wrong_processes()
    counts["mounts left"] += fleet.mounts()


if __name__ == "__main__":
    main()
