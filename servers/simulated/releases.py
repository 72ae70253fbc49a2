"""Releases of the simulated game, as Valve makes them of the real one: Steam has a newer build from then on.

    python -m servers.simulated.releases ROOT NAME [--broken]

ROOT is the data directory (LEFT4ME_ROOT). The game of a broken release ends as soon as it is started.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from django.conf import settings

from left4me.core.files import atomic
from servers.gamehost.game import NoVersion, Version, Versions
from servers.gamehost.port import Watch
from servers.simulated import install

_KIND: Final = "simulated"
_FILE: Final = "simulated_release.json"
_NAME: Final = re.compile(r"[A-Za-z0-9]{1,20}")

_BROKEN: Final = """\
#!/bin/sh
echo 'This build of the simulated game is broken.'
exit 1
"""


@dataclass(frozen=True, kw_only=True)
class Release:
    name: str = ""
    is_broken: bool = False

    @property
    def build(self) -> str:
        """The build: that of the program, and of the release if there was one."""
        return ".".join(filter(None, (install.build(), self.name)))


def publish(game: Path, name: str, *, is_broken: bool = False) -> Release:
    """Make a release, which hosts find at their next check. `game` is the directory of the game's versions."""
    if not _NAME.fullmatch(name):
        raise ValueError("the name of a release consists of letters and digits")
    release = Release(name=name, is_broken=is_broken)
    game.mkdir(parents=True, exist_ok=True)
    atomic.write(game / _FILE, json.dumps(vars(release)), mode=0o644, durable=False)
    return release


def newest(game: Path) -> Release:
    try:
        return Release(**json.loads((game / _FILE).read_text()))
    except FileNotFoundError:
        return Release()


def newest_build() -> str:
    """The build of the newest release; the check that LEFT4ME_GAME=simulated selects."""
    return newest(Path(settings.LEFT4ME_ROOT) / "game").build


def install_newest(*, versions: Versions, watch: Watch, repair: bool) -> Version:
    """Install the simulated game as a version of this host; the game source that LEFT4ME_GAME=simulated selects.

    Returns the current version unchanged when it is the newest build already, unless `repair`.
    Raises commands.CommandError, OSError.
    """
    release = newest(versions.staging.parent)
    with contextlib.suppress(NoVersion):
        current = versions.current()
        if (current.kind, current.build) == (_KIND, release.build) and not repair:
            watch.log("The simulated game is the newest already.")
            return current
    versions.discard_staging()
    watch.progress(phase="installing", done=0, total=1, unit="steps")
    tree = versions.stage(watch=watch)
    install.install(tree)
    if release.is_broken:
        atomic.write(tree / "srcds_run", _BROKEN.encode(), mode=0o755, durable=False)
    watch.progress(phase="installing", done=1, total=1, unit="steps")
    return versions.publish(kind=_KIND, build=release.build, now=datetime.now(UTC))


def main() -> None:
    parser = argparse.ArgumentParser(description="Release a newer build of the simulated game.")
    parser.add_argument("root", type=Path)
    parser.add_argument("name")
    parser.add_argument("--broken", action="store_true")
    given = parser.parse_args()
    release = publish(given.root / "game", given.name, is_broken=given.broken)
    sys.stdout.write(f"{release.build}\n")


if __name__ == "__main__":
    main()
