"""Start a fleet of simulated servers, let it run, stop it; print seconds and memory.

    bench/fleet [--servers 100] [--seconds 10]

Every server is real but for the game: its own sandbox, overlay mount and supervisor. "Ready" means RCON answers.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import figures
from bench.faults_application import free_ports
from bench.figures import Figure
from left4me.core.processes import procfs
from servers.gamehost import rcon
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.port import State
from servers.gamehost.process.runtime import ProcessRuntime
from servers.gamehost.spec import InstanceSpec
from servers.simulated.install import install

PASSWORD = "fleet"
AT_ONCE = 4  # as many as a worker has job slots


def spec(server_id: int, port: int, game: Path) -> InstanceSpec:
    usual = ["-game", "left4dead2", "-console", "-norestart", "-strictportbind", "-ip", "127.0.0.1"]
    return InstanceSpec(
        server_id=server_id,
        argv=("./srcds_run", *usual, "-port", str(port), "+map", "c1m1_hotel"),
        layers=(str(game),),
        port=port,
        generated={"left4dead2/cfg/server.cfg": f'rcon_password "{PASSWORD}"\n'},
    )


def timed(what: str, work: Callable[[], object], servers: int) -> None:
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    figures.record(f"{what:44} {seconds:8.2f} s", Figure("fleet", f"{what}, each", 1000 * seconds / servers, "ms"))


def wait_until_ready(fleet: list[InstanceSpec]) -> None:
    waiting = list(fleet)
    while waiting:
        waiting = [one for one in waiting if not answers(one)]


def answers(one: InstanceSpec) -> bool:
    try:
        rcon.execute("127.0.0.1", one.port, PASSWORD, "status", timeout=10, starting=True)
    except rcon.RconError:
        return False
    return True


def quit_game(one: InstanceSpec) -> Callable[[], None]:
    def ask() -> None:
        with contextlib.suppress(rcon.TimedOut):
            rcon.execute("127.0.0.1", one.port, PASSWORD, "quit", timeout=10)

    return ask


def memory(root: Path, fleet: list[InstanceSpec]) -> None:
    """PSS counts a page that many share in parts, so that the sum is what the fleet takes.

    All supervisors are forks of one template, which has been there since the first start and counts as well.
    """
    pss: dict[str, int] = defaultdict(int)
    worst = 0
    templates = set()
    cpu = 0.0
    for one in fleet:
        supervisor = ServerDirectory(root / "servers" / str(one.server_id)).living_supervisor()
        if supervisor is None:
            sys.exit(f"server {one.server_id} has no supervisor")
        usage = procfs.usage(supervisor)
        cpu += usage.cpu_seconds if usage else 0
        worst = max(worst, field(supervisor, "status", "VmRSS:"))
        templates.add(int(procfs.stat_fields(supervisor)[procfs.PARENT]))
        pss["supervisors"] += field(supervisor, "smaps_rollup", "Pss:")
        for init in procfs.children(supervisor):
            pss["process 1 of the sandboxes"] += field(init, "smaps_rollup", "Pss:")
            for game in procfs.children(init):
                pss["games"] += field(game, "smaps_rollup", "Pss:")
    pss["template of supervisors"] = sum(field(pid, "smaps_rollup", "Pss:") for pid in templates)
    for name, kib in pss.items():
        each = kib / 1024 / len(fleet)
        figures.record(
            f"{name + ', memory of all (PSS)':44} {kib / 1024:8.1f} MiB ({each:.2f} each)",
            Figure("fleet", f"{name}, memory (PSS) each", each, "MiB"),
        )
    beside = sum(kib for name, kib in pss.items() if name != "games") / 1024 / len(fleet)
    figures.record(None, Figure("fleet", "memory beside each game (PSS)", beside, "MiB"))
    print(f"{'beside each game':44} {beside:8.2f} MiB")
    print(f"{'largest supervisor (RSS)':44} {worst / 1024:8.1f} MiB")
    print(f"{'CPU time of all so far':44} {cpu:8.1f} s")


def field(pid: int, name: str, key: str) -> int:
    lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def left_over(root: Path) -> int:
    """Processes that still have anything to do with the fleet."""
    count = 0
    server = re.compile(rf"{root}/servers/\d")  # the template, which ends with this process, names none
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            count += server.search(command.read_text()) is not None
        except OSError:
            continue
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10)
    wanted = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="left4me-fleet-", dir="/var/tmp"))
    runtime = ProcessRuntime(root=root)
    game = root / "game"
    game.mkdir()
    install(game)
    ports = free_ports(wanted.servers)
    fleet = [spec(number, port, game) for number, port in enumerate(ports, start=1)]
    ids = [one.server_id for one in fleet]
    print(f"{wanted.servers} simulated servers, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before\n")
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            timed("all started", lambda: list(pool.map(runtime.start, fleet)), len(fleet))
            timed("all ready after that", lambda: wait_until_ready(fleet), len(fleet))
            time.sleep(wanted.seconds)
            timed("one look at all of them", lambda: runtime.observe(ids), len(fleet))
            timed("one RCON question to each", lambda: list(pool.map(answers, fleet)), len(fleet))
            running = sum(seen.state is State.RUNNING for seen in runtime.observe(ids).values())
            print(f"{'running':44} {running:8}")
            memory(root, fleet)
            timed("all stopped by RCON quit", lambda: list(pool.map(stop(runtime), fleet)), len(fleet))
    finally:
        for one in ids:
            runtime.kill(one)
    print(f"{'processes left':44} {left_over(root):8}")
    shutil.rmtree(root)


def stop(runtime: ProcessRuntime) -> Callable[[InstanceSpec], object]:
    return lambda one: runtime.stop(one.server_id, quit_game=quit_game(one))


if __name__ == "__main__":
    main()
