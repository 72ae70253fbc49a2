"""`deploy/install --uninstall`: removes left4me from a machine. Data, settings and backups stay unless purged."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy.language import gettext as _
from deploy.language import say
from deploy.ops import environment, plan
from deploy.ops.database import postgres
from deploy.ops.layout import USER, Layout
from deploy.ops.machine import firewall, proxy, services, system_files
from deploy.ops.plan import CannotGoOn, Step
from deploy.ops.worker_host import database_role, registry
from left4me.core.processes import commands

_SECONDS: Final = 300
_REDIS_USER: Final = "left4me-redis"


def run(layout: Layout, *, purge: bool, dry_run: bool) -> int:
    """Uninstall; returns the exit status."""
    count = plan.run(steps(layout, purge=purge), dry_run=dry_run)
    if count == 0:
        say(_("Nothing to do: left4me is not installed."))
    elif dry_run:
        say(_("No changes made."))
    elif not purge:
        kept_paths = ", ".join(str(path) for path in (layout.data, layout.settings, layout.backups) if path.exists())
        say(
            _("left4me was removed. Kept: %(kept_paths)s. `deploy/install` uses them again.")
            % {"kept_paths": kept_paths}
        )
    return 0


def steps(layout: Layout, *, purge: bool) -> Iterator[Step]:
    database = environment.read(layout).get("DATABASE_URL", "")
    yield Step(
        _("stop left4me and all games"),
        is_done=lambda: not _units(),
        apply=_stop,
        details=_units(),
    )
    yield Step(
        _("remove units, polkit rule and the left4mectl command"),
        is_done=lambda: not system_files.traces(layout),
        apply=lambda: _remove_files(layout),
        details=[str(path) for path in system_files.traces(layout)],
    )
    yield Step(
        _("remove left4me from Caddy"),
        is_done=lambda: not proxy.site(layout).exists(),
        apply=lambda: proxy.remove(layout),
    )
    of_redis = [layout.redis_data, layout.redis_settings, layout.redis_socket.parent]
    yield _without(_("remove the program"), [layout.program, *of_redis, layout.firewall_counters])
    yield Step(
        _("remove left4me's rules from the distribution's firewall"),
        is_done=lambda: not firewall.is_included(layout),
        apply=lambda: firewall.exclude(layout),
    )
    # A database that the operator provided stays in any case.
    if purge and database and postgres.is_ours(database):
        yield Step(
            _("close PostgreSQL to other hosts"),
            is_done=lambda: not _opened_clusters(),
            apply=_close_clusters,
            details=[str(cluster.directory) for cluster in _opened_clusters()],
        )
        yield Step(_("remove the database"), is_done=lambda: not postgres.answers(database), apply=_drop_database)
    if purge:
        yield _without(_("remove data, settings and backups"), [layout.data, layout.settings, layout.backups])
        yield _without_account(USER)
    yield _without_account(_REDIS_USER)


def _opened_clusters() -> list[database_role.Cluster]:
    return [cluster for cluster in database_role.clusters() if not cluster.is_closed()]


def _close_clusters() -> None:
    for cluster in _opened_clusters():
        cluster.close()


def _drop_database() -> None:
    postgres.drop()
    database_role.drop_roles(registry.GROUP)


def _units() -> list[str]:
    """The units that run or start at boot."""
    lines = []
    for kind in ("list-units", "list-unit-files"):
        options = ("--all", "--plain", "--no-legend", "--no-pager")
        lines += services.systemctl(kind, *options, "left4me*", check=False).splitlines()
    names = {line.split()[0] for line in lines if line.split()}
    # Slices and templates do not run by themselves.
    return sorted(name for name in names if not name.endswith((".slice", "@.service")))


def _stop() -> None:
    units = _units()
    # The sockets and timers first: they would start the other units again.
    sockets = [name for name in units if name.endswith((".socket", ".timer"))]
    for names in (sockets, [name for name in units if name not in sockets]):
        if names:
            services.systemctl("disable", "--quiet", *names, check=False)
            services.systemctl("stop", *names)


def _remove_files(layout: Layout) -> None:
    system_files.remove(layout)
    services.reload()
    services.systemctl("reset-failed", "left4me*", check=False)


def _without(title: str, paths: list[Path]) -> Step:
    def apply() -> None:
        for path in paths:
            if path.exists():
                _remove_tree(path)

    present = [str(path) for path in paths if path.exists()]
    return Step(title, is_done=lambda: not any(path.exists() for path in paths), apply=apply, details=present)


def _remove_tree(path: Path) -> None:
    # Deleting would go on inside what is mounted there.
    if any(line.split()[4].startswith(f"{path}/") for line in Path("/proc/self/mountinfo").read_text().splitlines()):
        raise CannotGoOn(
            _("A file system is mounted below %(path)s. Find it with `findmnt` and unmount it first.") % {"path": path}
        )
    shutil.rmtree(path)


def _without_account(name: str) -> Step:
    def is_there() -> bool:
        return commands.run(["getent", "passwd", name], timeout=_SECONDS, check=False).status == 0

    def apply() -> None:
        commands.run(["userdel", name], timeout=_SECONDS)
        with contextlib.suppress(commands.CommandError):
            commands.run(["groupdel", name], timeout=_SECONDS)

    return Step(_("remove the account %(name)s") % {"name": name}, is_done=lambda: not is_there(), apply=apply)
