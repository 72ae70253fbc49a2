"""A complete left4me for a benchmark: data directory, Redis, workers, beat and web, as real processes.

Import it before Django, because it sets the environment that settings read. A given `DATABASE_URL` is kept.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
WEB = "left4me.asgi:application"
ROOT = Path(tempfile.mkdtemp(prefix="left4me-bench-"))

os.environ["LEFT4ME_ROOT"] = str(ROOT)
os.environ["LEFT4ME_GAME"] = "simulated"
os.environ["DJANGO_SETTINGS_MODULE"] = "left4me.settings"
os.environ["CELERY_SKIP_CHECKS"] = "true"
os.environ["PYTHONPATH"] = str(REPOSITORY)
for _name in ("REDIS_URL", "LEFT4ME_BIND", "LEFT4ME_HOST"):
    os.environ.pop(_name, None)

_processes: list[subprocess.Popen[bytes]] = []


def prepare() -> None:
    """Make the database, and set Django up in this process."""
    end_with_processes()
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    if connection.vendor == "postgresql":
        call_command("flush", interactive=False, verbosity=0)


def end_with_processes() -> None:
    """Have a bench that is stopped take its processes along too."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def start(name: str, *argv: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start a program of the stack; its output goes to a file in ROOT."""
    with (ROOT / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            argv,
            cwd=REPOSITORY,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _processes.append(process)
    return process


def redis(*, keep: bool = True) -> subprocess.Popen[bytes]:
    """Start Redis; without `keep` it begins empty."""
    from left4me.core.redis import broker

    sock = broker.socket_path(ROOT)
    data = ROOT / "broker"
    if not keep:
        shutil.rmtree(data, ignore_errors=True)
    for directory in (sock.parent, data):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    sock.unlink(missing_ok=True)
    process = start("redis", *broker.command(sock, data))
    until(lambda: broker.answers(sock), what="Redis")
    return process


def worker(*, include: str = "", **environment: str) -> subprocess.Popen[bytes]:
    extra = ["--include", include] if include else []
    lean = ["--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    return start("worker", sys.executable, "-m", "celery", "-A", "left4me", "worker", *lean, *extra, **environment)


def beat() -> subprocess.Popen[bytes]:
    argv = ["-A", "left4me.beat", "beat", "--pidfile", "", "--loglevel", "WARNING"]
    return start("beat", sys.executable, "-m", "celery", *argv)


def web(application: str = WEB, **environment: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start the web, or uvicorn with another application; return it with its port once it answers."""
    from django.core.management import call_command

    call_command("collectstatic", interactive=False, verbosity=0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    argv = ["left4me.web"]
    if application != WEB:
        argv = ["uvicorn", application, "--port", str(port), "--no-access-log", "--log-level", "warning"]
    environment = {"LEFT4ME_BIND": f"127.0.0.1:{port}", **environment}
    process = start("web", sys.executable, "-m", *argv, **environment)
    until(lambda: _listens(port), what="the web")
    return process, port


def rss(pid: int) -> int:
    """The resident memory of a process, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def kill(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGKILL) -> None:
    if process.poll() is None:
        process.send_signal(number)
    process.wait(60)


def until(condition: Callable[[], object], *, seconds: float = 60, what: str = "it") -> float:
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{what} did not come within {seconds:g} s")
        time.sleep(0.005)
    return time.monotonic() - began


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@atexit.register
def _end() -> None:
    for process in reversed(_processes):
        if process.poll() is None:
            process.kill()
            process.wait()
    if not os.environ.get("BENCH_KEEP"):
        shutil.rmtree(ROOT, ignore_errors=True)
