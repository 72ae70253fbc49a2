"""Print what it costs to compose a server's tree and execute its game, compared with copying or linking the files.

    bench/compose [--files 20000] [--layers 10] [--rounds 20]

The first row is the real launcher, from the start of its Python to the end of a game that ends at once.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import figures
from bench.figures import Figure
from bench.peers import cp
from servers.gamehost.spec import InstanceSpec

REPOSITORY = Path(__file__).resolve().parent.parent

FILE_BYTES = 4096
FILES_PER_DIRECTORY = 200
FILES_PER_LAYER = 50


def make_tree(root: Path, files: int, *, mark: str) -> None:
    content = (mark * FILE_BYTES)[:FILE_BYTES]
    for number in range(files):
        directory = root / f"left4dead2/d{number // FILES_PER_DIRECTORY}"
        if number % FILES_PER_DIRECTORY == 0:
            directory.mkdir(parents=True)
        (directory / f"file{number}.dat").write_text(content)


def launcher(root: Path, layers: list[Path]) -> Callable[[], None]:
    server = root / "servers/1"
    server.mkdir(parents=True)
    spec = InstanceSpec(server_id=1, argv=("/bin/true",), layers=tuple(map(str, layers)), port=27015)
    (server / "spec.json").write_text(spec.to_json())
    argv = [sys.executable, "-S", "-E", "-m", "servers.gamehost.launcher", server]

    def run() -> None:
        done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True)
        if "started" not in done.stdout:
            sys.exit(done.stdout + done.stderr)

    return run


def used(root: Path) -> tuple[int, int]:
    """KiB and entries below `root`; a hard link counts where it is first seen, so links to the layers cost 0 KiB."""
    entries = size = 0
    for path in root.rglob("*"):
        status = path.lstat()
        entries += 1
        size += status.st_blocks // 2 if status.st_nlink == 1 or path.is_dir() else 0
    return size, entries


def cpu_seconds() -> float:
    """Of all children so far: unlike the clock it hardly depends on what else the machine does."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def measure(base: Path, name: str, rounds: int, make: Callable[[Path], Callable[[], None]]) -> None:
    times, busy = [], []
    size = entries = 0
    for _ in range(rounds):
        root = base / "round"
        root.mkdir()
        run = make(root)
        began, began_busy = time.perf_counter(), cpu_seconds()
        run()
        times.append((time.perf_counter() - began) * 1000)
        busy.append((cpu_seconds() - began_busy) * 1000)
        upper = root / "servers/1/upper"
        size, entries = used(upper if upper.exists() else root / "farm")
        shutil.rmtree(root)
    median, cpu = statistics.median(times), statistics.median(busy)
    who = name if name in cp.WAYS else figures.US
    figures.record(
        f"{name:34} {median:9.1f} {min(times):8.1f} {cpu:7.1f} {size:12} {entries:8} {rounds:7}",
        Figure("compose", "compose a tree", median, "ms", who),
        Figure("compose", "compose a tree: CPU", cpu, "ms", who),
        Figure("compose", "compose a tree: written", size, "KiB", who),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="left4me-compose-", dir="/var/tmp") as name:
        base = Path(name)
        layers = [base / f"overlay{number}" for number in range(wanted.layers)]
        for layer in layers:
            make_tree(layer, FILES_PER_LAYER, mark=layer.name)
        game = base / "game"
        make_tree(game, wanted.files, mark="game")
        stack = [*layers, game]
        print(f"{wanted.files} files in the game, {wanted.layers} layers over it\n")
        heads = ("median ms", "best ms", "CPU ms", "KiB written", "entries", "rounds")
        print(f"{'way':34} {heads[0]:>9} {heads[1]:>8} {heads[2]:>7} {heads[3]:>12} {heads[4]:>8} {heads[5]:>7}")
        few = max(1, wanted.rounds // 7)
        measure(base, "launcher: compose, sandbox, exec", wanted.rounds, lambda root: launcher(root, stack))
        for way in cp.WAYS:
            measure(base, way, few, lambda root, way=way: cp.compose(root, stack, way))


if __name__ == "__main__":
    main()
