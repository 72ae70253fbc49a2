"""Print what works cost at 1, 10 and 100 times the rows, and the exponents of their growth.

    bench/growth [PART...] [--only REGEX] [--factor 100] [--rounds 5] [--postgres]

Each size is an installation of its own: 10 servers with 10,000 visits of players, 1,000 jobs, 10,000 lines of their
logs and so on, times the size (bench/growth_installation.py). They take turns, work by work, so that what else the
machine does meets all sizes alike. The cost is the CPU time of the process, and with PostgreSQL that of its process
for this connection; where that is on another machine, the time of the queries instead. The median of all rounds
counts.

The exponent is the slope between the two largest sizes, where what grows has overtaken what is fixed. Costs that
differ by less than 0.3 ms count as the same: there, noise and growth cannot be told apart. Garbage is collected before
each work, as a full collection takes longer than a page and meets one by chance. A page is not compared with a size
that does not fill it. It ends with status 1 if an exponent exceeds its limit: 0.1 of what shows or moves a bounded
number of rows, 1.1 of what goes through all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from bench import figures
from bench.figures import Figure

FLOOR_MS = 0.3
SIZES = (1, 10, 100)
PARTS = ("pages", "api", "history", "metrics", "jobs", "builds", "backups", "cleanup", "periodic", "sweep")


class Site:
    """The process that holds the installation of one size (bench/growth_site.py)."""

    def __init__(self, factor: int, parts: list[str], *, original: str = "") -> None:
        self.factor = factor
        argv = [sys.executable, "-m", "bench.growth_site", str(factor), original, *parts]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, words: object = "") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{words}\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the installation of size {self.factor} ended with {self._process.wait()}")
        return json.loads(line)

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@dataclass
class Row:
    """One work: its costs in milliseconds by size."""

    part: str
    name: str
    limit: float
    full: int
    costs: dict[int, list[float]] = field(default_factory=dict)
    queries: dict[int, int] = field(default_factory=dict)
    error: str = ""

    def cost(self, factor: int) -> float:
        return statistics.median(self.costs[factor])

    @property
    def exponent(self) -> float | None:
        """None if there are not two sizes to compare."""
        if self.error:
            return None
        sizes = sorted(size for size in self.costs if size >= self.full)[-2:]
        if len(sizes) < 2:
            return None
        small, large = (self.cost(size) for size in sizes)
        if abs(large - small) < FLOOR_MS:
            return 0.0
        return math.log(large / small) / math.log(sizes[1] / sizes[0])

    @property
    def is_too_steep(self) -> bool:
        return self.exponent is not None and self.exponent > self.limit

    def measured(self, database: str) -> list[Figure]:
        """The exponent and the cost at the largest size."""
        if self.error:
            return [Figure("growth", f"{self.name}, {database}", None, "exponent", failure=self.error)]
        largest = max(self.costs)
        found = [Figure("growth", f"{self.name}, {database}, x{largest}", round(self.cost(largest), 2), "ms")]
        if self.exponent is not None:
            value, aim = round(self.exponent, 3), f"<= {self.limit}"
            found.append(Figure("growth", f"{self.name}, {database}", value, "exponent", aim=aim))
        return found

    def __str__(self) -> str:
        if self.error:
            return f"{self.name:<48}  FAILED: {self.error}"
        costs = "".join(f"{self.cost(size):>10.1f}" for size in self.costs)
        exponent = "" if self.exponent is None else f"{self.exponent:.2f}"
        mark = "  TOO STEEP" if self.is_too_steep else ""
        queries = "/".join(str(number) for number in self.queries.values())
        return f"{self.name:<48}{costs}{exponent:>8}{self.limit:>6}{queries:>14}{mark}"


def rounds(sites: list[Site], rows: list[Row], only: str, count: int, database: str) -> None:
    """Have every size do every work, in turns, and report it; the first time warms what is kept between requests."""
    part = ""
    for number, row in enumerate(rows):
        if not re.search(only, row.name):
            continue
        if row.part != part:
            part = row.part
            heads = "".join(f"{f'x{site.factor}, ms':>10}" for site in sites)
            print(f"\n{f'{part} ({database})':<48}{heads}{'slope':>8}{'limit':>6}{'queries':>14}", flush=True)
        for turn in range(count + 1):
            # Neither the small nor the large one always comes first.
            for site in sites if turn % 2 else reversed(sites):
                site.ask(number)
                figure = site.answer()
                if row.error or "error" in figure:
                    row.error = row.error or figure["error"]
                    continue
                row.queries[site.factor] = figure["queries"]
                if turn:
                    row.costs[site.factor].append(figure["ms"])
        figures.record(str(row), *row.measured(database))


def start(sizes: list[int], parts: list[str]) -> list[Site]:
    """An installation of each size. The first migrates its database, which the others copy."""
    sites = [Site(sizes[0], parts)]
    original = sites[0].answer()
    for size in sizes[1:]:
        sites.append(Site(size, parts, original=original))
        sites[-1].answer()
    for site in sites:
        site.ask()
    return sites


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--only", default="", metavar="REGEX", help="works of these parts whose names match this")
    parser.add_argument("--factor", type=int, default=100, help="the largest size (default: 100)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgres", action="store_true", help="with a PostgreSQL server of its own")
    wanted = parser.parse_args(arguments)
    if unknown := set(wanted.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if wanted.postgres and not os.environ.get("DATABASE_URL"):
        argv = ["bin/with-postgres", sys.executable, "-m", "bench.growth", *sys.argv[1:]]
        return subprocess.run(argv, check=False).returncode
    sizes = [size for size in SIZES if size < wanted.factor] + [wanted.factor]
    # The sweep changes the rows that pages show, and comes last.
    parts = [part for part in PARTS if part in (wanted.parts or PARTS)]
    sites = start(sizes, parts)
    try:
        told = [site.answer() for site in sites]
        for site, each in zip(sites, told, strict=True):
            print(f"size {site.factor}: rows made in {each['filled']:.1f} s", flush=True)
        rows = [Row(**work, costs={size: [] for size in sizes}) for work in told[0]["works"]]
        rounds(sites, rows, wanted.only, wanted.rounds, "PostgreSQL" if os.environ.get("DATABASE_URL") else "SQLite")
    finally:
        for site in sites:
            site.end()
    return report([row for row in rows if re.search(wanted.only, row.name)])


def report(rows: list[Row]) -> int:
    steep = [row.name for row in rows if row.is_too_steep]
    print(f"\n{len(rows)} works, of which {len(steep)} grow faster than they may")
    print(f"Costs that differ by less than {FLOOR_MS} ms count as the same.")
    failed = [row.name for row in rows if row.error]
    if failed:
        print(f"{len(failed)} works failed")
    return 1 if steep or failed else 0


if __name__ == "__main__":
    sys.exit(main())
