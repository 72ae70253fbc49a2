"""bench/all --quick: counts that are the same on a busy machine, and the limits that they have to keep.

Function calls, queries and bytes of pages, function calls and statements of jobs, modules of processes, bytes of a
person's first page, and the wake-ups of the idle stack, which has a wide limit. The limits are in
bench/comparison/limits.toml: some per cent above what was counted when they were set, because versions of Python
differ. A change that needs more raises its limit, and says why.
"""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path

from bench.comparison import execution, plan
from bench.comparison.aims import number
from bench.comparison.plan import Bench

LIMITS = Path(__file__).with_name("limits.toml")

# The same counts also where the tests run on PostgreSQL.
_SITE = {"BENCH_SERVERS": "60", "DATABASE_URL": ""}

PLAN = [
    Bench("pages-calls", ("bench/pages", "--calls"), environment=_SITE),
    Bench("jobs-costs", ("bench/jobs", "costs"), environment={"DATABASE_URL": ""}),
    Bench("start-modules", ("bench/start", "modules")),
    Bench("start-first-page", ("bench/start", "first-page")),
    Bench("idle", ("bench/idle",), environment={"BENCH_SETTLE_SECONDS": "8", "BENCH_COUNT_SECONDS": "8"}),
]


def main(names: list[str]) -> int:
    """Count everything, or only by some benches; print each figure with its limit, return 1 if one is beyond it."""
    benches = plan.choose(names, PLAN)
    with tempfile.TemporaryDirectory(prefix="left4me-quick-") as place:
        run = execution.execute(benches, Path(place), most_rounds=1)
    beyond = 0
    print(f"\n{'':<62}{'counted':>12}{'at most':>12}")
    for limit in tomllib.loads(LIMITS.read_text(encoding="utf-8"))["limits"]:
        if names and limit["by"] not in names:
            continue
        result = run.find(limit["bench"], limit["work"])
        counted = result.value if result else None
        is_beyond = counted is None or counted > limit["most"]
        beyond += is_beyond
        said = "nothing" if counted is None else number(counted)
        print(f"{limit['work']:<62}{said:>12}{number(limit['most']):>12}{'   BEYOND' if is_beyond else ''}")
    for failure in run.failures:
        print(f"FAILED {failure.bench}: {failure.reason}")
    if beyond:
        print(f"\n{beyond} beyond the limit: do less, or raise it in {LIMITS.name} and say why in the commit.")
    return 1 if beyond or run.failures else 0
