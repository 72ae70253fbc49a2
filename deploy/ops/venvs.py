"""Python environments. Releases with the same lock file share one, so that most upgrades install no packages.

An environment is built once, sealed, and not changed afterwards; the `.venv` of a release is a link to it. One that no
longer matches its seal (because of a disk fault, a power cut or a call of pip) is not used for further releases.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy.language import gettext as _
from deploy.ops.layout import Layout
from left4me.core.files import atomic
from left4me.core.processes import commands

_SEAL: Final = ".sealed"
_SECONDS: Final = 600
_PIP_SECONDS: Final = 1800
_NO_NETWORK: Final = re.compile(
    r"connection|resolve|network|timed out|retries|No matching distribution", re.IGNORECASE
)


class NoNetwork(Exception):
    """The packages cannot be downloaded; the message contains the reason and the cure."""


def provide(layout: Layout, tree: Path) -> None:
    """Give the release in `tree` an environment with the packages of its lock file.

    Raises CommandError, and NoNetwork.
    """
    lock = tree / "requirements.txt"
    venv = _place(layout, _key(lock))
    if not is_sealed(venv):
        _remove(venv)  # the remains of an interrupted build
        _build(venv, lock)
        _seal(venv)
    (tree / ".venv").symlink_to(os.path.relpath(venv, tree))


def prune(layout: Layout) -> None:
    """Remove the environments that no release uses."""
    if layout.venvs.is_dir():
        used = set(_used(layout))
        for venv in layout.venvs.iterdir():
            if venv.resolve() not in used:
                _remove(venv)


def is_sealed(venv: Path) -> bool:
    """Whether the environment was built completely and is unchanged since then."""
    try:
        return (venv / _SEAL).read_text() == _fingerprint(venv)
    except OSError:
        return False


def _key(lock: Path) -> str:
    """A digest of the lock file and of the Python that makes the environment, which a new Debian replaces."""
    python = commands.run(["python3", "-c", "import sys; print(sys.version, sys.base_prefix)"], timeout=_SECONDS)
    return hashlib.sha256(lock.read_bytes() + python.output.encode()).hexdigest()[:16]


def _place(layout: Layout, key: str) -> Path:
    """The directory of the sealed environment, else an unused one: an environment in use is never built again."""
    used = set(_used(layout))
    places = (layout.venvs / f"{key}-{number}" for number in itertools.count(1))
    return next(venv for venv in places if is_sealed(venv) or venv.resolve() not in used)


def _used(layout: Layout) -> Iterator[Path]:
    for link in layout.releases.glob("*/.venv"):
        yield link.resolve()


def _build(venv: Path, lock: Path) -> None:
    venv.parent.mkdir(parents=True, exist_ok=True)
    commands.run(["python3", "-m", "venv", venv], timeout=_SECONDS)
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes", "--no-deps"]
    pip: list[str | Path] = [venv / "bin/python", "-m", "pip", "install", *options, "-r", lock]
    try:
        commands.run(pip, timeout=_PIP_SECONDS)
    except commands.CommandFailed as error:
        if _NO_NETWORK.search(error.tail):
            raise NoNetwork(
                _(
                    "The Python packages could not be fetched: %(tail)s\nCheck this machine's network or proxy "
                    "(/etc/pip.conf), then run the command again."
                )
                % {"tail": error.tail}
            ) from error
        raise


def _seal(venv: Path) -> None:
    atomic.write(venv / _SEAL, _fingerprint(venv), mode=0o644, durable=True)


def _fingerprint(venv: Path) -> str:
    """A digest of names, sizes and times of all files except the compiled ones, which Python may write at any time."""
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(venv):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            if not name.startswith(_SEAL):
                path = Path(folder, name)
                status = path.lstat()
                digest.update(f"{path.relative_to(venv)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _remove(venv: Path) -> None:
    if venv.exists():
        shutil.rmtree(venv)
