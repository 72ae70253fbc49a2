"""What processes, tables and directories take over time, for bench/load."""

from __future__ import annotations

import statistics
import subprocess
from collections import defaultdict
from pathlib import Path

from bench.faults_application import Application
from bench.idle import descendants, pss_kib
from left4me.core.processes import procfs

SAMPLE_SECONDS = 10.0


class Growth:
    """What processes, tables and directories take, over time."""

    def __init__(self, running: Application) -> None:
        self._running = running
        self.memory: dict[str, list[int]] = defaultdict(list)
        self.rows: list[dict[str, int]] = []
        self.bytes: list[dict[str, int]] = []

    def sample(self) -> None:
        total: dict[str, int] = defaultdict(int)
        for pid in descendants(self._running.pid):
            try:
                total[_service(pid)] += pss_kib(pid)
            except OSError:
                continue  # it ended just now
        for name, size in total.items():
            if name:
                self.memory[name].append(size)

    def count(self) -> None:
        """Rows and bytes, which take longer to find out."""
        from django.apps import apps

        self.rows.append({model._meta.db_table: model._default_manager.count() for model in apps.get_models()})
        sizes = {}
        for path in self._running.root.iterdir():
            du = subprocess.run(["du", "--bytes", "--summarize", path], capture_output=True, text=True, check=False)
            sizes[path.name] = int(du.stdout.split()[0]) if du.stdout else 0
        self.bytes.append(sizes)

    def report(self, hours: float) -> None:
        print(f"\n{'memory (PSS)':<34}{'early':>10}{'late':>10}{'MiB an hour':>14}")
        for name, series in sorted(self.memory.items()):
            # The second fifth and the last one: the first one fills caches.
            fifth = max(1, len(series) // 5)
            early, late = (
                statistics.median(part) / 1024 for part in (series[fifth : 2 * fifth] or series, series[-fifth:])
            )
            between = max(1, len(series) - 2 * fifth) * SAMPLE_SECONDS / 3600
            print(f"{name:<34}{early:>10.1f}{late:>10.1f}{(late - early) / between:>14.1f}")
        _print_change("rows", self.rows, hours)
        _print_change("bytes", self.bytes, hours)


def _print_change(what: str, counted: list[dict[str, int]], hours: float) -> None:
    first, last = counted[0], counted[-1]
    print(f"\n{what + ' that changed':<34}{'before':>14}{'after':>14}{'an hour':>14}")
    for name in sorted(first.keys() | last.keys()):
        before, after = first.get(name, 0), last.get(name, 0)
        if before != after:
            print(f"{name:<34}{before:>14}{after:>14}{(after - before) / hours:>14.0f}")


def _service(pid: int) -> str:
    if (name := procfs.name(pid)).startswith("left4me-"):
        return name
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    if "deploy.up" in words:
        return "deploy.up"
    return "redis" if any("redis" in word for word in words[:1]) else ""
