"""Print how long a start takes: bin/up from nothing and again, the imports of each process, a person's first page.

    bench/start [up] [imports] [modules] [first-page]      only some of these

"Nothing" is an empty data directory; the packages are installed. Imports are counted in CPU time, as the median of
some fresh processes. The first page is measured by Chromium with an empty cache (bench/first_page.py).
"""

from __future__ import annotations

import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from bench import bin_up, figures
from bench.figures import Figure

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
MOST_EXPENSIVE = 5

# What each process of the stack has imported once it serves.
IMPORTS = {
    "web": "import left4me.web, left4me.asgi; from django.urls import get_resolver; get_resolver().url_patterns",
    "worker": "import left4me.worker; left4me.worker.app.loader.import_default_modules()",
    "beat": "import left4me.beat",
    "supervisor of bin/up": "import deploy.up.__main__",
    "supervisor of a game": "import servers.gamehost.process.supervisor",
}
# The supervisor of a game starts without what is installed, as the runtime starts it.
_LEAN = {"supervisor of a game": ("-S", "-E")}
_IMPORTED = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", re.MULTILINE)


def up() -> None:
    """From nothing, and again on the same data directory."""
    taken: dict[str, list[bin_up.Up]] = defaultdict(list)
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="left4me-start-") as root:
            for work in ("bin/up from nothing", "bin/up again"):
                with bin_up.running(Path(root)) as started:
                    taken[work].append(started)
    for work, starts in taken.items():
        for name in ("first_page", "ready"):
            seconds = statistics.median(getattr(start, name) for start in starts)
            said = f"{work}: {'first page' if name == 'first_page' else 'ready for jobs'}"
            figures.record(f"{said:<52}{seconds:>10.2f} s", Figure("start", said, seconds, "s"))


def imports() -> None:
    """What each process imports: CPU time, and the packages that most of it goes to."""
    with tempfile.TemporaryDirectory(prefix="left4me-start-") as root:
        environment = {**_environment(root), "PYTHONDONTWRITEBYTECODE": ""}
        for process, code in {"nothing": "pass", **IMPORTS}.items():
            argv = [sys.executable, *_LEAN.get(process, ())]
            # The first one may have to compile.
            spent = [_cpu([*argv, "-c", code], environment) for _ in range(ROUNDS + 1)][1:]
            milliseconds = 1000 * statistics.median(spent)
            figures.record(
                f"{'imports of ' + process:<52}{milliseconds:>9.0f} ms CPU",
                Figure("start", f"imports of {process}: CPU", milliseconds, "ms"),
            )
            for package, own in _expensive([*argv, "-X", "importtime", "-c", code], environment):
                print(f"    {package:<48}{own:>9.0f} ms of the clock", flush=True)


def modules() -> None:
    """How many modules each process imports: a count that tells of a new import on any machine."""
    with tempfile.TemporaryDirectory(prefix="left4me-start-") as root:
        environment = _environment(root)
        for process, code in IMPORTS.items():
            argv = [sys.executable, *_LEAN.get(process, ()), "-c", f"{code}; import sys; print(len(sys.modules))"]
            said = subprocess.run(argv, env=environment, cwd=bin_up.REPOSITORY, check=True, stdout=subprocess.PIPE)
            count = int(said.stdout)
            figures.record(
                f"{'modules of ' + process:<52}{count:>9} modules",
                Figure("start", f"imports of {process}: modules", count, "modules"),
            )


def _environment(root: str) -> dict[str, str]:
    # As bin/up and the units have it: for Celery's repetition of Django's checks a worker would load all pages.
    names = {"LEFT4ME_ROOT": root, "DJANGO_SETTINGS_MODULE": "left4me.settings", "CELERY_SKIP_CHECKS": "true"}
    return {**os.environ, **names}


def _cpu(argv: list[str], environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, env=environment, cwd=bin_up.REPOSITORY, check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _expensive(argv: list[str], environment: dict[str, str]) -> list[tuple[str, float]]:
    """The packages whose own modules take most of the time, with their milliseconds."""
    said = subprocess.run(argv, env=environment, cwd=bin_up.REPOSITORY, check=True, capture_output=True, text=True)
    own: dict[str, float] = defaultdict(float)
    for microseconds, module in _IMPORTED.findall(said.stderr):
        own[module.partition(".")[0]] += int(microseconds) / 1000
    return sorted(own.items(), key=lambda item: -item[1])[:MOST_EXPENSIVE]


def first_page() -> None:
    # In a process of its own: it sets left4me's environment, which would lead bin/up to another data directory.
    subprocess.run([sys.executable, "-m", "bench.first_page"], cwd=bin_up.REPOSITORY, check=True)


PARTS = {"up": up, "imports": imports, "modules": modules, "first-page": first_page}


def main() -> int:
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := set(wanted) - PARTS.keys():
        print(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    for name in wanted:
        PARTS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
