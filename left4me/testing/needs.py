"""Markers of tests that need more than Python. Without it they are skipped with the cure; in CI they fail."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from left4me.core.processes import commands, libraries


@dataclass(frozen=True)
class Need:
    met: Callable[[], bool]
    cure: str


@functools.cache
def _builds_images() -> bool:
    """Whether a user namespace for containers can be made; not in one that has too few users itself."""
    if os.geteuid() != 0 or not _program("buildah"):
        return False
    program = Path(__file__).resolve().parents[2] / "deploy/tests/inside/user_namespace.py"
    try:
        commands.run(["/usr/bin/python3", program, "true"], timeout=20)
    except commands.CommandError:
        return False
    return True


def _program(*names: str) -> bool:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return all(shutil.which(name, path=path) for name in names)


def _library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


@functools.cache
def _makes_environments() -> bool:
    return commands.run(["python3", "-c", "import ensurepip"], timeout=60, check=False).status == 0


@functools.cache
def _compiles_for_32_bit() -> bool:
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "probe.c"
        source.write_text("int main(void) { return 0; }\n")
        try:
            commands.run(["gcc", "-m32", "-o", source.with_suffix(""), source], timeout=60)
            commands.run([source.with_suffix("")], timeout=10)
        except commands.CommandError:
            return False
    return True


NEEDS = {
    "browser": Need(
        lambda: _program("chromium-headless-shell") and _library("libatomic.so.1"),
        "needs Chromium, and what its driver is linked with: apt-get install chromium-headless-shell libatomic1",
    ),
    "notifications": Need(lambda: _program("chromium"), "needs all of Chromium: apt-get install chromium"),
    "nftables": Need(
        lambda: os.geteuid() == 0 and _program("nft", "ip"), "needs root and: apt-get install nftables iproute2"
    ),
    "archives": Need(lambda: _program("bwrap", "bsdtar"), "needs: apt-get install bubblewrap libarchive-tools"),
    "i386": Need(
        _compiles_for_32_bit,
        f"needs a 32-bit compiler and libraries: apt-get install gcc gcc-multilib {' '.join(libraries.PACKAGES)}",
    ),
    "venv": Need(_makes_environments, "needs: apt-get install python3-venv"),
    "image": Need(_builds_images, "needs root, user namespaces and: apt-get install buildah"),
    "signatures": Need(lambda: _program("ssh-keygen"), "needs: apt-get install openssh-client"),
    "testhost": Need(
        lambda: os.geteuid() == 0 and _program("systemd-nspawn", "debootstrap"),
        "needs root and: apt-get install systemd-container debootstrap",
    ),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, need in NEEDS.items():
        if item.get_closest_marker(marker) is None or need.met():
            continue
        if os.environ.get("CI"):
            pytest.fail(f"CI runs every test, but this one {need.cure}", pytrace=False)
        pytest.skip(need.cure)
