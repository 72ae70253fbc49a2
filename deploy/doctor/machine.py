"""Checks of the machine itself. They take values and return findings, and do not use Django."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.doctor.findings import Finding, fault, ok, warning
from deploy.language import gettext as _
from left4me.core.files import room
from left4me.core.net.ports import is_free
from left4me.core.processes import commands, libraries, sandboxed

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


def loopback() -> Finding:
    """Whether games can be reached on 127.0.0.1: they know no IPv6."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError as error:
            message = _("127.0.0.1 can't be used (%(reason)s); games have no IPv6") % {"reason": error.strerror}
            cure = _("Run `ip address add 127.0.0.1/8 dev lo && ip link set lo up`. Other addresses may be IPv6 only.")
            return fault("loopback", message, cure)
    return ok("loopback", _("games can be reached on 127.0.0.1"))


def python() -> Finding:
    """Whether SQLite is new enough. Python is, or this module could not be imported."""
    versions = _("Python %(python_version)s with SQLite %(sqlite_version)s") % {
        "python_version": platform.python_version(),
        "sqlite_version": sqlite3.sqlite_version,
    }
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        return fault(
            "python", versions, _("Use a Python built with SQLite 3.35 or newer, or set DATABASE_URL to PostgreSQL.")
        )
    return ok("python", versions)


def disk(root: Path, *, game: str) -> Finding:
    """Whether the disk has room for the game."""
    free = room.free(root)
    message = _("%(free).1f GiB free under %(root)s") % {"free": free / _GIB, "root": root}
    if free < _FREE_AT_LEAST:
        return fault("disk", message, _("Free at least 2 GiB, or move LEFT4ME_ROOT to a larger disk."))
    if game == "steam" and free < _FREE_FOR_STEAM:
        return warning(
            "disk",
            message,
            _("Installing the game needs 25 GiB of free space, of which about 10 GiB stay in use. Free some space."),
        )
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
    return ok("overlayfs", _("overlays can be mounted without root"))


def _no_overlayfs(why: str) -> Finding:
    cure = _(
        "Allow user namespaces (`sysctl kernel.unprivileged_userns_clone=1`, on Ubuntu also "
        "`kernel.apparmor_restrict_unprivileged_userns=0`) and keep LEFT4ME_ROOT on ext4, xfs or btrfs."
    )
    if shutil.which("fuse-overlayfs"):
        return warning(
            "overlayfs",
            _("the kernel refuses overlay mounts (%(why)s); using fuse-overlayfs, which is slower") % {"why": why},
            cure,
        )
    return fault(
        "overlayfs",
        _("the kernel refuses overlay mounts: %(why)s") % {"why": why},
        cure + " " + _("Or install fuse-overlayfs."),
    )


def fuse_overlayfs() -> Finding:
    """Whether fuse-overlayfs, if it is installed, can be used."""
    if not shutil.which("fuse-overlayfs"):
        return ok("fuse-overlayfs", _("not installed; only needed if the kernel refuses overlayfs"))
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return warning("fuse-overlayfs", _("installed, but can't open /dev/fuse"), _("Run `chmod 0666 /dev/fuse`."))
    return ok("fuse-overlayfs", _("installed as a fallback"))


def archives() -> Finding:
    """Whether bsdtar runs in a sandbox, as it does for uploads of 7z, rar and xz. Script overlays need one too."""
    check = "archives"
    cure = _("Run `apt-get install bubblewrap libarchive-tools`.")
    missing = [name for name in ("bwrap", "bsdtar") if not shutil.which(name)]
    if missing:
        disabled = (
            _("script overlays and 7z, rar and xz archives") if "bwrap" in missing else _("7z, rar and xz archives")
        )
        return warning(
            check,
            _("%(names)s missing: %(disabled)s do not work") % {"names": " and ".join(missing), "disabled": disabled},
            cure,
        )
    try:
        commands.run(
            sandboxed.argv(["/usr/bin/bsdtar", "--version"], limits=_LIMITS, binds=sandboxed.Binds(), network=False),
            timeout=20,
        )
    except commands.CommandError as error:
        allow = _("Allow user namespaces (see overlayfs), and install bsdtar as /usr/bin/bsdtar.")
        return warning(
            check, _("bsdtar can't run in a sandbox: %(error)s") % {"error": str(error).splitlines()[-1]}, allow
        )
    return ok(check, _("7z, rar and xz archives are supported"))


def libraries_32_bit(*, game: str) -> Finding:
    """Whether the libraries of the game and of SteamCMD are installed."""
    check = "32-bit libraries"
    if game != "steam":
        return ok(check, _("not needed for the simulated game"))
    if missing := libraries.missing():
        return fault(
            check,
            _("%(names)s missing: the game and its plugins are 32-bit programs") % {"names": ", ".join(missing)},
            _("Run `%(install_command)s`.") % {"install_command": libraries.install_command(missing)},
        )
    return _runs_32_bit(check)


def _runs_32_bit(check: str) -> Finding:
    """Whether the kernel runs 32-bit programs: some distributions and boot options switch them off."""
    try:
        commands.run([libraries.loader(), "--version"], timeout=20)
    except (commands.CommandError, OSError) as error:
        return fault(
            check,
            _("installed, but this kernel can't run 32-bit programs: %(error)s")
            % {"error": str(error).splitlines()[-1]},
            _("Boot a kernel with CONFIG_IA32_EMULATION and without `ia32_emulation=0`, on an Intel or AMD CPU."),
        )
    return ok(check, _("present"))


def game_libraries(tree: Path | None, *, game: str) -> Finding:
    """Whether the loader finds every library that the programs of the installed game, in `tree`, link to."""
    check = "game libraries"
    if game != "steam" or tree is None:
        return ok(
            check, _("not needed for the simulated game") if game != "steam" else _("the game is not installed yet")
        )
    programs = [tree / "srcds_linux", *sorted((tree / "bin").glob("*.so")), tree / ".steam/sdk32/steamclient.so"]
    return _linked(check, programs, library_path=[tree / "bin", tree])


def _linked(check: str, programs: Sequence[Path], *, library_path: Sequence[Path]) -> Finding:
    missing = {
        name: program.name
        for program in programs
        for name in libraries.missing_of(program, library_path=library_path)
        # A part of the game that it does not ship for Linux is none of this machine's affairs.
        if name in libraries.PACKAGE_OF or program is programs[0]
    }
    if not missing:
        return ok(
            check,
            _("%(sum)s programs and libraries have all dependencies")
            % {"sum": sum(program.exists() for program in programs)},
        )
    named = ", ".join(f"{name} (for {program})" for name, program in missing.items())
    return fault(
        check,
        _("not found: %(named)s") % {"named": named},
        _("Run `%(install_command)s`.") % {"install_command": libraries.install_command(missing)},
    )


def steamcmd(root: Path, *, game: str) -> Finding:
    """Whether SteamCMD is installed."""
    if game != "steam":
        return ok("steamcmd", _("not needed for the simulated game"))
    home = root / "steamcmd" / "home"
    if home.exists() and not os.access(home, os.W_OK | os.X_OK):
        return fault(
            "steamcmd",
            _("can't write to its home directory %(home)s") % {"home": home},
            _("Run `chown -R left4me: %(root)s` as root.") % {"root": root / "steamcmd"},
        )
    own = root / "steamcmd" / "linux32" / "steamcmd"
    if own.exists():
        return _linked("steamcmd", [own], library_path=[own.parent])
    if shutil.which("steamcmd", path=os.environ.get("PATH", "") + ":/usr/games"):
        return ok("steamcmd", _("present"))
    return warning(
        "steamcmd",
        _("not installed yet; downloaded with the game"),
        _(
            "Nothing to do if this machine can reach Steam. Otherwise run `apt-get install steamcmd` "
            "(contrib, non-free)."
        ),
    )


def ports(range_of_servers: range, *, in_use_by_us: frozenset[int]) -> Finding:
    """Whether other programs use ports of servers, over UDP or TCP."""
    taken = [p for p in range_of_servers if p not in in_use_by_us and not is_free(p)]
    numbers = f"{range_of_servers.start}-{range_of_servers.stop - 1}"
    if not taken:
        return ok("ports", _("%(numbers)s free, except for ports of left4me servers") % {"numbers": numbers})
    examples = ", ".join(map(str, taken[:5])) + (" …" if len(taken) > 5 else "")
    return warning(
        "ports",
        _("other programs use %(count)s of the ports %(numbers)s: %(examples)s")
        % {"count": len(taken), "numbers": numbers, "examples": examples},
        _("Run `ss -lntup 'sport = :%(port)s'` to find the program. Stop it, or set LEFT4ME_PORTS to another range.")
        % {"port": taken[0]},
    )


def clock(*, ours: float, theirs: float, whose: str) -> Finding:
    """Compare this machine's clock with that of another one that it shares rows with."""
    apart = abs(ours - theirs)
    if apart > _CLOCK_SLACK_SECONDS:
        return fault(
            "clock",
            _("differs from %(whose)s by %(apart).0f s") % {"whose": whose, "apart": apart},
            _("Enable an NTP service: `timedatectl set-ntp true`."),
        )
    return ok("clock", _("matches %(whose)s") % {"whose": whose})
