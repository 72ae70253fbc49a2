"""`--costs`: the processor time of the tests by app and file, where files spend it, and what is dearest.

It counts the processes that a test starts as well, also those that outlive it, such as a browser.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest

_PHASES = ("setup", "call", "teardown")
_DEAREST = 40
_NAME = "cpu_seconds"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--costs", action="store_true", help="print the processor seconds of tests by file, and of setup and teardown"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--costs"):
        config.pluginmanager.register(_Costs())


class _Meter:
    """The processor time of this process and of all that it starts: counted by the kernel for a cgroup of its own.

    Without the right to make one, processes count when they have ended.
    """

    def __init__(self) -> None:
        self._cgroup: Path | None = None
        for parent, usage in (("/sys/fs/cgroup/cpuacct", "cpuacct.usage"), ("/sys/fs/cgroup", "cpu.stat")):
            own = Path(parent, f"left4me-costs-{os.getpid()}")
            try:
                own.mkdir()
                (own / "cgroup.procs").write_text(str(os.getpid()))
            except OSError:
                continue
            if (own / usage).exists():
                self._cgroup = own / usage
                return

    def close(self) -> None:
        """Remove the cgroup, unless a process that outlives the tests is in it."""
        if self._cgroup is not None:
            (self._cgroup.parents[1] / "cgroup.procs").write_text(str(os.getpid()))
            with contextlib.suppress(OSError):
                self._cgroup.parent.rmdir()

    def seconds(self) -> float:
        if self._cgroup is None:
            times = os.times()
            return times.user + times.system + times.children_user + times.children_system
        text = self._cgroup.read_text()
        return int(text) / 1e9 if text.strip().isdigit() else int(text.split()[1]) / 1e6


class _Costs:
    def __init__(self) -> None:
        self._meter = _Meter()
        self._seconds: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._waited: dict[str, float] = defaultdict(float)
        self._collected = self._at = 0.0

    def pytest_unconfigure(self) -> None:
        self._meter.close()

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        try:
            return (yield)
        finally:
            self._collected = time.process_time()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now = self._meter.seconds()
        report.user_properties = [*report.user_properties, (_NAME, now - self._at)]
        self._at = now
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        self._at = self._meter.seconds()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file, _, name = report.nodeid.partition("::")
        seconds = dict(report.user_properties).get(_NAME)
        if isinstance(seconds, float):
            self._seconds[file, name][report.when] += seconds
        self._waited[file] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._seconds:
            return
        write = terminalreporter.write_line
        terminalreporter.section("processor seconds")
        if not terminalreporter.config.getoption("numprocesses"):
            write(f"{self._collected:8.1f}  to start and to collect, as each process of a parallel run does")
        head = f"{'total':>8}" + "".join(f"{phase:>9}" for phase in _PHASES)
        apps: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        files: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for (file, _), phases in self._seconds.items():
            for group, key in ((apps, file.partition("/tests/")[0]), (files, file)):
                group[key]["tests"] += 1
                for phase, seconds in phases.items():
                    group[key][phase] += seconds
        for title, group in (("app", apps), ("file", files)):
            write(f"\n{head} {'tests':>6} {'' if title == 'app' else 'waited':>7}  {title}")
            for key, sums in sorted(group.items(), key=lambda pair: -_total(pair[1])):
                waited = f"{self._waited[key]:7.1f}" if title == "file" else f"{'':7}"
                write(
                    f"{_total(sums):8.1f}"
                    + "".join(f"{sums[phase]:9.1f}" for phase in _PHASES)
                    + f" {sums['tests']:6.0f} {waited}  {key}"
                )
        write(f"\n{head}  test")
        for (file, name), phases in sorted(self._seconds.items(), key=lambda pair: -_total(pair[1]))[:_DEAREST]:
            write(
                f"{_total(phases):8.1f}" + "".join(f"{phases[phase]:9.1f}" for phase in _PHASES) + f"  {file}::{name}"
            )
        write(f"\n{sum(map(_total, self._seconds.values())):8.1f}  everything")


def _total(phases: dict[str, float]) -> float:
    return sum(phases[phase] for phase in _PHASES)
