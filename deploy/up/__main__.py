"""Starts broker, web, worker and beat under one supervisor, and ends them together. Called by bin/up."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gc
import http.client
import os
import secrets
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.ops import application
from deploy.up import prepare
from left4me.core.concurrency import Cancelled
from left4me.core.env import Misconfigured
from left4me.core.net import ports
from left4me.core.processes import commands
from left4me.core.processes.app_supervisor import Service, Supervisor
from left4me.core.redis import broker

_REPOSITORY = Path(__file__).resolve().parents[2]
_BROKER_SECONDS = 20.0
_HEALTHY_SECONDS = 60.0
_SOON_READY_SECONDS = 15.0


class CannotStart(Exception):
    """bin/up cannot start; the message is one sentence with the cure."""


def main() -> int:
    arguments = _arguments()
    root = Path(os.environ.get("LEFT4ME_ROOT") or _REPOSITORY / "var").absolute()
    try:
        if arguments.stop_games:
            return _stop_games()
        with _only_one(root) as say_address:
            return _serve(root, demo=arguments.demo, say_address=say_address)
    except (CannotStart, commands.CommandError) as fault:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"bin/up: {fault}\n")
        return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bin/up", description="Set up left4me and run it in the foreground. Ctrl-C stops it; games keep running."
    )
    parser.add_argument(
        "--demo", action="store_true", help="use the simulated game, with an admin “demo” and two running servers"
    )
    parser.add_argument("--stop-games", action="store_true", help="stop all games on this machine, then exit")
    return parser.parse_args()


@contextlib.contextmanager
def _only_one(root: Path) -> Any:
    """Lock the data directory for this process; yields a function that records the address in the lock file."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        # The database in it holds what no other user of this machine may read.
        root.chmod(0o700)
        (root / "run").mkdir(mode=0o700, exist_ok=True)
        lock = (root / "run" / "up.lock").open("a+")
    except OSError as error:
        raise CannotStart(
            f"{root} cannot be written ({error.strerror}). Make it writable for you, or set LEFT4ME_ROOT to a "
            "directory that is."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            where = lock.read().strip() or "starting"
            raise CannotStart(f"left4me is already running on {root} ({where}). Use it, or stop it first.") from None

        def say_address(address: str) -> None:
            # Only for the message of a second start: a full disk must not keep the first from running.
            with contextlib.suppress(OSError):
                os.ftruncate(lock.fileno(), 0)
                os.write(lock.fileno(), f"{address}, process {os.getpid()}".encode())

        say_address("starting")
        yield say_address


def _serve(root: Path, *, demo: bool, say_address: Callable[[str], None]) -> int:
    _set_environment(root)
    _make_secret_key(root)
    if demo:
        # The settings read this file, so that later commands and later starts use the same game.
        (root / "demo").touch()
    try:
        plan = prepare.plan()
    except Misconfigured as fault:
        raise CannotStart(str(fault)) from fault
    _refuse_busy_port(plan["host"], plan["port"])
    supervisor = Supervisor(cwd=_REPOSITORY, env=os.environ)
    supervisor.listen_to_signals()
    try:
        if plan["broker_is_ours"]:
            _start_broker(supervisor, root)
        if plan["hint"]:
            supervisor.say(plan["hint"])
        if demo or not plan["is_prepared"]:
            commands.run(
                [sys.executable, "-m", "deploy.up.prepare", *(["--demo"] if demo else [])],
                timeout=900,
                cwd=_REPOSITORY,
                on_line=supervisor.say,
                cancelled=lambda: supervisor.stopping,
            )
        for service in _services():
            supervisor.start(service)
        address = plan["address"]
        if not supervisor.wait_until(lambda: _healthy(plan), seconds=_HEALTHY_SECONDS):
            if supervisor.stopping:
                return 0
            raise CannotStart("left4me did not start. The lines above show why.")
        say_address(address)
        supervisor.run(each_turn=_Announcement(supervisor, plan))
        return 0
    except Cancelled:
        return 0
    finally:
        started = time.monotonic()
        supervisor.say("stopping")
        supervisor.stop()
        supervisor.say(f"stopped in {time.monotonic() - started:.1f} s")


class _Announcement:
    """Says that left4me runs once `/ready` answers 200; when that takes long, says which part it waits for."""

    def __init__(self, supervisor: Supervisor, plan: dict[str, Any]) -> None:
        self._supervisor = supervisor
        self._host, self._port = application.reachable(plan["host"]), plan["port"]
        self._address, self._known_as = plan["address"], plan["known_as"]
        self._late_at: float | None = time.monotonic() + _SOON_READY_SECONDS
        self._is_ready = False

    def __call__(self) -> None:
        if self._is_ready:
            return
        why = application.not_ready(self._host, self._port, known_as=self._known_as, seconds=2)
        if not why:
            self._is_ready = True
            self._supervisor.say(f"left4me is running at {self._address} (Ctrl-C stops it, games keep running)")
        elif self._late_at is not None and time.monotonic() > self._late_at:
            self._late_at = None
            self._supervisor.say(f"{self._address} is not ready yet: {why}")


def _set_environment(root: Path) -> None:
    # prepare has run Django's checks.
    os.environ.update({"LEFT4ME_ROOT": str(root), "CELERY_SKIP_CHECKS": "true"})


def _services() -> list[Service]:
    """Load the application, and return its programs as forks of this process: it is in memory once.

    adr/0023 has the figures. A fork starts within milliseconds, and is of the code that this process has loaded.
    """
    try:
        # Not before: the settings read the environment, and `prepare` may have to make what the application looks at.
        from left4me import beat, web, worker

        loaded = web.load_application()
        worker.load_tasks()
        beat.app.finalize()
    except Exception as fault:
        traceback.print_exc()
        raise CannotStart("left4me did not start. The lines above show why.") from fault
    # The collector writes to what it looks through, which would give each process a copy.
    gc.collect()
    gc.freeze()
    return [
        Service("web", body=lambda: web.main(None, loaded)),
        Service("worker", body=worker.main),
        Service("beat", body=beat.main),
    ]


def _start_broker(supervisor: Supervisor, root: Path) -> None:
    sock = broker.socket_path(root)
    data = root / "broker"
    data.mkdir(mode=0o700, exist_ok=True)
    sock.parent.mkdir(mode=0o700, exist_ok=True)
    if broker.answers(sock):
        raise CannotStart(f"Another Redis server already uses {sock}. Stop it, or set REDIS_URL to use it.")
    sock.unlink(missing_ok=True)
    # What served well and fell gets a second start before another program takes its place.
    service = Service("broker", lambda: broker.command(sock, data, failed=max(0, service.falls - 1)), last=True)
    supervisor.start(service)
    is_up = supervisor.wait_until(lambda: broker.answers(sock), seconds=_BROKER_SECONDS, restarts=True)
    if not is_up and not supervisor.stopping:
        raise CannotStart(f"Redis did not start. See {data / 'broker.log'} for the reason.")


def _make_secret_key(root: Path) -> None:
    if os.environ.get("LEFT4ME_SECRET_KEY"):
        return
    path = root / "secret_key"
    with contextlib.suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(48) + "\n")


def _refuse_busy_port(host: str, port: int) -> None:
    if error := ports.refusal(host, port):
        raise CannotStart(
            f"port {port} on {host} cannot be used ({error.strerror}). Stop what uses it "
            f"(`ss -ltnp 'sport = :{port}'` shows it), or set LEFT4ME_BIND={_bracketed(host)}:{port + 1}."
        ) from error


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _healthy(plan: dict[str, Any]) -> bool:
    connection = http.client.HTTPConnection(application.reachable(plan["host"]), plan["port"], timeout=2)
    try:
        connection.request("GET", "/health", headers={"Host": plan["known_as"]})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _print(line: str) -> None:
    with contextlib.suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _stop_games() -> int:
    finished = commands.run(
        [sys.executable, "manage.py", "stop_games"],
        timeout=600,
        cwd=_REPOSITORY,
        on_line=_print,
        check=False,
    )
    return finished.status


if __name__ == "__main__":
    sys.exit(main())
