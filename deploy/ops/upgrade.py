"""`left4mectl upgrade` and `rollback`: from one release to another, the way back open until the new one is proven.

Whatever is needed is made beside the running release. Only then do beat, worker and web stop, while systemd keeps the
web's socket: who connects meanwhile waits for the new web. From the first stop on, a journal on the disk says how far
it came. Until the new release has answered `/ready`, there is one rule for every fault, and for a power cut in any
phase: the upgrade is taken back, the database with it. Games are not touched.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

from deploy.ops import application, environment, releases
from deploy.ops.database import copies as database_copies
from deploy.ops.database import migrations
from deploy.ops.layout import Layout
from deploy.ops.machine import services, system_files
from deploy.ops.progress import Progress, in_words
from left4me.core.files import atomic, room
from left4me.core.processes import commands

READY_SECONDS: Final = 60.0
# Phases, in their order. From `changing` on the database may be the new release's.
STOPPING: Final = "stopping"
CHANGING: Final = "changing"
STARTING: Final = "starting"

_LEAVE_FREE: Final = 256 * 1024**2
_COPIES_KEPT: Final = 3
_MIGRATE_SECONDS: Final = 6 * 3600


class UpgradeFault(Exception):
    """The upgrade did not happen, or was taken back; the message says why and what to do."""


@dataclass(frozen=True)
class Attempt:
    """What the journal holds; enough to take the upgrade back."""

    phase: str
    old: str
    new: str
    at: str
    copy: str  # the database as it was before, empty where the new release did not change it


def upgrade(layout: Layout, *, to: str | None, ready_seconds: float, progress: Progress) -> str:
    """Bring the machine to `to` (a branch, tag or commit; else where the present branch stands now).

    Returns the release that runs then. Raises UpgradeFault, or what the parts raise; then the old one runs.
    """
    recover(layout, progress=progress)
    old = releases.running(layout)
    progress.phase("fetching")
    releases.fetch(layout)
    new = releases.resolve(layout, to)
    progress.end_phase()
    if new == old:
        progress.say(f"{old} is what runs already")
        return old
    for line in releases.news(layout, old, new):
        progress.say(f"  {line}")
    progress.phase(f"building {new}")
    tree = releases.build(layout, new)
    progress.phase("looking at the new release")
    ours = database_copies.from_environment(environment.read(layout), data=layout.data)
    changes = _look(layout, tree, ours)
    progress.end_phase()
    _exchange(
        layout,
        Attempt(STOPPING, old, new, datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"), ""),
        ours if changes else None,
        ready_seconds=ready_seconds,
        progress=progress,
    )
    releases.prune(layout, keep={old, new})
    return new


def rollback(layout: Layout, *, with_database: bool, ready_seconds: float, progress: Progress) -> str:
    """Go back to the release before the present one; returns which that is. Raises UpgradeFault.

    When the database has been changed since, that goes back too, to the moment of the upgrade; only `with_database`.
    """
    recover(layout, progress=progress)
    last = _last(layout)
    if last is None or last.new != releases.running(layout) or not (layout.releases / last.old).is_dir():
        raise UpgradeFault("There is no release to go back to on this machine. `left4mectl upgrade --to` takes any.")
    ours = database_copies.from_environment(environment.read(layout), data=layout.data)
    unknown = set(ours.migrations()) - migrations.migrations(layout.releases / last.old)
    if unknown and not with_database:
        raise UpgradeFault(
            f"{last.old} does not know the present database ({', '.join(sorted(unknown)[:3])}). Going back to it "
            f"loses what was done since {last.at}. If that is what you want, make a backup, then "
            "`left4mectl rollback --with-database`."
        )
    if unknown and not Path(last.copy).is_file():
        raise UpgradeFault(f"The copy of the database from before {last.new} is gone. Restore a backup instead.")
    back = Attempt(CHANGING, last.old, last.new, last.at, last.copy if unknown else "")
    _note(layout, back)
    _take_back(layout, back, progress)
    if why := application.wait_until_ready(layout, seconds=ready_seconds):
        raise UpgradeFault(f"{last.old} is back, but is not well: {why}. `left4mectl doctor` says more.")
    _history(layout).unlink(missing_ok=True)
    return last.old


def recover(layout: Layout, *, progress: Progress, at_boot: bool = False) -> bool:
    """Take back an upgrade that was cut off; returns whether there was one. At the boot nothing runs yet,
    and systemd is about to start it all: then nothing is stopped nor started here."""
    attempt = _read(layout)
    if attempt is None:
        return False
    progress.say(f"the upgrade to {attempt.new} was cut off ({attempt.phase}): going back to {attempt.old}")
    _take_back(layout, attempt, progress, at_boot=at_boot)
    return True


def _look(layout: Layout, tree: Path, ours: database_copies.Database) -> bool:
    """Whether the new release changes the database; raises UpgradeFault for what would stop it later."""
    unknown = set(ours.migrations()) - migrations.migrations(tree)
    if unknown:
        raise UpgradeFault(
            f"{tree.name} is older than the database: it does not know {', '.join(sorted(unknown)[:3])}. To go back, "
            "use `left4mectl rollback`, or restore a backup of that time."
        )
    try:
        application.manage(layout, "check", "--fail-level=ERROR", release=tree)
    except commands.CommandError as error:
        raise UpgradeFault(f"{tree.name} does not accept this machine's settings: {error}") from error
    layout.backups.mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = 2 * ours.size()
    if wanted > room.left(layout.backups, keep=_LEAVE_FREE):
        raise UpgradeFault(
            f"The disk is too full for a copy of the database: {layout.backups} has "
            f"{in_words(room.free(layout.backups))} free, "
            f"{in_words(wanted + _LEAVE_FREE)} are needed. Free some space, then try again."
        )
    changes = bool(application.manage(layout, "migrate", "--check", release=tree, check=False).status)
    if changes and services.WEB not in services.of_this_machine(layout):
        raise UpgradeFault(f"{tree.name} wants a newer database. Upgrade the machine of the web first, then this one.")
    return changes


def _exchange(
    layout: Layout,
    attempt: Attempt,
    ours: database_copies.Database | None,
    *,
    ready_seconds: float,
    progress: Progress,
) -> None:
    """Stop, change, start; takes all of it back unless the new release is well in the end."""

    def reach(phase: str, copy: str = "") -> Attempt:
        reached = Attempt(phase, attempt.old, attempt.new, attempt.at, copy or attempt.copy)
        _note(layout, reached)
        return reached

    try:
        with _signals_as_faults(), _web_held(layout) as let_go:
            attempt = reach(STOPPING)
            progress.phase("stopping beat, worker and web; visitors wait")
            services.stop(layout)
            if ours is not None:
                progress.phase("copying the database")
                copy = layout.backups / f"before-{attempt.new}-{attempt.at}.database"
                ours.copy_to(copy, check=False)
                attempt = reach(CHANGING, str(copy))
                progress.phase("migrating")
                tree = layout.releases / attempt.new
                application.manage(
                    layout, "migrate", "--no-input", "--verbosity=0", release=tree, timeout=_MIGRATE_SECONDS
                )
            attempt = reach(STARTING)
            progress.phase(f"starting {attempt.new}")
            _make_current(layout, attempt.new)
            application.forget_pulse(layout)
            let_go()
            services.start(layout)
            if why := application.wait_until_ready(layout, seconds=ready_seconds):
                raise UpgradeFault(f"it was not ready within {ready_seconds:.0f} s: {why}")
            progress.end_phase()
            _keep(layout, attempt)
    except BaseException as fault:
        progress.end_phase()
        progress.say(f"{attempt.new}: {fault or type(fault).__name__}")
        _take_back(layout, attempt, progress)
        if why := application.wait_until_ready(layout, seconds=ready_seconds):
            raise UpgradeFault(
                f"{attempt.new} failed ({fault}), {attempt.old} is back, but is not well: {why}. `left4mectl doctor` "
                "says more."
            ) from fault
        raise UpgradeFault(
            f"{attempt.new} failed, and {attempt.old} runs again with its database as it was: {fault}. "
            "`journalctl -u left4me-web -u left4me-worker -u left4me-beat` has its last words."
        ) from fault


def _take_back(layout: Layout, attempt: Attempt, progress: Progress, *, at_boot: bool = False) -> None:
    """The old release and its database; can be repeated after it was itself cut off."""
    with _signals_ignored(), _web_held(layout) as let_go:
        progress.phase(f"going back to {attempt.old}")
        if not at_boot:
            services.stop(layout)
        if attempt.phase != STOPPING and attempt.copy:
            database_copies.from_environment(environment.read(layout), data=layout.data).put_back(Path(attempt.copy))
        try:
            _make_current(layout, attempt.old)
        except (OSError, commands.CommandError) as error:
            # The newer units run the old release as well: better than none at all.
            progress.say(f"the units of {attempt.old} could not be laid out again: {error}")
        application.forget_pulse(layout)
        let_go()
        if not at_boot:
            services.start(layout)
        _journal(layout).unlink(missing_ok=True)
        progress.end_phase()


@contextmanager
def _web_held(layout: Layout) -> Iterator[Callable[[], None]]:
    """Keep the web from starting until the function given is called, or this process ends, however it does.

    The socket starts the web at its next visitor; the unit waits for this lock then, and the visitor with it.
    """
    with (layout.program / "hold").open("w") as lock:
        os.fchown(lock.fileno(), 0, application.owner()[1])
        os.fchmod(lock.fileno(), 0o640)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(lock, fcntl.LOCK_UN)


def _make_current(layout: Layout, release: str) -> None:
    """The link, and what the release has outside of itself: units, rules."""
    releases.switch(layout, release)
    worker_only = services.WEB not in services.of_this_machine(layout)
    system_files.lay_out(layout, layout.releases / release, worker_only=worker_only)


class _Interrupted(Exception):
    """Somebody asked this process to end."""


@contextmanager
def _signals_as_faults() -> Iterator[None]:
    """Ctrl-C and TERM take the upgrade back; a terminal that hangs up changes nothing."""

    def interrupted(number: int, frame: FrameType | None) -> None:
        raise _Interrupted(f"interrupted by {signal.Signals(number).name}")

    with _handlers({signal.SIGINT: interrupted, signal.SIGTERM: interrupted, signal.SIGHUP: signal.SIG_IGN}):
        yield


@contextmanager
def _signals_ignored() -> Iterator[None]:
    with _handlers(dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), signal.SIG_IGN)):
        yield


@contextmanager
def _handlers(
    wanted: dict[signal.Signals, Callable[[int, FrameType | None], None] | signal.Handlers],
) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _keep(layout: Layout, attempt: Attempt) -> None:
    """The new release is well: remember the way back, and forget the journal."""
    _write(_history(layout), attempt)
    _journal(layout).unlink()
    copies = sorted(layout.backups.glob("before-*.database"), key=lambda path: path.name.rpartition("-")[2])
    for path in copies[:-_COPIES_KEPT]:
        path.unlink()


def _journal(layout: Layout) -> Path:
    return layout.program / "upgrade.json"


def _history(layout: Layout) -> Path:
    return layout.program / "last-upgrade.json"


def _last(layout: Layout) -> Attempt | None:
    return _parse(_history(layout))


def _read(layout: Layout) -> Attempt | None:
    return _parse(_journal(layout))


def _parse(path: Path) -> Attempt | None:
    try:
        return Attempt(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None


def _note(layout: Layout, attempt: Attempt) -> None:
    _write(_journal(layout), attempt)


def _write(path: Path, attempt: Attempt) -> None:
    """On the disk before this returns: what comes next may be the power cut that it is for."""
    atomic.write(path, json.dumps(asdict(attempt)), mode=0o600, durable=True)
