"""A real systemd in a container, one per test process, for tests with the marker `testhost`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from left4me.lib import commands

PROJECT = Path(__file__).resolve().parents[2]
_SCRIPT = PROJECT / "deploy/testhost/testhost"
_SECONDS = 600


class Testhost:
    """The checkout is /opt/left4me inside, read-only; this test process's Python works there too."""

    __test__ = False  # not a class of tests, whatever its name
    python = Path(sys.prefix).resolve() / "bin/python"

    def __init__(self, name: str) -> None:
        self._environment = {**os.environ, "TESTHOST_NAME": name}

    def up(self, *arguments: str) -> None:
        self._call("build")
        self._call("up", *arguments)
        # Python may live below root's home, and tests inside run as somebody else.
        self.sh("chmod 711 /root")

    def down(self) -> None:
        self._call("down", check=False)

    def sh(
        self, script: str, *, check: bool = True, on_line: Callable[[str], None] | None = None
    ) -> commands.Finished:
        """Run a script inside, as root."""
        return self._call("sh", script, check=check, on_line=on_line)

    def as_user(
        self, user: str, argv: list[str], *, check: bool = True, on_line: Callable[[str], None] | None = None
    ) -> commands.Finished:
        words = shlex.join(["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env", *argv])
        return self.sh(f"cd /opt/left4me && {words}", check=check, on_line=on_line)

    def cp(self, source: Path, target: str) -> None:
        self._call("cp", str(source), target)

    def reboot(self) -> None:
        self._call("reboot")

    def _call(
        self, *arguments: str, check: bool = True, on_line: Callable[[str], None] | None = None
    ) -> commands.Finished:
        return commands.run(
            [_SCRIPT, *arguments], timeout=_SECONDS, env=self._environment, check=check, on_line=on_line
        )


@pytest.fixture(scope="session")
def testhost() -> Iterator[Testhost]:
    host = Testhost(f"t{os.getpid()}")
    binds = {PROJECT: Path("/opt/left4me"), Path(sys.base_prefix): None, Path(sys.prefix).resolve(): None}
    try:
        host.up(*(f"--bind-ro={source}" + (f":{target}" if target else "") for source, target in binds.items()))
        yield host
    finally:
        host.down()
