"""Writes the simulated game as a tree that looks like an installed L4D2 dedicated server."""

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
# The simulated game, started as srcds_run is.
cd -- "$(dirname -- "$0")" || exit 1
exec {python} -I -S -B -c \
'import sys; sys.path.insert(0, sys.argv.pop(1)); from srcds.engine import main; sys.exit(main())' \
"$PWD/{program}" "$@"
"""


def install(target: Path, *, python: str | None = None) -> None:
    """Write the tree into `target`, which may hold an older or a partial one; running servers are not disturbed.

    `python` is the interpreter the game runs on; a sandbox that shows only /usr must find it there, so the
    system's own is preferred to the one running now. Raises commands.CommandError when it does not work.
    """
    interpreter = python or _default_python()
    for name, text in stock.files().items():
        _write(target / name, text.encode())
    program = target / _PROGRAM / "srcds"
    wanted = _program_files()
    for path in wanted:
        _write(program / path.name, path.read_bytes())
    for stale in {path.name for path in program.glob("*.py")} - {path.name for path in wanted}:
        (program / stale).unlink()
    _compile(program, interpreter)
    _open_to_all(target)
    # Last, so that a tree with srcds_run is a whole one.
    _write(target / "srcds_run", _RUN.format(python=shlex.quote(interpreter), program=_PROGRAM).encode(), mode=0o755)


def build() -> str:
    """Names what `install` writes: another program or other stock files, another build."""
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
    """Compile ahead: the tree is read-only to the servers, and a hundred starts would compile a hundred times."""
    options = ("-q", "-f", "--invalidation-mode", "unchecked-hash")
    commands.run([interpreter, "-I", "-m", "compileall", *options, program], timeout=_COMPILE_SECONDS)


def _open_to_all(target: Path) -> None:
    """Servers run as another user, and this process may have a tight umask."""
    for path in [target, *target.rglob("*")]:
        mode = path.lstat().st_mode
        wanted = 0o755 if stat.S_ISDIR(mode) else 0o644
        if not stat.S_ISLNK(mode) and mode & wanted != wanted:
            path.chmod(stat.S_IMODE(mode) | wanted)


def _write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace by rename, readable for all: servers run as another user."""
    if path.is_file() and path.read_bytes() == data and path.stat().st_mode & 0o777 == mode:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, data, mode=mode, durable=False)
