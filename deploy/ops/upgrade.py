"""`left4mectl upgrade` and `rollback`: moving this machine from one release to another.

The new release is built beside the running one. Then beat, worker and web stop, while systemd keeps the web's socket
open: new connections queue in the socket until the new web process accepts them. From the first stop on, a journal on
disk records the phase. Until the new release is ready, every failure, and a power cut in any phase, has the same
consequence: the upgrade is taken back, including the database. Games are not touched.

A worker host runs the same steps without those of the database, which belongs to the machine of the web.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deploy.language import gettext as _
from deploy.ops import application, environment, releases, standstill
from deploy.ops.database import copies as database_copies
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import services, system_files
from deploy.ops.progress import Progress, readable_size
from deploy.ops.release_archive import intake
from left4me.core.files import atomic, room
from left4me.core.processes import commands

READY_SECONDS: Final = 60.0
# The phases in order. From `changing` on, the database may be that of the new release.
STOPPING: Final = "stopping"
CHANGING: Final = "changing"
STARTING: Final = "starting"

_LEAVE_FREE: Final = 256 * 1024**2
COPIES_KEPT: Final = 3
_MIGRATE_SECONDS: Final = 6 * 3600


class UpgradeFault(Exception):
    """The upgrade did not happen, or was taken back; the message contains the reason and the cure."""


@dataclass(frozen=True)
class Attempt:
    """An upgrade in progress, as the journal records it: all that is needed to take it back."""

    phase: str
    old: str
    new: str
    at: str
    copy: str  # file with the database as it was before; empty if the new release does not change it


@dataclass(frozen=True)
class Wanted:
    """Where the new release comes from; by default it is the newest commit of the branch that the machine follows."""

    ref: str | None = None  # a branch, tag or commit
    archive: str = ""  # a file or an https address
    sha256: str = ""
    repository: str = ""  # to follow from now on
    may_be_older: bool = False


def upgrade(layout: Layout, wanted: Wanted, *, ready_seconds: float, progress: Progress) -> str:
    """Bring the machine to another release; returns the one that runs afterwards.

    Raises UpgradeFault, or what the steps raise; then the old one runs.
    """
    # An interrupted upgrade is taken back first: its journal would otherwise be overwritten.
    recover(layout, progress=progress)
    old = releases.running(layout)
    new = _obtain(layout, wanted, progress)
    if new == old:
        progress.say(_("%(old)s is already running") % {"old": old})
        return old
    if not (wanted.ref or wanted.may_be_older) and releases.is_older(layout, new, than=old):
        raise UpgradeFault(
            _(
                "%(new)s is older than %(old)s, which is running. If you want it, add --allow-older. `left4mectl "
                "rollback` goes back to the release before."
            )
            % {"new": _named(layout, new), "old": _named(layout, old)}
        )
    for line in releases.news(layout, old, new):
        progress.say(f"  {line}")
    progress.phase(_("building %(new)s") % {"new": new})
    tree = releases.build(layout, new)
    progress.phase(_("checking the new release"))
    database = _own_database(layout)
    changes_database = _check(layout, tree, database)
    progress.end_phase()
    _exchange(
        layout,
        Attempt(STOPPING, old, new, datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"), ""),
        database if changes_database else None,
        ready_seconds=ready_seconds,
        progress=progress,
    )
    releases.prune(layout, previous=old)
    return new


def _obtain(layout: Layout, wanted: Wanted, progress: Progress) -> str:
    """Have the wanted release here, ready to be built; returns its name."""
    if wanted.archive:
        return intake.take(layout, wanted.archive, sha256=wanted.sha256, progress=progress).name
    progress.phase(_("fetching"))
    if wanted.repository:
        releases.follow(layout, wanted.repository, wanted.ref)
    releases.fetch(layout)
    new = releases.resolve(layout, wanted.ref)
    progress.end_phase()
    return new


def _named(layout: Layout, release: str) -> str:
    version = releases.version(layout, release)
    return f"{release} ({version})" if version else release


def rollback(layout: Layout, *, with_database: bool, ready_seconds: float, progress: Progress) -> str:
    """Go back to the release before the running one; returns its name. Raises UpgradeFault.

    If the database was changed by the newer release, it goes back to the moment of the upgrade. This loses data, so
    it needs `with_database`.
    """
    recover(layout, progress=progress)
    last = _parse(_history(layout))
    # There is no way back twice, nor to a release that was removed.
    if last is None or last.new != releases.running(layout) or not (layout.releases / last.old).is_dir():
        raise UpgradeFault(
            _("There is no release to roll back to. Run `left4mectl upgrade --to REF` to install any release.")
        )
    database = _own_database(layout)
    applied = set(database.migrations()) if database is not None else set()
    unknown = applied - releases.migrations(layout.releases / last.old)
    # The older release cannot work on a database with migrations that it does not know.
    if unknown and not with_database:
        raise UpgradeFault(
            _(
                "%(old)s does not know the present database (%(names)s). Going back to it loses all changes "
                "since %(at)s. To do this, make a backup, then run `left4mectl rollback --with-database`."
            )
            % {"old": last.old, "names": ", ".join(sorted(unknown)[:3]), "at": last.at}
        )
    # The copies of older upgrades are removed; `last.copy` is empty when that upgrade changed nothing.
    if unknown and not Path(last.copy).is_file():
        raise UpgradeFault(
            _("The database copy from before %(new)s no longer exists. Restore a backup instead.") % {"new": last.new}
        )
    back = Attempt(CHANGING, last.old, last.new, last.at, last.copy if unknown else "")
    _write(_journal(layout), back)
    _take_back(layout, back, progress)
    if why := application.wait_until_ready(layout, seconds=ready_seconds):
        raise UpgradeFault(
            _("Rolled back to %(old)s, but it is not ready: %(why)s. Run `left4mectl doctor`.")
            % {"old": last.old, "why": why}
        )
    _history(layout).unlink(missing_ok=True)
    return last.old


def recover(layout: Layout, *, progress: Progress, at_boot: bool = False) -> bool:
    """Take back an interrupted upgrade; returns whether there was one.

    With `at_boot` no unit is stopped or started: none runs yet, and systemd starts them afterwards.
    """
    attempt = _parse(_journal(layout))
    # No journal: the last upgrade ended, successfully or taken back.
    if attempt is None:
        return False
    progress.say(
        _("the upgrade to %(new)s was interrupted (%(phase)s): going back to %(old)s")
        % {"new": attempt.new, "phase": attempt.phase, "old": attempt.old}
    )
    _take_back(layout, attempt, progress, at_boot=at_boot)
    return True


def _own_database(layout: Layout) -> database_copies.Database | None:
    """The database that this machine upgrades; None on a worker host, which only uses that of the web."""
    if services.role(layout) is Role.WORKER_HOST:
        return None
    return database_copies.from_environment(environment.read(layout), data=layout.data)


def _check(layout: Layout, tree: Path, database: database_copies.Database | None) -> bool:
    """Whether the new release changes the database. Raises UpgradeFault for anything that would stop it later."""
    # A database that is newer than the release cannot be migrated back.
    unknown = set(database.migrations()) - releases.migrations(tree) if database is not None else set()
    if unknown:
        raise UpgradeFault(
            _(
                "%(name)s is older than the database: it does not know %(names)s. To go back, use `left4mectl "
                "rollback`, or restore a backup of that time."
            )
            % {"name": tree.name, "names": ", ".join(sorted(unknown)[:3])}
        )
    # A setting that the new release refuses would stop its web and its worker at their start.
    try:
        application.manage(layout, "check", "--fail-level=ERROR", release=tree)
    except commands.CommandError as error:
        raise UpgradeFault(
            _("%(name)s does not accept this machine's settings: %(error)s") % {"name": tree.name, "error": error}
        ) from error
    if database is not None:
        _refuse_full_disk(layout, database)
    # It would run the same checks again.
    pending = application.manage(layout, "migrate", "--check", "--skip-checks", release=tree, check=False)
    # Only the machine of the web migrates. A newer worker would take no jobs until that is done.
    if pending.status and database is None:
        reason = [_("%(release)s needs a newer one") % {"release": tree.name}, *pending.output.strip().splitlines()][
            -1
        ]
        raise UpgradeFault(
            _(
                "%(name)s cannot use the present database (%(reason)s). Upgrade the machine of the web first, "
                "then this one."
            )
            % {"name": tree.name, "reason": reason}
        )
    return bool(pending.status)


def _refuse_full_disk(layout: Layout, database: database_copies.Database) -> None:
    layout.backups.mkdir(parents=True, exist_ok=True, mode=0o710)
    # The copy, and room for as much again: migrating writes too.
    needed = 2 * database.size()
    if needed > room.left(layout.backups, keep=_LEAVE_FREE):
        raise UpgradeFault(
            _(
                "The disk is too full for a copy of the database: %(backups)s has %(free)s free, %(needed)s are "
                "needed. Free some space, then try again."
            )
            % {
                "backups": layout.backups,
                "free": readable_size(room.free(layout.backups)),
                "needed": readable_size(needed + _LEAVE_FREE),
            }
        )


def _exchange(
    layout: Layout,
    attempt: Attempt,
    changed_database: database_copies.Database | None,
    *,
    ready_seconds: float,
    progress: Progress,
) -> None:
    """Stop the old release, migrate, start the new one. Takes all of it back unless the new release becomes ready."""

    def enter(phase: str, copy: str = "") -> Attempt:
        reached = Attempt(phase, attempt.old, attempt.new, attempt.at, copy or attempt.copy)
        _write(_journal(layout), reached)
        return reached

    try:
        with standstill.signals_as_faults(), standstill.web_held(layout) as release_web:
            # Each phase is journalled before it begins, so that a power cut in it can be taken back.
            attempt = enter(STOPPING)
            progress.phase(_("stopping the application; requests wait"))
            services.stop(layout)
            # Nothing writes any more: this copy is exactly what a failure goes back to.
            if changed_database is not None:
                progress.phase(_("copying the database"))
                copy = layout.backups / f"before-{attempt.new}-{attempt.at}.database"
                changed_database.copy_to(copy, check=False)
                attempt = enter(CHANGING, str(copy))
                progress.phase(_("migrating"))
                tree = layout.releases / attempt.new
                # Checked before anything stopped; requests wait.
                migrate = ("migrate", "--no-input", "--verbosity=0", "--skip-checks")
                application.manage(layout, *migrate, release=tree, timeout=_MIGRATE_SECONDS)
            attempt = enter(STARTING)
            progress.phase(_("starting %(new)s") % {"new": attempt.new})
            added = _make_current(layout, attempt.new, instead_of=attempt.old)
            application.forget_pulse(layout)
            release_web()
            services.renew_firewall()
            services.start(layout)
            services.start_also(added)
            if why := application.wait_until_ready(layout, seconds=ready_seconds):
                raise UpgradeFault(
                    _("it was not ready within %(ready_seconds).0f s: %(why)s")
                    % {"ready_seconds": ready_seconds, "why": why}
                )
            progress.end_phase()
            _keep(layout, attempt)
    # Ctrl-C too: until the new release is ready, every way out leads back to the old one.
    except BaseException as fault:
        progress.end_phase()
        progress.say(f"{attempt.new}: {fault or type(fault).__name__}")
        _take_back(layout, attempt, progress)
        raise _taken_back(layout, attempt, fault, ready_seconds=ready_seconds) from fault


def _taken_back(layout: Layout, attempt: Attempt, fault: BaseException, *, ready_seconds: float) -> UpgradeFault:
    """The message after a failed upgrade was taken back; it also reports when the old release is not ready."""
    # The patience asked for is with the new release; the old one is known to become ready.
    if why := application.wait_until_ready(layout, seconds=max(ready_seconds, READY_SECONDS)):
        return UpgradeFault(
            _("%(new)s failed (%(fault)s), %(old)s is back, but is not ready: %(why)s. Run `left4mectl doctor`.")
            % {"new": attempt.new, "fault": fault, "old": attempt.old, "why": why}
        )
    return UpgradeFault(
        _(
            "%(new)s failed, and %(old)s runs again with its database as it was: %(fault)s. `journalctl -u "
            "left4me-web -u left4me-worker -u left4me-beat` shows its last log lines."
        )
        % {"new": attempt.new, "old": attempt.old, "fault": fault}
    )


def _take_back(layout: Layout, attempt: Attempt, progress: Progress, *, at_boot: bool = False) -> None:
    """Return to the old release and its database. Can be repeated after it was itself interrupted."""
    with standstill.signals_ignored(), standstill.web_held(layout) as release_web:
        progress.phase(_("going back to %(old)s") % {"old": attempt.old})
        if not at_boot:
            services.stop(layout)
        # Before `changing` the database is still the old one. Without a copy the new release did not change it.
        if attempt.phase != STOPPING and attempt.copy:
            database_copies.from_environment(environment.read(layout), data=layout.data).put_back(Path(attempt.copy))
        added: list[str] = []
        try:
            added = _make_current(layout, attempt.old, instead_of=attempt.new, at_boot=at_boot)
        except (OSError, commands.CommandError) as error:
            # The link already points to the old release, and it also runs with the newer units.
            progress.say(_("could not write the units of %(old)s: %(error)s") % {"old": attempt.old, "error": error})
        application.forget_pulse(layout)
        release_web()
        if not at_boot:
            services.renew_firewall()
            services.start(layout)
            services.start_also(added)
        # Only now: until here an interruption must be taken back once more.
        _journal(layout).unlink(missing_ok=True)
        progress.end_phase()


def _make_current(layout: Layout, release: str, *, instead_of: str, at_boot: bool = False) -> list[str]:
    """Switch the link to a release and copy its units and rules to the system; returns units to start besides."""
    releases.switch(layout, release)
    old, new = layout.releases / instead_of, layout.releases / release
    return system_files.exchange_units(layout, old, new, role=services.role(layout), stop=not at_boot)


def _keep(layout: Layout, attempt: Attempt) -> None:
    """Record the way back to the old release and remove the journal: the upgrade has succeeded."""
    _write(_history(layout), attempt)
    _journal(layout).unlink()
    copies = sorted(layout.backups.glob("before-*.database"), key=lambda path: path.name.rpartition("-")[2])
    for path in copies[:-COPIES_KEPT]:
        path.unlink()


def _journal(layout: Layout) -> Path:
    return layout.program / "upgrade.json"


def _history(layout: Layout) -> Path:
    return layout.program / "last-upgrade.json"


def _parse(path: Path) -> Attempt | None:
    try:
        return Attempt(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None


def _write(path: Path, attempt: Attempt) -> None:
    """Write the file and sync it to disk before the next step, because that step may be interrupted."""
    atomic.write(path, json.dumps(asdict(attempt)), mode=0o600, durable=True)
