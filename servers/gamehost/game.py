"""The installed versions of the game on this host. A published version never changes.

    game/versions/<id>/       a whole installation, the lowest layer of servers
    game/versions/<id>.json   its description
    game/staging/             the installation in progress; an interrupted one is resumed
    game/current              a link to the version that the next start uses

A server keeps the version it was started with, so an update does not disturb running games, and a rollback changes
only the link.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from left4me.core import concurrency
from left4me.core.files import atomic
from servers.gamehost.port import Watch

_PIECE: Final = 64 * 1024**2


class NoVersion(LookupError):
    """There is no such installed version. The message names the one that was looked up."""


@dataclass(frozen=True, kw_only=True)
class Version:
    id: str
    path: Path
    kind: str  # "steam" or "simulated"
    build: str  # Steam's build number
    installed_at: datetime


class Versions:
    """The versions below `game`, which may not exist yet. The lock of the jobs ensures that there is one writer."""

    def __init__(self, game: Path) -> None:
        self._versions = game / "versions"
        self._link = game / "current"
        self.staging = game / "staging"

    def current(self) -> Version:
        """The version that a start would use now. Raises NoVersion before the first install."""
        try:
            name = self._link.readlink().name
        except OSError:
            raise NoVersion("the game is not installed on this host") from None
        return self.get(name)

    def all(self) -> list[Version]:
        """Every version, the oldest first. Versions with an unreadable description are left out."""
        versions = []
        for about in sorted(self._versions.glob("*.json")):
            with contextlib.suppress(NoVersion):
                versions.append(self.get(about.stem))
        return versions

    def get(self, version_id: str) -> Version:
        """Raises NoVersion."""
        path = self._versions / version_id
        try:
            about = json.loads(self._about(version_id).read_text())
            installed_at = datetime.fromisoformat(about["installed_at"])
            version = Version(
                id=version_id, path=path, kind=about["kind"], build=about["build"], installed_at=installed_at
            )
        except (OSError, ValueError, KeyError, TypeError):
            raise NoVersion(f"there is no version {version_id} of the game") from None
        if not path.is_dir():
            raise NoVersion(f"the directory of version {version_id} no longer exists")
        return version

    def previous(self) -> Version:
        """The version that `roll_back` would return to. Raises NoVersion."""
        current = self.current()
        older = [version for version in self.all() if version.installed_at < current.installed_at]
        if not older:
            raise NoVersion("there is no older version of the game on this host")
        return older[-1]

    def stage(self, *, watch: Watch, base: Version | None = None) -> Path:
        """The directory to install into: an unfinished one of the same base, else a copy of `base`, else empty.

        It is a real copy, since SteamCMD may change files in place. Raises Cancelled, OSError.
        """
        marker = self.staging.with_suffix(".json")
        description = {"base": base.id if base else None}
        with contextlib.suppress(OSError, ValueError):
            if json.loads(marker.read_text()) == description and self.staging.is_dir():
                return self.staging
        self.discard_staging()
        self.staging.parent.mkdir(parents=True, exist_ok=True)
        if base is None:
            self.staging.mkdir()
        else:
            copy_tree(base.path, self.staging, watch=watch)
        # Last, so that an interrupted copy is made again.
        atomic.write(marker, json.dumps(description), mode=0o600, durable=True)
        return self.staging

    def discard_staging(self) -> None:
        self.staging.with_suffix(".json").unlink(missing_ok=True)
        if self.staging.exists():
            shutil.rmtree(self.staging)

    def publish(self, *, kind: str, build: str, now: datetime) -> Version:
        """Make the staged installation a version, and the current one."""
        now = now.astimezone(UTC)
        version_id = f"{now:%Y%m%dT%H%M%S%f}-{build}"
        self._versions.mkdir(parents=True, exist_ok=True)
        # The description first: a version without one would never be removed; a description alone is harmless.
        about = {"kind": kind, "build": build, "installed_at": now.isoformat()}
        atomic.write(self._about(version_id), json.dumps(about), mode=0o600, durable=True)
        atomic.publish(self.staging, self._versions / version_id, durable=True)
        self.staging.with_suffix(".json").unlink(missing_ok=True)
        version = self.get(version_id)
        self.activate(version)
        return version

    def activate(self, version: Version) -> None:
        """Make `version` current: new starts use it, running servers keep theirs."""
        atomic.link(self._link, version.path.relative_to(self._link.parent), durable=True)

    def roll_back(self) -> Version:
        """Return to the version before the current one. Raises NoVersion."""
        version = self.previous()
        self.activate(version)
        return version

    def remove_unused(self, *, in_use: Iterable[Path]) -> list[str]:
        """Remove the `unused` versions. Returns their ids."""
        removed = []
        for version in self.unused(in_use=in_use):
            shutil.rmtree(version.path)
            self._about(version.id).unlink(missing_ok=True)
            removed.append(version.id)
        return removed

    def unused(self, *, in_use: Iterable[Path]) -> list[Version]:
        """Versions that are neither current, nor the one to roll back to, nor a layer of a running server.

        `in_use` are layers, see `storage.Storage.layers_in_use`.
        """
        kept = {path.resolve() for path in in_use}
        for which in (self.current, self.previous):
            with contextlib.suppress(NoVersion):
                kept.add(which().path.resolve())
        return [version for version in self.all() if version.path.resolve() not in kept]

    def _about(self, version_id: str) -> Path:
        return self._versions / f"{version_id}.json"


def copy_tree(source: Path, target: Path, *, watch: Watch) -> None:
    """Copy a tree with progress, as reflinks where the file system supports them. Raises Cancelled, OSError."""
    # A link to a directory is among the folders.
    entries = [Path(top, name) for top, folders, names in os.walk(source) for name in (*folders, *names)]
    total = sum(entry.lstat().st_size for entry in entries if _is_file(entry))
    done = 0
    target.mkdir()
    for entry in entries:
        goal = target / entry.relative_to(source)
        if entry.is_symlink():
            goal.symlink_to(entry.readlink())
        elif entry.is_dir():
            goal.mkdir()
        else:
            for size in _copy_pieces(entry, goal):
                concurrency.check(watch.cancelled)
                done += size
                watch.progress(phase="copying", done=done, total=total, unit="bytes")
            shutil.copystat(entry, goal)


def _is_file(entry: Path) -> bool:
    return entry.is_file() and not entry.is_symlink()


def _copy_pieces(source: Path, target: Path) -> Iterable[int]:
    with source.open("rb") as reader, target.open("wb") as writer:
        while size := os.copy_file_range(reader.fileno(), writer.fileno(), _PIECE):
            yield size
