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
    "archives": Need(lambda: _program("bwrap", "bsdtar"), "needs: apt-get install bubblewrap libarchive-tools"),
    "i386": Need(
        _compiles_for_32_bit,
        f"needs a 32-bit compiler and libraries: apt-get install gcc gcc-multilib {' '.join(libraries.PACKAGES)}",
    ),
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
