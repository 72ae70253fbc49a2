"""What bench/scale has measured: a step's figures, the table of all steps, and what is derived from them."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench import figures
from bench.figures import Figure

if TYPE_CHECKING:
    from bench.scale_parts import Reading

POLL_SECONDS = 5.0
# With fewer of the sweeps, or when they land later than the next is due, a step does not keep up.
LEAST_LANDED = 0.95
# Seconds, of the median: live lines that come later are not live.
LONGEST_DELAY = 1
PARTS = ("postgres", "redis", "web", "worker", "beat", "hosts")


@dataclass
class Report:
    """What the hosts of one process have done since the last report."""

    # By task.
    count: Counter[str] = field(default_factory=Counter)
    cpu: Counter[str] = field(default_factory=Counter)
    # Seconds from the message that asks for a sweep to its last commit.
    landed_after: list[float] = field(default_factory=list)
    expired: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    errors: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        for name in ("count", "cpu", "expired"):
            getattr(self, name).update(getattr(other, name))
        self.landed_after += other.landed_after
        self.crashes += other.crashes
        self.errors += other.errors


@dataclass
class Seen:
    """What all viewers have seen since the last report; times are in milliseconds."""

    signals: int = 0
    signal_delays: list[float] = field(default_factory=list)
    lines: int = 0
    line_delays: list[float] = field(default_factory=list)
    lines_lost: int = 0
    answers: list[float] = field(default_factory=list)
    bytes: int = 0
    errors: list[str] = field(default_factory=list)


@dataclass
class Step:
    """What was measured with so many servers."""

    servers: int
    hosts: int
    used: Reading
    done: Report
    seen: Seen
    waits: list[float] = field(default_factory=list)
    jobs: int = 0
    alerts: int = 0

    @property
    def landed(self) -> float:
        """The share of the sweeps that were certainly due and have landed."""
        return self.done.count["livestate.poll"] / (self.hosts * max(1, int(self.used.at / POLL_SECONDS)))

    @property
    def keeps_up(self) -> bool:
        return self.landed >= LEAST_LANDED and _at(self.done.landed_after, 0.99) < POLL_SECONDS

    def cores(self, part: str) -> float:
        return self.used.cpu[part] / self.used.at

    def a_second(self, counter: str) -> float:
        return self.used.counted[counter] / self.used.at


def print_progress(step: Step) -> None:
    print(
        f"{step.servers} servers: {100 * step.landed:.0f} % of the sweeps landed,"
        f" 99 % of those within {_at(step.done.landed_after, 0.99):.2f} s",
        flush=True,
    )


def print_table(steps: list[Step]) -> None:
    """A column for each step."""

    def row(name: str, values: list[float], form: str = ".2f") -> None:
        print(f"{name:<46}" + "".join(f"{value:>11{form}}" for value in values))

    print()
    row("servers", [step.servers for step in steps], "d")
    row("hosts", [step.hosts for step in steps], "d")
    row("sweeps landed, % of those due", [100 * step.landed for step in steps], ".1f")
    for share in (0.5, 0.99):
        row(f"  after, p{100 * share:.0f}, s", [_at(step.done.landed_after, share) for step in steps])
    row("cores used by postgres", [step.cores("postgres") for step in steps])
    for application in ("hosts", "web", "worker", "of its own"):
        row(f"  {application}", [step.used.postgres_for[application] / step.used.at for step in steps])
    for part in PARTS[1:]:
        row(f"cores used by {part}", [step.cores(part) for step in steps])
    row("cores of the machine at work", [step.cores("the machine") for step in steps])
    row("cores of the machine idle", [step.cores("the machine, idle") for step in steps])
    for counter in ("transactions", "Redis commands"):
        row(f"{counter} a second", [step.a_second(counter) for step in steps], ".0f")
    for counter in ("WAL bytes", "Redis bytes"):
        row(f"{counter} a second, kB", [step.a_second(counter) / 1000 for step in steps], ".0f")
    for application in ("hosts", "web", "worker"):
        row(f"connections to PostgreSQL of {application}", [step.used.connections[application] for step in steps], "d")
    row("signals to viewers a second", [step.seen.signals / step.used.at for step in steps], ".0f")
    row("parts of pages a second", [len(step.seen.answers) / step.used.at for step in steps], ".0f")
    for name, delays in (
        ("signals late by", [step.seen.signal_delays for step in steps]),
        ("lines of logs late by", [step.seen.line_delays for step in steps]),
        ("parts of pages after", [step.seen.answers for step in steps]),
        ("jobs waited", [step.waits for step in steps]),
    ):
        for share in (0.5, 0.99):
            row(f"{name}, p{100 * share:.0f}, ms", [_at(each, share) for each in delays], ".0f")
    row("lines of logs delivered a second", [step.seen.lines / step.used.at for step in steps], ".0f")
    row("crashes", [step.done.crashes for step in steps], "d")
    row("alerts sent", [step.alerts for step in steps], "d")


def print_capacity(steps: list[Step]) -> None:
    """Derive from the steps that kept up what servers cost each part, and how many servers one core of it carries."""
    good = [step for step in steps if step.keeps_up] or steps[:1]
    last = good[-1]
    print(f"\nA sweep of a host costs, measured with {last.servers} servers:")
    for task in sorted(last.done.cpu, key=last.done.cpu.__getitem__, reverse=True):
        if count := last.done.count[task]:
            cost = 1000 * last.done.cpu[task] / count
            figures.record(
                f"  {task:<44}{cost:>11.1f} ms on the host, {count} times",
                Figure("scale", f"{task} for a host", cost, "ms"),
            )
    print(f"\n{'derived from the steps that keep up':<46}{'base':>11}{'per 1,000':>11}{'servers':>11}")
    print(f"{'':<46}{'cores':>11}{'cores':>11}{'per core':>11}")
    for part in PARTS:
        base, slope = line([(step.servers, step.cores(part)) for step in good])
        carried = f"{(1 - base) / slope:>11,.0f}" if slope > 0 else f"{'–':>11}"
        figures.record(
            f"{part:<46}{base:>11.3f}{1000 * slope:>11.3f}{carried}",
            Figure("scale", f"{part} for 1,000 servers", 1000 * slope, "cores"),
        )
    slow = next((step for step in steps if _at(step.seen.line_delays, 0.5) > 1000 * LONGEST_DELAY), None)
    if slow is not None:
        print(
            f"\nLines of logs are more than {LONGEST_DELAY:g} s late from {slow.servers} servers on: the web is full."
        )
    late = next((step for step in steps if not step.keeps_up), None)
    if late is None:
        print(f"\nEvery step kept up, with {steps[-1].servers} servers at last.")
        return
    busiest = max(PARTS, key=late.cores)
    print(
        f"\nSweeps are late from {late.servers} servers on. The part that used most was {busiest},"
        f" with {late.cores(busiest):.2f} cores of {os.cpu_count()}."
    )


def line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """The straight line through the points by least squares: what it begins with, and what it grows by."""
    count = len(points)
    if count == 1:
        return 0.0, points[0][1] / points[0][0]
    middle_x, middle_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    slope = sum((x - middle_x) * (y - middle_y) for x, y in points) / sum((x - middle_x) ** 2 for x, _ in points)
    return middle_y - slope * middle_x, slope


def _at(values: list[float], share: float) -> float:
    """The value below which this share of the values is; not a number without any."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else float("nan")
