"""How noisy the machine is while it measures: a loop that always does the same work, timed between the benches."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass

_TIMES = 5
_STEPS = 400_000


@dataclass(frozen=True)
class Noise:
    """The milliseconds that the loop took, as the median of some runs, and the load of the machine."""

    milliseconds: float
    load: float


def measure() -> Noise:
    return Noise(statistics.median(_loop() for _ in range(_TIMES)), os.getloadavg()[0])


def _loop() -> float:
    began = time.perf_counter()
    total = 0
    for number in range(_STEPS):
        total += number & 7
    return 1000 * (time.perf_counter() - began)


def sentence(noises: list[Noise]) -> str:
    """How much the loop varied. On a quiet machine the slowest is a few per cent above the fastest."""
    times, loads = [each.milliseconds for each in noises], [each.load for each in noises]
    slower = 100 * (max(times) / min(times) - 1)
    return (
        f"a fixed loop, timed {len(times)} times between the benches, took {min(times):.1f} to {max(times):.1f} ms"
        f" (the slowest {slower:.0f} % above the fastest, median {statistics.median(times):.1f} ms);"
        f" load {min(loads):.1f} to {max(loads):.1f}"
    )
