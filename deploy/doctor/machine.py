"""Checks of the machine itself: values in, findings out, no Django."""

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
# The first install of the real game holds the Windows and the Linux files at once.
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
    """The interpreter runs this line, so it is new enough; the SQLite it was built with may not be."""
    words = f"Python {platform.python_version()} with SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        return fault(
            "python", words, "Use a Python built with SQLite 3.35 or newer, or set DATABASE_URL to PostgreSQL."
        )
    return ok("python", words)


def disk(root: Path, *, game: str) -> Finding:
    free = room.free(root)
    words = f"{free / _GIB:.1f} GiB free under {root}"
    if free < _FREE_AT_LEAST:
        return fault("disk", words, "Free at least 2 GiB, or move LEFT4ME_ROOT to a larger disk.")
    if game == "steam" and free < _FREE_FOR_STEAM:
        return warning("disk", words, "The first install of the game needs 25 GiB free; afterwards about 10 are used.")
    return ok("disk", words)


def overlayfs(root: Path) -> Finding:
    """Mount a real overlay in a user namespace, on the file system that servers will use."""
    place = root if root.is_dir() else Path(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=place) as name:
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
        return warning("overlayfs", f"the kernel refuses ({why}); fuse-overlayfs is used, which is slower", cure)
    return fault("overlayfs", f"the kernel refuses: {why}", cure + " Or install fuse-overlayfs.")


def fuse_overlayfs() -> Finding:
    if not shutil.which("fuse-overlayfs"):
        return ok("fuse-overlayfs", "not installed; needed only where the kernel's overlayfs is refused")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return warning("fuse-overlayfs", "installed, but /dev/fuse cannot be opened", "Run `chmod 0666 /dev/fuse`.")
    return ok("fuse-overlayfs", "installed, as a fallback")


def archives() -> Finding:
    """See whether bsdtar runs in a sandbox: it reads uploads of 7z, rar and xz. So do script overlays."""
    check = "archives"
    cure = "Run `apt-get install bubblewrap libarchive-tools`."
    missing = [name for name in ("bwrap", "bsdtar") if not shutil.which(name)]
    if missing:
        costs = "script overlays and 7z, rar and xz archives" if "bwrap" in missing else "7z, rar and xz archives"
        return warning(check, f"{' and '.join(missing)} missing: {costs} do not work", cure)
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
    check = "32-bit libraries"
    if game != "steam":
        return ok(check, "not needed by the simulated game")
    wanted = ("/lib/ld-linux.so.2", "/usr/lib32/libstdc++.so.6", "/usr/lib32/libgcc_s.so.1")
    multiarch = ("/lib/ld-linux.so.2", "/usr/lib/i386-linux-gnu/libstdc++.so.6", "/lib/i386-linux-gnu/libgcc_s.so.1")
    if any(all(Path(p).exists() for p in paths) for paths in (wanted, multiarch)):
        return ok(check, "present")
    return fault(
        check,
        "missing: the game is a 32-bit program",
        "Run `dpkg --add-architecture i386 && apt-get update && apt-get install lib32gcc-s1 lib32stdc++6 "
        "libsdl2-2.0-0:i386`.",
    )


def steamcmd(root: Path, *, game: str) -> Finding:
    if game != "steam":
        return ok("steamcmd", "not needed by the simulated game")
    if shutil.which("steamcmd") or (root / "steamcmd" / "steamcmd.sh").exists():
        return ok("steamcmd", "present")
    return warning(
        "steamcmd",
        "not there yet; the first install of the game fetches it",
        "Nothing to do when this machine reaches Steam; otherwise `apt-get install steamcmd` (contrib, non-free).",
    )


def ports(wanted: range, *, in_use_by_us: frozenset[int]) -> Finding:
    """See whether the servers' ports are free of other programs, over UDP and TCP."""
    taken = [p for p in wanted if p not in in_use_by_us and not is_free(p)]
    words = f"{wanted.start}-{wanted.stop - 1}"
    if not taken:
        return ok("ports", f"{words} are free, but for those of our own servers")
    listed = ", ".join(map(str, taken[:5])) + (" …" if len(taken) > 5 else "")
    return warning(
        "ports",
        f"other programs use {len(taken)} of the ports {words}: {listed}",
        f"`ss -lntup 'sport = :{taken[0]}'` shows which; stop it, or choose another range in LEFT4ME_PORTS.",
    )


def clock(*, ours: float, theirs: float, whose: str) -> Finding:
    """Compare this machine's clock with another one that its rows meet."""
    apart = abs(ours - theirs)
    if apart > _CLOCK_SLACK_SECONDS:
        return fault(
            "clock", f"{apart:.0f} s apart from {whose}", "Run an NTP service, e.g. `timedatectl set-ntp true`."
        )
    return ok("clock", f"agrees with {whose}")
