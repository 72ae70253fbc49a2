"""`left4mectl restore`: replaces all data and settings by those of a backup, on the same or on an empty machine.

The backup is verified and unpacked beside the present data before anything stops. Then directories are renamed, and
the present data is kept in `before-restore` until the next restore, so that restoring the wrong file loses nothing. If
the application does not become ready on the restored data, the previous data is put back.

Settings and database are kept in directories of root (`Places.own`). Trees have to stay on the file system of the
data, in directories that the application can exchange (`Places.trees`): they are unpacked and moved with its rights.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from deploy.language import gettext as _
from deploy.ops import application, archive, backup, environment, releases, site_address
from deploy.ops.database import copies
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import services
from deploy.ops.progress import Progress, readable_size
from left4me.core.files import atomic, room
from left4me.core.processes import commands, identity

# Settings that describe this machine instead of its data: where its database and its Redis are. So does its address.
_OF_THIS_MACHINE: Final = ("DATABASE_URL", "REDIS_URL")

# The parts of a backup that root unpacks; the application unpacks the trees.
_OF_ROOT: Final = ("database", backup.SETTINGS)
_TREES: Final = (*backup.TREES, backup.WORKSHOP, backup.COPIES)


@dataclass(frozen=True)
class Places:
    """Two directories for one purpose: one that only root can enter, and one of the application for trees."""

    own: Path
    trees: Path

    def make(self) -> None:
        """Create both, empty."""
        self.remove()
        self.own.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.own.mkdir(mode=0o700)
        _as_application(lambda: self.trees.mkdir(mode=0o700))

    def remove(self) -> None:
        for path in (self.own, self.trees):
            # The application can have placed something there. rmtree follows no links.
            if path.is_symlink():
                path.unlink()
            elif path.exists():
                shutil.rmtree(path)


class RestoreFault(Exception):
    """Nothing was restored; the message contains the reason and the cure."""


def restore(layout: Layout, file: Path, *, ready_seconds: float, progress: Progress) -> list[str]:
    """Restore the backup `file` and start the application on it; returns hints on what is left to do.

    Raises RestoreFault, BadArchive, DatabaseFault; then everything is as it was before.
    """
    # A worker host has no data of its own, and must never write the database of the web.
    if services.role(layout) is Role.WORKER_HOST:
        raise RestoreFault(_("This machine only runs game servers. Restore on the machine that runs the web."))
    # An interrupted restore is taken back first: this one would overwrite its journal and what it keeps aside.
    recover(layout, progress=progress)
    with _open(file) as source:
        manifest = archive.read_manifest(source)
        refuse_unfit(layout, manifest)
        progress.phase(_("verifying"), manifest["size"])
        archive.verify(source, manifest, on_bytes=progress.add)
        progress.end_phase()
        stage = _stage(layout)
        stage.make()
        try:
            _unpack(layout, source, manifest, stage, progress)
            _refuse_bad_settings(stage.own / backup.SETTINGS)
            backed_up = _settings_in(stage.own / backup.SETTINGS)
            _swap(layout, stage, ready_seconds=ready_seconds, progress=progress)
        finally:
            with contextlib.suppress(OSError):
                stage.remove()
    return [*_after_restore(layout, progress), *site_address.hints(layout, backed_up), *_unit_hints(manifest)]


def refuse_unfit(layout: Layout, manifest: dict[str, Any]) -> None:
    """Raise RestoreFault for a backup that this release cannot use; the message contains the cure."""
    if manifest.get("format") != backup.FORMAT:
        raise RestoreFault(
            _(
                "This backup has the format %(found)s, and this release reads %(format)s. Upgrade first: "
                "`left4mectl upgrade`."
            )
            % {"found": manifest.get("format"), "format": backup.FORMAT}
        )
    backed_up = manifest["database"]
    unknown = sorted(set(backed_up["migrations"]) - releases.migrations(layout.current.resolve()))
    # Migrations lead forward only: this release could not work on a database of a newer one.
    if unknown:
        raise RestoreFault(
            _(
                "This backup was made by the newer release %(release)s: %(running)s does not know %(names)s. "
                "Upgrade first: `left4mectl upgrade`, then restore again."
            )
            % {"release": manifest["release"], "running": releases.running(layout), "names": ", ".join(unknown[:3])}
        )
    present = _database(layout)
    # A copy is in the format of its database; no command converts it.
    if backed_up["kind"] != present.kind:
        raise RestoreFault(
            _(
                "This backup holds a %(kind)s database, and this machine uses %(present)s. Install with "
                "`deploy/install --database %(kind)s` on an empty machine, then restore there."
            )
            % {"kind": backed_up["kind"], "present": present.kind}
        )


def recover(layout: Layout, *, progress: Progress, at_boot: bool = False) -> bool:
    """Take back an interrupted restore; returns whether there was one.

    With `at_boot` no unit is stopped or started: none runs yet, and systemd starts them afterwards.
    """
    journal = _journal(layout)
    try:
        moved = json.loads(journal.read_text())
    except FileNotFoundError:
        return False
    # A journal that cannot be read lists nothing to put back, and must not keep the application from starting.
    except ValueError:
        moved = {}
    progress.say(_("a restore was interrupted: putting the previous data back"))
    if not at_boot:
        services.stop_all(layout)
    _put_back(layout, _aside(layout), moved)
    if not at_boot:
        services.start(layout)
    journal.unlink()
    return True


def _open(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise RestoreFault(
            _("Could not read %(file)s: %(strerror)s.") % {"file": file, "strerror": error.strerror}
        ) from error


def _unpack(layout: Layout, source: BinaryIO, manifest: dict[str, Any], stage: Places, progress: Progress) -> None:
    # Only these are moved to the data. Anything else means that the file is no backup of left4me.
    if unknown := manifest["parts"].keys() - {*_OF_ROOT, *_TREES}:
        raise archive.BadArchive(
            _("this backup contains unknown parts: %(names)s") % {"names": ", ".join(sorted(unknown))}
        )
    of_root = sum(manifest["parts"].get(part, {}).get("bytes", 0) for part in _OF_ROOT)
    # The database is written twice: unpacked, and beside the present one before it takes its place.
    for place, needed in ((layout.data, manifest["size"]), (stage.own, 2 * of_root)):
        if needed > room.left(place):
            raise RestoreFault(
                _(
                    "The disk is too full: unpacking the backup takes %(needed)s beside the present data, and "
                    "%(place)s has %(free)s free. Free some space, then try again."
                )
                % {"needed": readable_size(needed), "place": place, "free": readable_size(room.free(place))}
            )
    progress.phase(_("unpacking"), manifest["size"])
    archive.extract(source, stage.own, parts=_OF_ROOT, on_bytes=progress.add)
    _as_application(lambda: archive.extract(source, stage.trees, parts=_TREES, on_bytes=progress.add), source.fileno())
    progress.end_phase()


def _refuse_bad_settings(unpacked: Path) -> None:
    for path in _files_below(unpacked):
        if path.suffix == ".env":
            environment.refuse_forbidden(
                path.read_text(errors="replace"),
                where=_("%(file)s of this backup") % {"file": path.relative_to(unpacked)},
            )


def _settings_in(unpacked: Path) -> dict[str, str]:
    values: dict[str, str] = {}
    for path in _files_below(unpacked):
        if path.suffix == ".env":
            values |= environment.parse(path.read_text(errors="replace"))
    return values


def _as_application(function: Callable[[], object], *keep: int) -> None:
    """Call `function` with the rights of the application, which may have prepared its directories for root."""

    def discarding() -> None:
        function()

    identity.run_as(_application(), discarding, keep=keep, raises=(archive.BadArchive,))


def _application() -> identity.Identity:
    return identity.Identity(*application.owner(), groups=())


def _swap(layout: Layout, stage: Places, *, ready_seconds: float, progress: Progress) -> None:
    """Replace the present data by the unpacked backup. Takes it all back unless the application becomes ready."""
    trees = [tree for tree in _TREES if (stage.trees / tree).exists()]
    # A tree without members in the backup was empty. The workshop cache may also have been left out of it.
    trees += [tree for tree in backup.TREES if tree not in trees]
    aside = _aside(layout)
    aside.make()
    progress.phase(_("stopping the application and all games"))
    services.stop_all(layout)
    moved: dict[str, Any] = {"trees": [], "database": False, "settings": False}
    # The journal comes before the first change, and is extended before the data is touched: `recover` puts back only
    # what it lists, and whether a tree was moved already it sees from `aside`.
    _note(layout, moved)
    try:
        progress.phase(_("exchanging"))
        for name in ("settings", "database"):
            _keep_aside(layout, aside.own, name)
        moved |= {"settings": True, "database": True, "trees": trees}
        _note(layout, moved)
        for tree in trees:
            _exchange(layout.data / tree, stage.trees / tree, aside.trees / tree)
        # The settings before the database: they say which one it is.
        _write_settings(layout, stage.own / backup.SETTINGS)
        _database(layout).put_back(stage.own / backup.DATABASE)
        # The backup may be of an older release.
        progress.phase(_("migrating"))
        application.manage(layout, "migrate", "--no-input", "--verbosity=0", timeout=3600)
        progress.phase(_("starting"))
        application.forget_pulse(layout)
        services.start(layout)
        if why := application.wait_until_ready(layout, seconds=ready_seconds):
            raise RestoreFault(_("the application did not become ready: %(why)s") % {"why": why})
    # Ctrl-C too: until the application is ready, every way out leads back to the previous data.
    except BaseException as fault:
        progress.end_phase()
        progress.say(f"{fault or type(fault).__name__}")
        progress.say(_("putting the previous data back"))
        services.stop_all(layout)
        _put_back(layout, aside, moved)
        services.start(layout)
        _journal(layout).unlink()
        raise _as_restore_fault(fault) from fault
    progress.end_phase()
    _journal(layout).unlink()


def _as_restore_fault(fault: BaseException) -> BaseException:
    """The exception to raise after everything was put back; unexpected ones are raised as they are."""
    known = (commands.CommandError, copies.DatabaseFault, environment.BadSettings, RestoreFault, OSError)
    if isinstance(fault, known):
        return RestoreFault(_("Nothing was restored, all data is unchanged: %(fault)s") % {"fault": fault})
    return fault


def _keep_aside(layout: Layout, aside: Path, name: str) -> None:
    if name == "settings":
        shutil.copytree(layout.settings, aside / "settings", symlinks=True)
    # A database without migrations was never used: there is nothing to keep.
    elif (database := _database(layout)).migrations():
        (aside / "database").mkdir(mode=0o700)
        database.copy_to(aside / backup.DATABASE, check=False)
    # On disk before the journal says so.
    for path in aside.rglob("*"):
        atomic.sync(path)


def _exchange(tree: Path, unpacked: Path, aside: Path) -> None:
    def exchange() -> None:
        if tree.exists():
            tree.rename(aside)
        # A tree that was empty in the backup is empty here too.
        if unpacked.exists():
            unpacked.rename(tree)
        else:
            tree.mkdir(mode=0o750)

    _as_application(exchange)


def _put_back(layout: Layout, aside: Places, moved: dict[str, Any]) -> None:
    """Put back what was moved aside. Can be repeated after it was itself interrupted."""
    for tree in moved.get("trees", []):
        # A tree that is not aside was not moved, or is put back already.
        if (aside.trees / tree).exists():
            # As root: mounts leave directories that the application cannot list. rmtree follows no links.
            shutil.rmtree(layout.data / tree, ignore_errors=True)
            _as_application(partial((aside.trees / tree).rename, layout.data / tree))
    if moved.get("settings"):
        # The settings before the database: they say which one it is.
        kept = aside.own / "settings"
        for path in _files_below(kept):
            _write_file(layout.settings / path.relative_to(kept), path.read_bytes(), like=path)
    if moved.get("database") and (aside.own / backup.DATABASE).exists():
        _database(layout).put_back(aside.own / backup.DATABASE)


def _write_settings(layout: Layout, unpacked: Path) -> None:
    """Write the settings of the backup, except for those that describe this machine."""
    names = (*_OF_THIS_MACHINE, *site_address.kept_settings(layout))
    for path in _files_below(unpacked):
        target = layout.settings / path.relative_to(unpacked)
        data = path.read_bytes()
        if path.suffix == ".env":
            data = _with_own_lines(data.decode(), target, names).encode()
        _write_file(target, data, like=target if target.exists() else path)


def _with_own_lines(text: str, target: Path, names: Collection[str]) -> str:
    """The text of a backup's settings file, with this machine's lines of the variables in `names`."""
    own = target.read_text().splitlines() if target.exists() else []
    own_lines = [line for line in own if _variable(line) in names]
    lines = [line for line in text.splitlines() if _variable(line) not in names]
    return "\n".join([*lines, *own_lines]) + "\n"


def _variable(line: str) -> str:
    """The name of the variable that a line sets; empty for other lines."""
    return "" if line.lstrip().startswith("#") else line.partition("=")[0].strip()


def _write_file(target: Path, data: bytes, *, like: Path) -> None:
    seen = like.stat()
    gid = seen.st_gid if like == target else application.owner()[1]
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    # Only root may write to it, whatever the mode of a file in a backup is.
    atomic.write(target, data, mode=seen.st_mode & 0o755, durable=True, owner=(0, gid))


def _files_below(top: Path) -> Iterable[Path]:
    return [path for path in sorted(top.rglob("*")) if path.is_file() and not path.is_symlink()]


def _database(layout: Layout) -> copies.Database:
    return copies.from_environment(environment.read(layout), data=layout.data)


def _after_restore(layout: Layout, progress: Progress) -> list[str]:
    """Make the application fetch what backups do not hold and start the servers that should run; returns hints."""
    aside = _aside(layout)
    hints = [
        _("The previous data is in %(trees)s and %(own)s. Remove both once everything works.")
        % {"trees": aside.trees, "own": aside.own}
    ]
    try:
        application.manage(layout, "after_restore", on_line=progress.say)
    except commands.CommandError as error:
        hints.append(_("`left4mectl manage after_restore` failed. Run it again: %(error)s") % {"error": error})
    return hints


def _unit_hints(manifest: dict[str, Any]) -> list[str]:
    """The units that the operator had enabled where the backup was made, and that do not start here."""
    there = [unit for unit in services.OPTIONAL if unit in manifest.get("units", [])]
    missing = [unit for unit in there if unit not in services.enabled(there)]
    if not missing:
        return []
    return [
        _("Enabled where the backup was made, but not here: `systemctl enable --now %(units)s`.")
        % {"units": " ".join(missing)}
    ]


def _stage(layout: Layout) -> Places:
    return Places(own=layout.backups / ".restoring", trees=layout.data / ".restoring")


def _aside(layout: Layout) -> Places:
    return Places(own=layout.backups / "before-restore", trees=layout.data / "before-restore")


def _journal(layout: Layout) -> Path:
    return layout.program / "restore.json"


def _note(layout: Layout, moved: dict[str, Any]) -> None:
    _write_file(_journal(layout), json.dumps(moved).encode(), like=layout.program)
