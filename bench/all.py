"""Run every bench, compare the figures with peers, floors and aims, and make docs/performance.md of them.

    bench/all                    everything, less than 15 minutes on two cores; then writes the page and its plots
    bench/all --only NAME...     only these benches; prints their aims, and writes nothing unless --write is given
    bench/all --from FILE        makes the page again of figures that were kept, without a run
    bench/all --quick            only counts, which a busy machine does not change; fails beyond limits.toml

Each bench runs as a process of its own; one that fails does not stop the others, and its failure stands in the table.
Between the benches a fixed loop is timed, which tells how quiet the machine was. Peers that are not locked are found
in the environment that PEERS names: see bench/peers/environment.py.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from bench.comparison import aims, counts, execution, noise, page, plan, results
from bench.comparison.plan import Bench
from bench.comparison.results import Run

KEPT = Path(__file__).parent / "comparison" / "figures.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="benches of the plan")
    parser.add_argument("--rounds", type=int, default=9, help="at most so many rounds of each bench")
    parser.add_argument("--write", action="store_true", help="write the page also with --only: other figures stay")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help=f"kept figures, such as {KEPT.name}")
    parser.add_argument("--quick", action="store_true", help="counts only")
    wanted = parser.parse_args()
    if wanted.quick:
        return counts.main(wanted.only)
    if wanted.source:
        run = results.read(wanted.source)
        page.write(run)
        print_aims(run, {bench.figures for bench in plan.PLAN})
        return 0
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    benches = plan.choose(wanted.only)
    run = measure(benches, wanted.rounds)
    print_aims(run, {bench.figures for bench in benches})
    status = 1 if run.failures else 0
    if wanted.write or not wanted.only:
        if wanted.only and KEPT.exists():
            run = results.update(results.read(KEPT), run)
        run.write(KEPT)
        page.write(run)
    return status


def measure(benches: list[Bench], rounds: int) -> Run:
    place = Path(tempfile.mkdtemp(prefix="left4me-all-"))
    print(f"What the benches print is kept in {place}.", flush=True)
    run = execution.execute(benches, place, most_rounds=rounds)
    run.write(place / "figures.jsonl")
    return run


def print_aims(run: Run, benches: set[str]) -> None:
    """Print the table of aims, with those of these benches, and how the run went."""
    of_benches = [aim for aim in aims.read() if aim.bench in benches]
    rows = aims.rows(run, of_benches)
    lines = [aims.HEADS, *(row.cells for row in rows)]
    widths = [min(58, max(len(line[column]) for line in lines)) for column in range(len(aims.HEADS))]
    print()
    for line in lines:
        print(" | ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    print(f"\nThe machine: {run.machine}; {noise.sentence(run.noises)}.")
    if unexplained := [row.work for row in rows if row.reached == "no" and not row.reason]:
        print(f"{aims.SOURCE.name} gives no reason for {len(unexplained)} missed: {'; '.join(unexplained)}")
    for failure in run.failures:
        print(f"FAILED {failure.bench}: {failure.reason}")


if __name__ == "__main__":
    sys.exit(main())
