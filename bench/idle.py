"""Print the memory of the idle stack that bin/up runs: PSS of all its processes (shared pages counted once).

Starts bin/up on a data directory of its own, waits until it serves, lets it settle and reads /proc/PID/smaps_rollup.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SETTLE_SECONDS = float(os.environ.get("BENCH_SETTLE_SECONDS", "15"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").split()
    return " ".join(words[-6:])[:60] if words else "?"


def main() -> int:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="left4me-idle-") as root:
        env = {**os.environ, "LEFT4ME_ROOT": root, "LEFT4ME_BIND": f"127.0.0.1:{port}"}
        started = time.monotonic()
        up = subprocess.Popen([REPOSITORY / "bin" / "up"], env=env, stdout=subprocess.DEVNULL)
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                    break
                except OSError:
                    if up.poll() is not None:
                        return 1
                    time.sleep(0.1)
            print(f"{'seconds to the first page':<62}{time.monotonic() - started:9.1f} s")
            urllib.request.urlopen(f"http://127.0.0.1:{port}/accounts/login/", timeout=10).close()
            time.sleep(SETTLE_SECONDS)
            total = 0
            for pid in descendants(up.pid):
                size = pss_kib(pid)
                total += size
                print(f"{name(pid):<62}{size / 1024:9.1f} MiB")
            print(f"{'sum of PSS':<62}{total / 1024:9.1f} MiB")
        finally:
            stopped = time.monotonic()
            up.send_signal(signal.SIGINT)
            up.wait(30)
            print(f"{'seconds to stop':<62}{time.monotonic() - stopped:9.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
