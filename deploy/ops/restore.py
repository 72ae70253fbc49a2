"""`left4mectl restore`: puts everything of a backup back, on this machine or on an empty one.

Everything is verified and laid out beside what is there before anything stops. Then it is a matter of renames, and
what was there stands aside, in `before-restore`, until the next restore: nothing is lost, not even by restoring the
wrong file. When the application does not come up on what was restored, what was there comes back.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final

from deploy.ops import application, archive, backup, environment, releases
from deploy.ops.database import copies, migrations
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.progress import Progress, in_words
from left4me.core.files import atomic, room
from left4me.core.processes import commands

# What is true of a machine and not of the data: the database that runs here, and its Redis.
_OF_THIS_MACHINE: Final = ("DATABASE_URL", "REDIS_URL")


class RestoreFault(Exception):
    """Nothing was restored; the message says why, and what to do."""


def restore(layout: Layout, file: Path, *, ready_seconds: float, progress: Progress) -> list[str]:
    """Put back what `file` holds, and start the application on it; returns what is left to do, in words.

    Raises RestoreFault, BadArchive, DatabaseFault; then everything is as it was before.
    """
    recover(layout, progress=progress)
    with _open(file) as source:
        manifest = archive.read_manifest(source)
        refuse_unfit(layout, manifest)
        progress.phase("verifying", manifest["size"])
        archive.verify(source, manifest, on_bytes=progress.add)
        progress.end_phase()
        stage = _fresh(layout.data / ".restoring")
        try:
            _lay_out(layout, source, manifest, stage, progress)
            _swap(layout, stage, ready_seconds=ready_seconds, progress=progress)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    return _afterwards(layout, progress)


def refuse_unfit(layout: Layout, manifest: dict[str, Any]) -> None:
    """Raise RestoreFault for a backup that this release cannot read, with the cure."""
    if manifest.get("format") != backup.FORMAT:
        raise RestoreFault(
            f"This backup has the format {manifest.get('format')}, and this release reads {backup.FORMAT}. "
            "Upgrade first: `left4mectl upgrade`."
        )
    theirs = manifest["database"]
    unknown = sorted(set(theirs["migrations"]) - migrations.migrations(layout.current.resolve()))
    if unknown:
        raise RestoreFault(
            f"This backup was made by the newer release {manifest['release']}: {releases.running(layout)} does not "
            f"know {', '.join(unknown[:3])}. Upgrade first: `left4mectl upgrade`, then restore again."
        )
    ours = copies.from_environment(environment.read(layout), data=layout.data)
    if theirs["kind"] != ours.kind:
        raise RestoreFault(
            f"This backup holds a {theirs['kind']} database, and this machine runs on {ours.kind}. Install with "
            f"`deploy/install --database {theirs['kind']}` on an empty machine, then restore there."
        )


def recover(layout: Layout, *, progress: Progress, at_boot: bool = False) -> bool:
    """Take back a restore that was cut off; returns whether there was one.

    At the boot nothing runs yet, and systemd is about to start it all: then nothing is stopped nor started here.
    """
    journal = _journal(layout)
    try:
        moved = json.loads(journal.read_text())
    except FileNotFoundError:
        return False
    except ValueError:
        moved = {}
    progress.say("a restore was cut off: putting back what was there before it")
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
        raise RestoreFault(f"{file} cannot be read: {error.strerror}.") from error


def _fresh(path: Path) -> Path:
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(mode=0o700)
    return path


def _lay_out(layout: Layout, source: BinaryIO, manifest: dict[str, Any], stage: Path, progress: Progress) -> None:
    wanted = manifest["size"] + manifest["parts"].get("database", {}).get("bytes", 0)
    if wanted > room.left(layout.data):
        raise RestoreFault(
            f"The disk is too full: laying out the backup takes {in_words(wanted)} beside what is there, and "
            f"{layout.data} has {in_words(room.free(layout.data))} free. Free some space, then try again."
        )
    ours = application.owner()
    progress.phase("unpacking", manifest["size"])
    archive.extract(
        source,
        stage,
        owner=lambda name: (0, 0) if name.partition("/")[0] in ("database", backup.SETTINGS) else ours,
        on_bytes=progress.add,
    )
    progress.end_phase()
    known = {"database", backup.SETTINGS, backup.WORKSHOP, *backup.TREES}
    if strange := {path.name for path in stage.iterdir()} - known:
        raise archive.BadArchive(f"this backup holds parts that none of ours would: {', '.join(sorted(strange))}")


def _swap(layout: Layout, stage: Path, *, ready_seconds: float, progress: Progress) -> None:
    """Exchange what is there for what was laid out; takes everything back when the application does not like it."""
    trees = [tree for tree in (*backup.TREES, backup.WORKSHOP) if (stage / tree).exists()]
    # An area without a member in the backup is empty in it; the workshop's cache is then not part of it.
    trees += [tree for tree in backup.TREES if tree not in trees]
    aside = _fresh(_aside(layout))
    progress.phase("stopping the application and all games")
    services.stop_all(layout)
    moved: dict[str, Any] = {"trees": [], "database": False, "settings": False}
    _note(layout, moved)
    try:
        progress.phase("exchanging")
        for name in ("settings", "database"):
            _keep_aside(layout, aside, name)
        moved |= {"settings": True, "database": True, "trees": trees}
        _note(layout, moved)
        for tree in trees:
            _exchange(layout.data / tree, stage / tree, aside / tree)
        _write_settings(layout, stage / backup.SETTINGS)
        _database(layout).put_back(stage / backup.DATABASE)
        progress.phase("migrating")
        application.manage(layout, "migrate", "--no-input", "--verbosity=0", timeout=3600)
        progress.phase("starting")
        application.forget_pulse(layout)
        services.start(layout)
        if why := application.wait_until_ready(layout, seconds=ready_seconds):
            raise RestoreFault(f"the application did not come up on it: {why}")
    except BaseException as fault:
        progress.end_phase()
        progress.say(f"{fault or type(fault).__name__}")
        progress.say("putting back what was there before")
        services.stop_all(layout)
        _put_back(layout, aside, moved)
        services.start(layout)
        _journal(layout).unlink()
        raise _worded(fault) from fault
    progress.end_phase()
    _journal(layout).unlink()


def _worded(fault: BaseException) -> BaseException:
    if isinstance(fault, (commands.CommandError, copies.DatabaseFault, RestoreFault, OSError)):
        return RestoreFault(f"Nothing was restored, and everything is as before: {fault}")
    return fault


def _keep_aside(layout: Layout, aside: Path, name: str) -> None:
    if name == "settings":
        shutil.copytree(layout.settings, aside / "settings", symlinks=True)
    elif (ours := _database(layout)).migrations():
        (aside / "database").mkdir(mode=0o700)
        ours.copy_to(aside / backup.DATABASE, check=False)
    for path in aside.rglob("*"):
        atomic.sync(path)


def _exchange(place: Path, fresh: Path, aside: Path) -> None:
    if place.exists():
        place.rename(aside)
    if fresh.exists():
        fresh.rename(place)
    else:
        place.mkdir(mode=0o750)
        os.chown(place, *application.owner())


def _put_back(layout: Layout, aside: Path, moved: dict[str, Any]) -> None:
    """The other way round; whatever of it was done already stays done."""
    for tree in moved.get("trees", []):
        if (aside / tree).exists():
            shutil.rmtree(layout.data / tree, ignore_errors=True)
            (aside / tree).rename(layout.data / tree)
    if moved.get("settings"):
        # The settings first: they say which database it is.
        for path in _files_below(aside / "settings"):
            _write_file(layout.settings / path.relative_to(aside / "settings"), path.read_bytes(), like=path)
    if moved.get("database") and (aside / backup.DATABASE).exists():
        _database(layout).put_back(aside / backup.DATABASE)


def _write_settings(layout: Layout, fresh: Path) -> None:
    """The backup's settings, but for what says where this machine's own database and Redis are."""
    for path in _files_below(fresh):
        target = layout.settings / path.relative_to(fresh)
        data = path.read_bytes()
        if path.suffix == ".env":
            data = _with_ours(data.decode(), target).encode()
        _write_file(target, data, like=target if target.exists() else path)


def _with_ours(text: str, target: Path) -> str:
    """The lines of a backup's file; of the variables that are this machine's own, the lines that stand here."""
    own = target.read_text().splitlines() if target.exists() else []
    kept = [line for line in own if _variable(line) in _OF_THIS_MACHINE]
    lines = [line for line in text.splitlines() if _variable(line) not in _OF_THIS_MACHINE]
    return "\n".join([*lines, *kept]) + "\n"


def _variable(line: str) -> str:
    return "" if line.lstrip().startswith("#") else line.partition("=")[0].strip()


def _write_file(target: Path, data: bytes, *, like: Path) -> None:
    seen = like.stat()
    gid = seen.st_gid if like == target else application.owner()[1]
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    atomic.write(target, data, mode=seen.st_mode & 0o777, durable=True, owner=(0, gid))


def _files_below(top: Path) -> Iterable[Path]:
    return [path for path in sorted(top.rglob("*")) if path.is_file() and not path.is_symlink()]


def _database(layout: Layout) -> copies.Database:
    return copies.from_environment(environment.read(layout), data=layout.data)


def _afterwards(layout: Layout, progress: Progress) -> list[str]:
    """Have the application fetch what no backup holds, and start what is wanted running."""
    left = [f"What was there before is in {_aside(layout)}; remove it when all is well."]
    try:
        application.manage(layout, "after_restore", on_line=progress.say)
    except commands.CommandError as error:
        left.append(f"`left4mectl manage after_restore` failed and must be run again: {error}")
    return left


def _aside(layout: Layout) -> Path:
    return layout.data / "before-restore"


def _journal(layout: Layout) -> Path:
    return layout.program / "restore.json"


def _note(layout: Layout, moved: dict[str, Any]) -> None:
    _write_file(_journal(layout), json.dumps(moved).encode(), like=layout.program)
