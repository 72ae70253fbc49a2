"""Print what the idle stack that bin/up runs takes: memory (PSS), wake-ups and CPU time.

PSS counts a page that several processes share in parts: other installations on the machine, which share the libraries,
make it smaller by up to 20 MiB. A wake-up is a voluntary context switch of a thread, counted over some seconds in
which nobody asks. It starts bin/up on a data directory of its own, waits until it serves, lets it settle and looks.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from bench import bin_up, figures
from bench.figures import Figure
from left4me.core.processes import procfs

SETTLE_SECONDS = float(os.environ.get("BENCH_SETTLE_SECONDS", "15"))
COUNT_SECONDS = float(os.environ.get("BENCH_COUNT_SECONDS", "20"))


def descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def wakeups(pid: int) -> int:
    """The voluntary context switches of all threads of a process so far."""
    return sum(
        int(line.split()[1])
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for line in status.read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches:")
    )


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def name(pid: int) -> str:
    # What bin/up forks has the command line of bin/up.
    called = procfs.name(pid)
    if called.startswith("left4me-"):
        return called
    words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").split()
    return " ".join(words[-6:])[:60] if words else "?"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="left4me-idle-") as root:
        with bin_up.running(Path(root)) as up:
            print(f"{'seconds to the first page':<62}{up.first_page:9.1f} s")
            time.sleep(SETTLE_SECONDS)
            measure(descendants(up.process.pid))
            stopped = time.monotonic()
        print(f"{'seconds to stop':<62}{time.monotonic() - stopped:9.1f} s")
    return 0


def measure(pids: list[int]) -> None:
    before = {pid: (wakeups(pid), cpu_seconds(pid)) for pid in pids}
    time.sleep(COUNT_SECONDS)
    memory = woken = busy = 0.0
    print(f"{'':<62}{'PSS':>13}{'wake-ups':>12}{'CPU':>12}")
    for pid in pids:
        size, each = pss_kib(pid) / 1024, (wakeups(pid) - before[pid][0]) / COUNT_SECONDS
        share = 1000 * (cpu_seconds(pid) - before[pid][1]) / COUNT_SECONDS
        memory, woken, busy = memory + size, woken + each, busy + share
        print(f"{name(pid):<62}{size:9.1f} MiB{each:10.1f}/s{share:7.1f} ms/s")
    figures.record(
        f"{'all':<62}{memory:9.1f} MiB{woken:10.1f}/s{busy:7.1f} ms/s",
        Figure("idle", "memory of the idle stack (PSS)", memory, "MiB"),
        Figure("idle", "wake-ups of the idle stack", woken, "/s"),
        Figure("idle", "CPU of the idle stack", busy, "ms/s"),
    )


if __name__ == "__main__":
    sys.exit(main())
