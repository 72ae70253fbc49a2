"""Runs the benches of the plan, each as a process of its own, and collects what they record."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from bench import figures
from bench.comparison import noise, results
from bench.comparison.plan import BENCH, Bench
from bench.comparison.results import Failure, Run
from bench.figures import Figure

_LAST_LINES = 15
# Then no second or third round begins, so that a run ends within 15 minutes on a slower machine, too.
_SECONDS_OF_ROUNDS = 660


def execute(benches: list[Bench], place: Path, *, most_rounds: int) -> Run:
    """Run the benches round by round, so that a noisy minute does not meet all rounds of one of them.

    Every bench has its first round; others follow while there is time. What they print goes to files in `place`. One
    that fails does not stop the others.
    """
    began = time.monotonic()
    run, measured = results.start(), list[Figure]()
    run.noises.append(noise.measure())
    failed: set[str] = set()
    for number in range(min(most_rounds, max(bench.rounds for bench in benches))):
        for bench in benches:
            is_late = number and time.monotonic() - began > _SECONDS_OF_ROUNDS
            if bench.rounds <= number or bench.name in failed or is_late:
                continue
            if not bench.exists:
                run.failures.append(Failure(bench.figures, "it does not exist"))
                failed.add(bench.name)
                continue
            found, reason = _run(bench, place / f"{bench.name}.{number + 1}")
            measured += found
            run.noises.append(noise.measure())
            if reason:
                run.failures.append(Failure(bench.figures, reason))
                failed.add(bench.name)
    run.results = results.merge(measured)
    return run


def _run(bench: Bench, place: Path) -> tuple[list[Figure], str]:
    """Run a bench once; return its figures and, if it failed, the reason."""
    kept, output = place.with_suffix(f"{place.suffix}.jsonl"), place.with_suffix(f"{place.suffix}.txt")
    environment = {**os.environ, **bench.environment, figures.VARIABLE: str(kept)}
    began = time.monotonic()
    with output.open("wb") as file:
        process = subprocess.Popen(
            bench.argv,
            cwd=BENCH.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        reason = _wait(process, bench.seconds)
    said = output.read_text(errors="replace").rstrip().splitlines()
    if bench.judges and process.returncode == 1 and not any(line.startswith("Traceback") for line in said):
        reason = ""
    print(f"{bench.name:<16}{time.monotonic() - began:>6.0f} s  {reason or 'done'}", flush=True)
    if reason:
        print("\n".join(f"    {line}" for line in said[-_LAST_LINES:]), flush=True)
        # The last line of a traceback says what happened.
        reason = f"{reason}: {said[-1][:200]}" if said else reason
    return (figures.read(kept) if kept.exists() else []), reason


def _wait(process: subprocess.Popen[bytes], seconds: float) -> str:
    """Wait for the end; return why it is a failure, or nothing."""
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"took more than {seconds:.0f} s"
    except BaseException:
        # Of whoever ends bench/all: nothing of it stays behind.
        _end(process)
        raise
    return f"ended with status {status}" if status else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    # Benches take what they started along when they are asked to end.
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
