from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from left4me.core.processes import libraries
from left4me.testing.needs import NEEDS
from left4me.testing.testhost import CHECKOUT, PROJECT, Testhost
from servers.gamehost.port import State
from servers.gamehost.systemd import units
from servers.gamehost.tests.i386 import game

UNITS = ("left4me-server@.service", "left4me.slice")

pytestmark = [pytest.mark.timeout(900)]  # the first run builds the container


@pytest.fixture(scope="module")
def installed(testhost: Testhost) -> Testhost:
    for name in UNITS:
        testhost.cp(PROJECT / "deploy/systemd" / name, f"/etc/systemd/system/{name}")
    testhost.cp(PROJECT / "deploy/polkit/50-left4me.rules", "/etc/polkit-1/rules.d/50-left4me.rules")
    testhost.sh(
        "id left4me || useradd --system --home-dir /var/lib/left4me --groups systemd-journal left4me;"
        "install -d -o left4me -g left4me -m 0750 /var/lib/left4me;"
        "mkdir -p /etc/systemd/system/left4me-server@.service.d;"
        # The pauses and patience of production would only make the tests longer.
        "printf '[Unit]\\nStartLimitBurst=3\\n[Service]\\nRestartSec=100ms\\n'"
        " > /etc/systemd/system/left4me-server@.service.d/quick.conf;"
        "systemctl daemon-reload"
    )
    if NEEDS["i386"].met():
        _lay_32_bit_game(testhost)
    return testhost


def _lay_32_bit_game(testhost: Testhost) -> None:
    """Build it here, where the compiler is, and take the libraries along that packages bring to a real machine."""
    with tempfile.TemporaryDirectory() as place:
        game.build(Path(place) / "tree")
        testhost.cp(Path(place) / "tree", game.BUILT)
        narrow = Path(place) / "lib32"
        narrow.mkdir()
        for name in (*libraries.PACKAGE_OF, "libm.so.6"):
            shutil.copy(Path("/usr/lib32", name), narrow / name)
        testhost.cp(narrow, "/usr/lib32")
    testhost.sh(
        "ln -sfn usr/lib32 /lib32; ln -sf /usr/lib32/ld-linux.so.2 /usr/lib/ld-linux.so.2;"
        "echo /usr/lib32 > /etc/ld.so.conf.d/zz_i386-biarch-compat.conf; ldconfig; chmod 755 /usr/lib32 /usr/lib32/*;"
        f"chmod -R a+rX {game.BUILT}"
    )


@pytest.mark.testhost
@pytest.mark.slow
def test_the_units_hold_no_typing_mistake_and_stay_hardened(installed: Testhost) -> None:
    paths = " ".join(f"/etc/systemd/system/{name}" for name in UNITS)
    installed.sh(f"systemd-analyze verify --man=no --recursive-errors=no {paths}")
    installed.sh(f"systemd-analyze security --offline=true --threshold=23 {paths.split()[0]}")


@pytest.mark.testhost
@pytest.mark.slow
def test_the_contract_holds_over_systemd(installed: Testhost) -> None:
    options = ["-q", "-vv", "-c", "/dev/null", f"--rootdir={CHECKOUT}", "--noconftest", "--import-mode=importlib"]
    plugins = ["-p", "no:django", "-p", "no:cacheprovider", "-p", "no:valkey", "-p", "no:hypothesispytest"]
    python = ["env", f"PYTHONPATH={CHECKOUT}", "PYTHONDONTWRITEBYTECODE=1", str(installed.python)]
    inside = [*python, "-m", "pytest", *options, *plugins, "servers/gamehost/tests/inside_testhost.py"]
    done = installed.as_user("left4me", inside, check=False)
    assert done.status == 0, done.output[-20_000:]


def test_a_figure_that_systemd_does_not_have_is_none() -> None:
    unit = units._read({"MemoryCurrent": "[not set]", "TasksCurrent": str(2**64 - 1), "MainPID": "0"})
    assert (unit.memory, unit.tasks, unit.pid, unit.started_at) == (None, None, None, None)


@pytest.mark.parametrize(
    ("active", "sub", "state"),
    [
        ("active", "running", State.RUNNING),
        ("activating", "start", State.STARTING),
        ("activating", "auto-restart", State.CRASHED),
        ("deactivating", "stop-sigterm", State.STOPPING),
        ("failed", "failed", State.GAVE_UP),
        ("inactive", "dead", State.STOPPED),
        ("", "", State.UNKNOWN),
    ],
)
def test_each_state_of_a_unit_has_one_meaning(active: str, sub: str, state: State) -> None:
    assert units._read({"ActiveState": active, "SubState": sub}).state is state
