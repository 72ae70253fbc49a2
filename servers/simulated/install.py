"""Installs the simulated game: a tree that looks like an installed L4D2 dedicated server."""

from __future__ import annotations

import hashlib
import shlex
import stat
import sys
from pathlib import Path

from left4me.core.files import atomic
from left4me.core.processes import commands
from servers.simulated import stock

_PROGRAM = "bin/simulated"
_SYSTEM_PYTHON = Path("/usr/bin/python3")
_COMPILE_SECONDS = 60

# -I -S: nothing from the environment, the user's site or the tree's own files, and half the memory.
_RUN = """\
#!/bin/sh
# The simulated game, started as srcds_run is: Valve's script also puts its arguments into one string, which the shell
# splits and expands again.
cd -- "$(dirname -- "$0")" || exit 1
exec {python} -I -S -B -c \
'import sys; sys.path.insert(0, sys.argv.pop(1)); from srcds.server import main; sys.exit(main())' \
"$PWD/{program}" $*
"""


def install(target: Path, *, python: str | None = None) -> None:
    """Write the tree into `target`, which may contain an older or partial one. Running servers are not disturbed.

    `python` is the interpreter of the game. The default is the system's own instead of the one running now, since the
    sandbox contains only /usr. Raises commands.CommandError when it does not work.
    """
    interpreter = python or _default_python()
    for name, text in stock.files().items():
        _write(target / name, text.encode())
    program = target / _PROGRAM / "srcds"
    sources = _program_files()
    for path in sources:
        _write(program / path.name, path.read_bytes())
    for stale in {path.name for path in program.glob("*.py")} - {path.name for path in sources}:
        (program / stale).unlink()
    _compile(program, interpreter)
    _open_to_all(target)
    # Last, so that a tree with srcds_run is complete.
    _write(target / "srcds_run", _RUN.format(python=shlex.quote(interpreter), program=_PROGRAM).encode(), mode=0o755)


def build() -> str:
    """A digest of everything that `install` writes: another program or other stock files are another build."""
    digest = hashlib.sha256(repr(sorted(stock.files().items())).encode())
    for path in _program_files():
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def _program_files() -> list[Path]:
    source = Path(__file__).parent / "srcds"
    return sorted(path for path in source.iterdir() if path.suffix in (".py", ".txt"))


def _default_python() -> str:
    return str(_SYSTEM_PYTHON if _SYSTEM_PYTHON.exists() else Path(sys.executable).resolve())


def _compile(program: Path, interpreter: str) -> None:
    """Compile in advance: the tree is read-only for the servers, so that every start would compile again."""
    options = ("-q", "-f", "--invalidation-mode", "unchecked-hash")
    commands.run([interpreter, "-I", "-m", "compileall", *options, program], timeout=_COMPILE_SECONDS)


def _open_to_all(target: Path) -> None:
    """Make all files readable for everyone: servers run as another user, and the umask may be restrictive."""
    for path in [target, *target.rglob("*")]:
        mode = path.lstat().st_mode
        needed = 0o755 if stat.S_ISDIR(mode) else 0o644
        if not stat.S_ISLNK(mode) and mode & needed != needed:
            path.chmod(stat.S_IMODE(mode) | needed)


def _write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file by rename, readable for everyone, since servers run as another user."""
    if path.is_file() and path.read_bytes() == data and path.stat().st_mode & 0o777 == mode:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, data, mode=mode, durable=False)
