"""Checks of the machine itself. They take values and return findings, and do not use Django."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import tempfile
from pathlib import Path

from deploy.doctor.findings import Finding, fault, ok, warning
from left4me.core.files import room
from left4me.core.net.ports import is_free
from left4me.core.processes import commands, sandboxed

_GIB = 1024**3
# During the first installation of the real game, its Windows and its Linux files exist at the same time.
_FREE_FOR_STEAM = 25 * _GIB
_FREE_AT_LEAST = 2 * _GIB
_OLDEST_SQLITE = (3, 35, 0)
_LIMITS = sandboxed.Limits(memory=2 * _GIB, largest_file=0)
_CLOCK_SLACK_SECONDS = 30.0

_MOUNT_AND_LOOK = """
set -e
cd "$1"
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,userxattr merged
cat merged/probe
"""


def python() -> Finding:
    """Whether SQLite is new enough. Python is, or this module could not be imported."""
    versions = f"Python {platform.python_version()} with SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        return fault(
            "python", versions, "Use a Python built with SQLite 3.35 or newer, or set DATABASE_URL to PostgreSQL."
        )
    return ok("python", versions)


def disk(root: Path, *, game: str) -> Finding:
    """Whether the disk has room for the game."""
    free = room.free(root)
    message = f"{free / _GIB:.1f} GiB free under {root}"
    if free < _FREE_AT_LEAST:
        return fault("disk", message, "Free at least 2 GiB, or move LEFT4ME_ROOT to a larger disk.")
    if game == "steam" and free < _FREE_FOR_STEAM:
        return warning("disk", message, "The first installation of the game needs 25 GiB, later about 10 are used.")
    return ok("disk", message)


def overlayfs(root: Path) -> Finding:
    """Mount a real overlay in a user namespace, on the file system that servers use."""
    parent = root if root.is_dir() else Path(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=parent) as name:
        directory = Path(name)
        for part in ("lower", "upper", "work", "merged"):
            (directory / part).mkdir()
        (directory / "lower" / "probe").write_text("seen")
        namespace = ["unshare", "--user", "--map-root-user", "--mount"]
        argv = [*namespace, "sh", "-c", _MOUNT_AND_LOOK, "sh", str(directory)]
        try:
            commands.run(argv, timeout=20)
        except commands.CommandError as error:
            return _no_overlayfs(str(error).splitlines()[-1])
    return ok("overlayfs", "overlays can be mounted without root")


def _no_overlayfs(why: str) -> Finding:
    cure = (
        "Allow user namespaces (`sysctl kernel.unprivileged_userns_clone=1`, on Ubuntu also "
        "`kernel.apparmor_restrict_unprivileged_userns=0`) and keep LEFT4ME_ROOT on ext4, xfs or btrfs."
    )
    if shutil.which("fuse-overlayfs"):
        return warning("overlayfs", f"the kernel refuses them ({why}); fuse-overlayfs is used, which is slower", cure)
    return fault("overlayfs", f"the kernel refuses them: {why}", cure + " Or install fuse-overlayfs.")


def fuse_overlayfs() -> Finding:
    """Whether fuse-overlayfs, if it is installed, can be used."""
    if not shutil.which("fuse-overlayfs"):
        return ok("fuse-overlayfs", "not installed; needed only where the kernel refuses overlayfs")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return warning("fuse-overlayfs", "installed, but /dev/fuse cannot be opened", "Run `chmod 0666 /dev/fuse`.")
    return ok("fuse-overlayfs", "installed, as a fallback")


def archives() -> Finding:
    """Whether bsdtar runs in a sandbox, as it does for uploads of 7z, rar and xz. Script overlays need one too."""
    check = "archives"
    cure = "Run `apt-get install bubblewrap libarchive-tools`."
    missing = [name for name in ("bwrap", "bsdtar") if not shutil.which(name)]
    if missing:
        disabled = "script overlays and 7z, rar and xz archives" if "bwrap" in missing else "7z, rar and xz archives"
        return warning(check, f"{' and '.join(missing)} missing: {disabled} do not work", cure)
    try:
        commands.run(
            sandboxed.argv(["/usr/bin/bsdtar", "--version"], limits=_LIMITS, binds=sandboxed.Binds(), network=False),
            timeout=20,
        )
    except commands.CommandError as error:
        allow = "Allow user namespaces, see overlayfs, and keep bsdtar where Debian puts it: /usr/bin/bsdtar."
        return warning(check, f"bsdtar does not run in a sandbox: {str(error).splitlines()[-1]}", allow)
    return ok(check, "7z, rar and xz are unpacked, in a sandbox")


def libraries_32_bit(*, game: str) -> Finding:
    """Whether the libraries of the game and of SteamCMD are installed."""
    check = "32-bit libraries"
    if game != "steam":
        return ok(check, "not needed by the simulated game")
    libraries = ("/lib/ld-linux.so.2", "/usr/lib32/libstdc++.so.6", "/usr/lib32/libgcc_s.so.1")
    multiarch = ("/lib/ld-linux.so.2", "/usr/lib/i386-linux-gnu/libstdc++.so.6", "/lib/i386-linux-gnu/libgcc_s.so.1")
    if any(all(Path(p).exists() for p in paths) for paths in (libraries, multiarch)):
        return ok(check, "present")
    return fault(
        check,
        "missing: the game is a 32-bit program",
        "Run `dpkg --add-architecture i386 && apt-get update && apt-get install lib32gcc-s1 lib32stdc++6 "
        "libsdl2-2.0-0:i386`.",
    )


def steamcmd(root: Path, *, game: str) -> Finding:
    """Whether SteamCMD is installed."""
    if game != "steam":
        return ok("steamcmd", "not needed by the simulated game")
    if shutil.which("steamcmd") or (root / "steamcmd" / "steamcmd.sh").exists():
        return ok("steamcmd", "present")
    return warning(
        "steamcmd",
        "not installed yet; the first installation of the game downloads it",
        "Nothing to do if this machine reaches Steam; otherwise `apt-get install steamcmd` (contrib, non-free).",
    )


def ports(range_of_servers: range, *, in_use_by_us: frozenset[int]) -> Finding:
    """Whether other programs use ports of servers, over UDP or TCP."""
    taken = [p for p in range_of_servers if p not in in_use_by_us and not is_free(p)]
    numbers = f"{range_of_servers.start}-{range_of_servers.stop - 1}"
    if not taken:
        return ok("ports", f"{numbers} are free, except for those of our own servers")
    examples = ", ".join(map(str, taken[:5])) + (" …" if len(taken) > 5 else "")
    return warning(
        "ports",
        f"other programs use {len(taken)} of the ports {numbers}: {examples}",
        f"`ss -lntup 'sport = :{taken[0]}'` shows which; stop it, or choose another range in LEFT4ME_PORTS.",
    )


def clock(*, ours: float, theirs: float, whose: str) -> Finding:
    """Compare this machine's clock with that of another one that it shares rows with."""
    apart = abs(ours - theirs)
    if apart > _CLOCK_SLACK_SECONDS:
        return fault(
            "clock", f"{apart:.0f} s apart from {whose}", "Run an NTP service, e.g. `timedatectl set-ntp true`."
        )
    return ok("clock", f"agrees with {whose}")
