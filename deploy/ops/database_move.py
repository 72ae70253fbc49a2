"""`left4mectl database move`: from SQLite to PostgreSQL on this machine, or back, while games run.

The new database is made and migrated beside the present one. Then the application stops, visitors wait, every row is
copied and compared, and one line of the settings decides which database is used. Until that line is written the old
database is in use, and it is never changed, so there is nothing to take back after a power cut.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deploy.language import gettext as _
from deploy.ops import application, environment, standstill
from deploy.ops.database import copies, postgres
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import packages, services
from deploy.ops.plan import CannotGoOn
from deploy.ops.progress import Progress, readable_size
from left4me.core.files import atomic, room

_URL: Final = "DATABASE_URL"
_LEAVE_FREE: Final = 500_000_000
_MIGRATE_SECONDS: Final = 1800
_COPY_SECONDS: Final = 6 * 3600


class MoveFault(Exception):
    """The database was not moved; the message contains the reason. The old one is in use, unchanged."""


def move(layout: Layout, kind: str, *, ready_seconds: float, progress: Progress) -> str:
    """Move the database to `kind`, "sqlite" or "postgres"; returns where the old one is kept.

    Raises MoveFault, and what the preparations raise before anything has stopped.
    """
    values = environment.read(layout)
    old_url = values.get(_URL, "")
    old = copies.from_environment(values, data=layout.data)
    if old.kind == kind:
        raise MoveFault(_("The database is of this kind already. Nothing was changed."))
    _refuse_full_disk(layout, old)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    new_url = _make_postgres(values, stamp, progress) if kind == "postgres" else _make_sqlite(layout, stamp)
    try:
        progress.phase(_("creating the tables"))
        settings = {_URL: new_url}
        application.manage(
            layout, "migrate", "--no-input", "--verbosity=0", settings=settings, timeout=_MIGRATE_SECONDS
        )
        progress.end_phase()
        _exchange(layout, old_url or _sqlite_url(layout), new_url, ready_seconds=ready_seconds, progress=progress)
    except BaseException:
        _discard(layout, kind)
        raise
    return _set_aside(layout, old, stamp)


def _exchange(layout: Layout, old_url: str, new_url: str, *, ready_seconds: float, progress: Progress) -> None:
    before = layout.secrets_file.read_text()
    try:
        with standstill.signals_as_faults(), standstill.web_held(layout) as release_web:
            progress.phase(_("stopping the application; requests wait, games run"))
            services.stop(layout)
            progress.phase(_("copying and comparing all rows"))
            settings = {_URL: new_url, "LEFT4ME_COPY_FROM": old_url}
            done = application.manage(layout, "copy_database", settings=settings, timeout=_COPY_SECONDS)
            progress.end_phase()
            progress.say(done.output.strip().splitlines()[-1])
            progress.phase(_("starting the application on the new database"))
            environment.write(layout.secrets_file, environment.with_values(before, {_URL: new_url}), layout=layout)
            _start(layout, release_web)
            if why := application.wait_until_ready(layout, seconds=ready_seconds):
                raise MoveFault(
                    _("it was not ready within %(ready_seconds).0f s: %(why)s")
                    % {"ready_seconds": ready_seconds, "why": why}
                )
            progress.end_phase()
    # Ctrl-C too: until the application is ready, every way out leads back to the old database.
    except BaseException as fault:
        progress.end_phase()
        with standstill.signals_ignored(), standstill.web_held(layout) as release_web:
            services.stop(layout)
            environment.write(layout.secrets_file, before, layout=layout)
            _start(layout, release_web)
        raise MoveFault(
            _("%(fault)s. The old database is in use, as it was.") % {"fault": fault or type(fault).__name__}
        ) from fault


def _start(layout: Layout, release_web: Callable[[], None]) -> None:
    application.forget_pulse(layout)
    release_web()
    services.start(layout)


def _make_postgres(values: dict[str, str], stamp: str, progress: Progress) -> str:
    names = packages.needed(Role.WEB, game=values.get("LEFT4ME_GAME", "steam"), postgres=True, proxy=False)
    if packages.missing(names):
        progress.phase(_("installing PostgreSQL"))
        packages.install(names)
        progress.end_phase()
    postgres.start()
    postgres.set_aside(stamp)
    password = secrets.token_urlsafe(32)
    postgres.make(password)
    return postgres.url(password)


def _make_sqlite(layout: Layout, stamp: str) -> str:
    if hosts := application.manage(layout, "list_hosts", "--worker-hosts").output.split():
        raise MoveFault(_("Worker hosts need PostgreSQL: %(names)s. Remove them first.") % {"names": ", ".join(hosts)})
    _keep(_sqlite_file(layout), stamp)
    return _sqlite_url(layout)


def _discard(layout: Layout, kind: str) -> None:
    """Delete the new database after a move that failed; what the one before it left is still set aside."""
    if kind == "postgres":
        postgres.drop_database()
        return
    for suffix in ("", "-wal", "-shm"):
        _sqlite_file(layout).with_name(_sqlite_file(layout).name + suffix).unlink(missing_ok=True)


def _set_aside(layout: Layout, old: copies.Database, stamp: str) -> str:
    """Take the old database out of the way of settings that would use it by mistake; returns where it is kept."""
    if isinstance(old, copies.Sqlite):
        return _keep(old.path, stamp) if old.path == _sqlite_file(layout) else str(old.path)
    return f"the PostgreSQL database {postgres.NAME}"


def _keep(path: Path, stamp: str) -> str:
    kept = path.with_name(f"{path.name}.before-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            atomic.publish(source, kept.with_name(kept.name + suffix), durable=True)
    return str(kept)


def _sqlite_file(layout: Layout) -> Path:
    return layout.data / "left4me.sqlite3"


def _sqlite_url(layout: Layout) -> str:
    return f"sqlite:///{_sqlite_file(layout)}"


def _refuse_full_disk(layout: Layout, old: copies.Database) -> None:
    needed = 2 * old.size() + _LEAVE_FREE
    if needed > room.free(layout.data):
        raise CannotGoOn(
            _(
                "The disk is too full for a second database: %(free)s are free, %(needed)s are needed. Free some "
                "space, then try again."
            )
            % {"free": readable_size(room.free(layout.data)), "needed": readable_size(needed)}
        )
