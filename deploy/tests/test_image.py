"""The image of the Dockerfile, built by buildah as a user without privileges, and its web as far as its pages.

No registry of images is asked: the base is the Debian of the testhost, under the name that the Dockerfile takes as
BASE. Packages come from Debian's mirror, and Python's from the wheels that the testhost keeps.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.tests.inside import user_namespace
from deploy.tests.test_container import free_port
from left4me.testing.testhost import Testhost

pytestmark = [
    pytest.mark.image,
    pytest.mark.testhost,
    pytest.mark.machine,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]

PROJECT = Path(__file__).resolve().parents[2]
BASE = "localhost/debian:bookworm"
# Everything that the testhost adds for its own boot would only make the image larger.
_FROM_ROOT = """
container=$(buildah from scratch)
root=$(buildah mount $container)
tar --extract --numeric-owner --directory $root
ln -sf python3 $root/usr/bin/python
buildah umount $container
buildah commit --quiet $container {base}
buildah rm $container
"""


class Buildah:
    """Runs buildah in a user namespace, with its own storage."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.context = place / "context"
        self._env = {
            **os.environ,
            "HOME": str(place / "home"),
            "XDG_RUNTIME_DIR": str(place / "run"),
            "TMPDIR": str(place / "tmp"),
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_STORAGE_CONF": str(place / "storage.conf"),
        }
        for name in ("home", "run", "tmp", "storage"):
            (place / name).mkdir()
        for path in (place, *place.iterdir()):
            os.chown(path, user_namespace.FIRST, user_namespace.FIRST)
        storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{place}/storage"\nrunroot = "{place}/run/storage"\n'
        (place / "storage.conf").write_text(storage)
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *argv: str, stdin: int | None = subprocess.DEVNULL, log: str = "log") -> subprocess.Popen[bytes]:
        script = ["/usr/bin/python3", user_namespace.__file__, *argv]
        with (self.place / log).open("ab") as output:
            process = subprocess.Popen(
                script,
                stdin=stdin,
                stdout=output,
                stderr=output,
                env=self._env,
                cwd=self.place,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def run(self, *argv: str, stdin: int | None = subprocess.DEVNULL) -> str:
        """Run to the end; returns what it printed."""
        log = f"log-{len(self._running)}"
        status = self.start(*argv, stdin=stdin, log=log).wait(1500)
        said = (self.place / log).read_text(errors="replace")
        assert status == 0, f"{argv}: {said[-4000:]}"
        return said

    def import_base(self, root: Path) -> None:
        packing = ["tar", "-C", root, "--numeric-owner", "--exclude=./dev/*", "-cf", "-", "."]
        with subprocess.Popen(packing, stdout=subprocess.PIPE) as tar:
            assert tar.stdout is not None
            self.run("bash", "-euc", _FROM_ROOT.format(base=BASE), stdin=tar.stdout.fileno())
        assert tar.returncode == 0

    def take_context(self) -> None:
        """Copy what git knows or would add: a checkout may lie where this user cannot read."""
        self.context.mkdir()
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listing, cwd=PROJECT, check=True, capture_output=True).stdout
        there = b"\0".join(
            name for name in names.split(b"\0") if name and os.path.lexists(PROJECT / os.fsdecode(name))
        )
        copied = subprocess.run(
            ["tar", "-C", PROJECT, "--null", "-T", "-", "-cf", "-"], input=there, check=True, capture_output=True
        )
        subprocess.run(["tar", "-C", self.context, "--no-same-owner", "-xf", "-"], input=copied.stdout, check=True)

    def end(self) -> None:
        for process in self._running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(60)
        shutil.rmtree(self.place, ignore_errors=True)


@pytest.fixture(scope="module")
def buildah() -> Iterator[Buildah]:
    # Not in pytest's folder, which other users cannot enter; and overlays lie on no memory here.
    place = Path(tempfile.mkdtemp(prefix="left4me-image-", dir="/var/tmp"))
    place.chmod(0o755)
    buildah = Buildah(place)
    try:
        yield buildah
    finally:
        buildah.end()


@pytest.fixture(scope="module")
def image(buildah: Buildah) -> Buildah:
    host = Testhost("image")
    host.build()
    wheels = Testhost("image", kind="deploy")
    wheels.build()
    buildah.import_base(host.base())
    buildah.take_context()
    pip_conf = buildah.place / "pip.conf"
    pip_conf.write_text("[global]\nfind-links = /srv/wheels\nno-index = true\n")
    buildah.run(
        *("buildah", "bud", "--format", "docker", "--network", "host", "--build-arg", f"BASE={BASE}"),
        *("--build-arg", "RELEASE=9.8.7", "--volume", f"{wheels.wheels(PROJECT / 'requirements.txt')}:/srv/wheels:ro"),
        *("--volume", f"{pip_conf}:/etc/pip.conf:ro", "--tag", "localhost/left4me"),
        *("--file", str(buildah.context / "deploy/container/Dockerfile"), str(buildah.context)),
    )
    buildah.run("buildah", "from", "--name", "left4me", "localhost/left4me")
    return buildah


def in_image(*command: str, settings: dict[str, str] | None = None) -> list[str]:
    env = [word for name, value in (settings or {}).items() for word in ("--env", f"{name}={value}")]
    return ["buildah", "run", "--network", "host", *env, "left4me", "--", *command]


def fetched(url: str, *, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 -- on this machine
                return answer.read().decode()
        except (OSError, urllib.error.URLError):
            assert time.monotonic() < deadline, f"{url} did not answer"
            time.sleep(0.3)


def test_the_image_holds_the_application_for_an_ordinary_user(image: Buildah):
    assert image.run(*in_image("id", "-u")).strip() == "10001"
    assert image.run(*in_image("cat", "RELEASE")).strip() == "9.8.7"
    assert image.run(*in_image("find", ".", "-writable", "-not", "-type", "l")).strip() == ""


def test_its_web_answers(image: Buildah):
    port = free_port()
    settings = {"LEFT4ME_SECRET_KEY": "k" * 40, "LEFT4ME_ALLOWED_HOSTS": "127.0.0.1", "LEFT4ME_GAME": "simulated"}
    image.run(*in_image("python", "manage.py", "migrate", "--no-input", "--verbosity", "0", settings=settings))
    dockerfile = (PROJECT / "deploy/container/Dockerfile").read_text()
    [command] = re.findall(r"(?m)^CMD (.*)$", dockerfile)
    [bind] = re.findall(r"(?m)^ENV LEFT4ME_BIND=(.*)$", dockerfile)
    settings["LEFT4ME_BIND"] = bind.replace("8000", str(port))
    # In the foreground, so that it stays in the group of processes that is ended.
    image.start(*in_image("timeout", "--foreground", "300", *json.loads(command), settings=settings), log="web")
    assert fetched(f"http://127.0.0.1:{port}/health", seconds=120)
    page = fetched(f"http://127.0.0.1:{port}/accounts/login/", seconds=20)
    style = re.search(r'href="(/static/[^"]+\.css)"', page)
    assert style is not None
    assert fetched(f"http://127.0.0.1:{port}{style[1]}", seconds=20)
