"""The 32-bit libraries that the game, its plugins and SteamCMD link to, and the Debian packages that hold them.

The installer, the doctor, bin/up and the messages about SteamCMD name these packages, all from the one table here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from left4me.core.processes import commands

# The libraries without which the game cannot start or a common plugin cannot load, and their packages. These are
# packages for amd64, so they need no second architecture.
PACKAGE_OF: Final = {
    "ld-linux.so.2": "libc6-i386",
    "libc.so.6": "libc6-i386",
    "libgcc_s.so.1": "lib32gcc-s1",
    "libstdc++.so.6": "lib32stdc++6",
    "libz.so.1": "lib32z1",  # of SourceMod's MySQL extension
}
# libc6-i386 comes with each of them.
PACKAGES: Final = ("lib32gcc-s1", "lib32stdc++6", "lib32z1")

_LOADERS: Final = ("/lib/ld-linux.so.2", "/lib32/ld-linux.so.2", "/usr/lib32/ld-linux.so.2")
_DIRECTORIES: Final = ("/usr/lib32", "/lib32", "/usr/lib/i386-linux-gnu", "/lib/i386-linux-gnu")
_NOT_FOUND: Final = re.compile(r"^\s*(\S+) => not found", re.MULTILINE)
_VERSION_NOT_FOUND: Final = re.compile(r"version `(\S+)' not found")
_SECONDS: Final = 30
_ELF_32_BIT: Final = b"\x7fELF\x01"


def install_command(sonames: Iterable[str] = ()) -> str:
    """The command that installs the packages of these libraries; of all without any."""
    known = {PACKAGE_OF[name] for name in sonames if name in PACKAGE_OF}
    packages = [name for name in ("libc6-i386", *PACKAGES) if name in known] or PACKAGES
    return f"apt-get install {' '.join(packages)}"


def missing() -> list[str]:
    """The libraries of the table that this machine does not have."""
    return [name for name in PACKAGE_OF if not _is_present(name)]


def missing_of(program: Path, *, library_path: Sequence[Path] = ()) -> list[str]:
    """The libraries that the loader does not find for a 32-bit `program` or library, by soname or symbol version.

    The answer is empty for what is no 32-bit ELF file. Raises commands.CommandError when ldd cannot be run.
    """
    if not is_32_bit(program):
        return []
    if not _is_present("ld-linux.so.2"):
        return ["ld-linux.so.2"]
    path = ":".join(str(directory) for directory in library_path)
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LD_LIBRARY_PATH": path, "LC_ALL": "C"}
    found = commands.run(["ldd", program], timeout=_SECONDS, env=environment, check=False)
    return sorted({*_NOT_FOUND.findall(found.output), *_VERSION_NOT_FOUND.findall(found.output)})


def is_32_bit(program: Path) -> bool:
    try:
        with program.open("rb") as file:
            return file.read(len(_ELF_32_BIT)) == _ELF_32_BIT
    except OSError:
        return False


def loader() -> str:
    """The loader of 32-bit programs. Raises FileNotFoundError."""
    found = next((path for path in _LOADERS if Path(path).exists()), None)
    if found is None:
        raise FileNotFoundError("the loader for 32-bit programs is missing")
    return found


def _is_present(soname: str) -> bool:
    if soname == "ld-linux.so.2":
        return any(Path(loader).exists() for loader in _LOADERS)
    return any(Path(directory, soname).exists() for directory in _DIRECTORIES)
