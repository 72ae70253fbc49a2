"""A real systemd in a container, for tests with the marker `testhost`: bare, or as a machine to install left4me on."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from left4me.core.processes import commands

PROJECT = Path(__file__).resolve().parents[2]
CHECKOUT = "/opt/left4me/current"
_SCRIPT = PROJECT / "deploy/testhost/testhost"
_SECONDS = 600
_MEMORY = Path("/dev/shm")  # noqa: S108 -- removed with the instance
_ROOM = 8 * 1024**3

# Found by pip in every virtual environment inside, so that an installation needs no network there.
_PIP_CONF = "[global]\nfind-links = /srv/wheels\nno-index = true\n"


def _memory_will_do() -> bool:
    """Whether instances may be kept in memory, where small files cost nothing; the layers of games need Linux 6.6."""
    release = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    return release >= (6, 6) and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM


class Testhost:
    """A container. As the fixture `testhost` starts it, the checkout is /opt/left4me/current inside, read-only, and
    this test process's Python works there too."""

    __test__ = False  # not a class of tests, whatever its name
    python = Path(sys.prefix).resolve() / "bin/python"

    def __init__(self, name: str, *, kind: str = "bare", net: str = "private", release: str = "") -> None:
        self.name = name
        self._environment = {**os.environ, "TESTHOST_NAME": name, "TESTHOST_KIND": kind, "TESTHOST_NET": net}
        if release:
            self._environment["TESTHOST_RELEASE"] = release
        if kind == "deploy" and _memory_will_do():
            self._environment["TESTHOST_INSTANCES"] = str(_MEMORY)

    def up(self, *arguments: str) -> None:
        self._call("build")
        self._call("up", *arguments)
        # Python may be installed below root's home, and tests inside run as other users.
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
        return self.sh(f"cd {CHECKOUT} && {words}", check=check, on_line=on_line)

    def cp(self, source: Path, target: str) -> None:
        self._call("cp", str(source), target)

    def get(self, source: str, target: Path) -> None:
        """Copy a file or directory out of the machine."""
        self._call("get", source, str(target))

    def write(self, target: str, text: str) -> None:
        """Write a file inside."""
        with tempfile.TemporaryDirectory() as place:
            source = Path(place) / "file"
            source.write_text(text)
            self.cp(source, target)

    def reboot(self) -> None:
        self._call("reboot")

    def base(self) -> Path:
        """The directory that instances are copied from."""
        return Path(self._call("base").output.strip().splitlines()[-1])

    def wheels(self, lock_file: Path) -> Path:
        """A directory with the packages of a lock file for the Python inside."""
        return Path(self._call("wheels", str(lock_file)).output.strip().splitlines()[-1])

    def venvs(self, checkout: Path) -> Path:
        """What an installation from `checkout` makes as /opt/left4me/venvs."""
        return Path(self._call("venvs", str(checkout)).output.strip().splitlines()[-1])

    def build(self) -> None:
        self._call("build")

    def _call(
        self, *arguments: str, check: bool = True, on_line: Callable[[str], None] | None = None
    ) -> commands.Finished:
        return commands.run(
            [_SCRIPT, *arguments], timeout=_SECONDS, env=self._environment, check=check, on_line=on_line
        )


def machine_of(name: str, *, net: str = "private", arguments: tuple[str, ...] = ()) -> Testhost:
    """Boot a Debian on which nothing of left4me is installed and everything is there that an installation fetches.

    /srv/left4me.git holds this checkout as it is, with what is not committed yet, on the branch `main`. The Python
    environment is there already; only an installation after a removal makes it with pip.
    """
    host = Testhost(name, kind="deploy", net=net)
    host.build()
    wheels, venvs = host.wheels(PROJECT / "requirements.txt"), host.venvs(PROJECT)
    host.up(f"--bind-ro={wheels}:/srv/wheels", *arguments)
    host.sh("mkdir /opt/left4me")
    host.cp(venvs, "/opt/left4me/venvs")
    host.write("/etc/pip.conf", _PIP_CONF)
    with tempfile.TemporaryDirectory() as place:
        bare = Path(place) / "left4me.git"
        clone_as_it_is(bare)
        host.cp(bare, "/srv/left4me.git")
    return host


def clone_as_it_is(target: Path) -> None:
    """A bare repository with one branch, `main`: HEAD, and on it what the working tree has beyond it."""
    with tempfile.TemporaryDirectory() as place:
        # An index of its own: the developer's stays as it is.
        env = {**os.environ, "GIT_INDEX_FILE": f"{place}/index"}
        for name in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{name}_NAME": "left4me", f"GIT_{name}_EMAIL": "left4me@localhost"}

        def git(*arguments: str, where: Path = PROJECT) -> str:
            return commands.run(["git", "-C", where, *arguments], timeout=_SECONDS, env=env).output.strip()

        git("read-tree", "HEAD")
        git("add", "--all")
        tree, head = git("write-tree"), git("rev-parse", "HEAD")
        # The same tree is the same commit, and so the same release, on every machine.
        env |= dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), git("log", "-1", "--format=%cI"))
        commit = head if tree == git("rev-parse", "HEAD^{tree}") else git("commit-tree", tree, "-p", head, "-m", "Now")
        commands.run(["git", "init", "--quiet", "--bare", target], timeout=_SECONDS)
        git("fetch", "--quiet", "--update-shallow", str(PROJECT), f"{commit}:refs/heads/main", where=target)
        git("symbolic-ref", "HEAD", "refs/heads/main", where=target)


@pytest.fixture(scope="session")
def testhost() -> Iterator[Testhost]:
    binds: dict[Path, Path | None] = {PROJECT: Path(CHECKOUT), Path(sys.prefix).resolve(): None}
    release = ""
    if Path(sys.base_prefix) == Path("/usr"):
        # This machine's /usr would take the place of systemd inside. The same Debian has the same Python.
        release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    else:
        binds[Path(sys.base_prefix)] = None
    host = Testhost(f"t{os.getpid()}", release=release)
    try:
        host.up(*(f"--bind-ro={source}" + (f":{target}" if target else "") for source, target in binds.items()))
        yield host
    finally:
        host.down()


@pytest.fixture(scope="module")
def machine(request: pytest.FixtureRequest) -> Iterator[Testhost]:
    """A fresh machine for the tests of one module, from `machine_of`."""
    name = f"m{os.getpid()}-{request.path.stem.removeprefix('test_')[:20].strip('_').replace('_', '-')}"
    host = Testhost(name, kind="deploy")
    try:
        yield machine_of(name)
    finally:
        host.down()
