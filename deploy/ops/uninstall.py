"""`deploy/install --uninstall`: takes left4me off a machine; data, settings and backups stay unless told otherwise."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy.ops import environment, plan
from deploy.ops.database import postgres
from deploy.ops.layout import USER, Layout
from deploy.ops.machine import proxy, services, system_files
from deploy.ops.plan import CannotGoOn, Step
from left4me.core.processes import commands

_SECONDS: Final = 300
_REDIS_USER: Final = "left4me-redis"


def run(layout: Layout, *, purge: bool, dry_run: bool) -> int:
    """Returns the exit status."""
    count = plan.run(steps(layout, purge=purge), dry_run=dry_run)
    if count == 0:
        sys.stdout.write("Nothing to do: left4me is not installed.\n")
    elif dry_run:
        sys.stdout.write("Nothing was changed.\n")
    elif not purge:
        kept = ", ".join(str(path) for path in (layout.data, layout.settings, layout.backups) if path.exists())
        sys.stdout.write(f"left4me is gone. Kept: {kept}; `deploy/install` takes them up again.\n")
    return 0


def steps(layout: Layout, *, purge: bool) -> Iterator[Step]:
    database = environment.read(layout).get("DATABASE_URL", "")
    yield Step(
        "nothing of left4me runs, games included",
        is_done=lambda: not _units(),
        apply=_stop,
        details=_units(),
    )
    yield Step(
        "units, the rule for polkit and the command left4mectl are gone",
        is_done=lambda: not system_files.traces(layout),
        apply=lambda: _remove_files(layout),
        details=[str(path) for path in system_files.traces(layout)],
    )
    yield Step(
        "Caddy serves left4me no more",
        is_done=lambda: not proxy.site(layout).exists(),
        apply=lambda: proxy.remove(layout),
    )
    program = [layout.program, layout.redis_data, layout.redis_socket.parent]
    yield _without("the program is gone", program)
    if purge and database and postgres.is_ours(database):
        yield Step("the database is gone", is_done=lambda: not postgres.answers(database), apply=postgres.drop)
    if purge:
        yield _without("data, settings and backups are gone", [layout.data, layout.settings, layout.backups])
        yield _without_account(USER)
    yield _without_account(_REDIS_USER)


def _units() -> list[str]:
    """What runs, or starts at boot."""
    listed = []
    for kind in ("list-units", "list-unit-files"):
        argv = ["systemctl", kind, "--all", "--plain", "--no-legend", "--no-pager", "left4me*"]
        listed += commands.run(argv, timeout=_SECONDS, check=False).output.splitlines()
    names = {line.split()[0] for line in listed if line.split()}
    # A slice and a template neither run nor start by themselves.
    return sorted(name for name in names if not name.endswith((".slice", "@.service")))


def _stop() -> None:
    units = _units()
    # The socket first: a visitor would start the web again.
    sockets = [name for name in units if name.endswith((".socket", ".timer"))]
    for names in (sockets, [name for name in units if name not in sockets]):
        if names:
            commands.run(["systemctl", "disable", "--quiet", *names], timeout=_SECONDS, check=False)
            commands.run(["systemctl", "stop", *names], timeout=_SECONDS)


def _remove_files(layout: Layout) -> None:
    system_files.remove(layout)
    services.reload(layout)
    commands.run(["systemctl", "reset-failed", "left4me*"], timeout=_SECONDS, check=False)


def _without(title: str, paths: list[Path]) -> Step:
    def apply() -> None:
        for path in paths:
            if path.exists():
                _remove_tree(path)

    there = [str(path) for path in paths if path.exists()]
    return Step(title, is_done=lambda: not any(path.exists() for path in paths), apply=apply, details=there)


def _remove_tree(path: Path) -> None:
    if any(line.split()[4].startswith(f"{path}/") for line in Path("/proc/self/mountinfo").read_text().splitlines()):
        raise CannotGoOn(f"Something is mounted below {path} (see `findmnt`); unmount it first.")
    shutil.rmtree(path)


def _without_account(name: str) -> Step:
    def is_there() -> bool:
        return commands.run(["getent", "passwd", name], timeout=_SECONDS, check=False).status == 0

    def apply() -> None:
        commands.run(["userdel", name], timeout=_SECONDS)
        with contextlib.suppress(commands.CommandError):
            commands.run(["groupdel", name], timeout=_SECONDS)

    return Step(f"the account {name} is gone", is_done=lambda: not is_there(), apply=apply)
