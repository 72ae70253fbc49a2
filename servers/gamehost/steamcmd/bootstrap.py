"""Provides SteamCMD: from the Debian package if it is installed, otherwise from Valve's archive."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import Final

from left4me.core.net import fetch
from left4me.core.net.egress import AllowedHosts
from servers.gamehost.port import Watch
from servers.gamehost.steamcmd.session import SteamCmd

ARCHIVE_URL: Final = "https://steamcdn-a.akamaihd.net/client/installer/steamcmd_linux.tar.gz"

_LARGEST_ARCHIVE: Final = 64 * 1024**2
_FETCH_SECONDS: Final = 600


class BootstrapFailed(Exception):
    """SteamCMD could not be provided. The message says why."""


def steamcmd(directory: Path, *, watch: Watch, url: str = ARCHIVE_URL, hosts: AllowedHosts | None = None) -> SteamCmd:
    """SteamCMD with its home below `directory`, downloaded if this machine has none.

    Raises BootstrapFailed, Cancelled.
    """
    home = directory / "home"
    packaged = shutil.which("steamcmd", path=os.environ.get("PATH", "") + ":/usr/games")
    if packaged:
        return SteamCmd(program=Path(packaged), home=home)
    own = directory / "steamcmd.sh"
    if not own.exists():
        watch.log("Downloading SteamCMD from Valve.")
        try:
            _fetch(directory, url=url, hosts=hosts or AllowedHosts.parse([".akamaihd.net"]), watch=watch)
        except fetch.FetchError as error:
            raise BootstrapFailed(f"SteamCMD could not be downloaded: {error}") from error
        except (OSError, tarfile.TarError) as error:
            raise BootstrapFailed(f"SteamCMD could not be extracted: {error}") from error
    return SteamCmd(program=own, home=home)


def _fetch(directory: Path, *, url: str, hosts: AllowedHosts, watch: Watch) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    archive = directory / "steamcmd.tar.gz.part"
    with fetch.Client(hosts=hosts, cancelled=watch.cancelled) as client, client.get(url) as answer:
        if answer.status != 200:
            raise fetch.BadStatus(answer.status, answer.host)
        archive.write_bytes(answer.body(limit=_LARGEST_ARCHIVE, within=_FETCH_SECONDS))
    try:
        _unpack(archive, directory)
    finally:
        archive.unlink()


def _unpack(archive: Path, directory: Path) -> None:
    """Unpack regular files and directories. steamcmd.sh is moved last: it marks a complete installation."""
    fresh = directory / "unpacked"
    shutil.rmtree(fresh, ignore_errors=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts or not (member.isreg() or member.isdir()):
                raise tarfile.TarError(f"the archive contains {member.name}, which is not a regular file")
            target = fresh / name
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            if source is not None:
                with target.open("wb") as file:
                    shutil.copyfileobj(source, file)
                target.chmod(0o755 if member.mode & 0o100 else 0o644)
    if not (fresh / "steamcmd.sh").is_file():
        raise tarfile.TarError("the archive contains no steamcmd.sh")
    for path in sorted(fresh.iterdir(), key=lambda path: path.name == "steamcmd.sh"):
        old = directory / path.name
        if old.is_dir():
            shutil.rmtree(old)
        path.rename(old)
    fresh.rmdir()
