"""What the steps of a machine's life need of a machine, and the repository that it was installed from."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

INSIDE = Path(__file__).resolve().parent / "inside"
# Where the machine's operator cloned from; new releases are committed there.
ORIGIN = "/srv/left4me.git"


class Output(Protocol):
    status: int
    output: str


class Machine(Protocol):
    def sh(self, script: str, *, check: bool = True) -> Output: ...
    def cp(self, source: Path, target: str) -> None: ...
    def get(self, source: str, target: Path) -> None: ...
    def reboot(self) -> None: ...


def at_origin(script: str) -> str:
    """A script that runs in a working tree of the repository of origin and pushes what it commits."""
    identity = "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b"
    return f"""
        set -e; {identity}
        [ -d /root/origin ] || git clone --quiet {ORIGIN} /root/origin
        cd /root/origin
        {script}
        git push --quiet origin HEAD
    """
