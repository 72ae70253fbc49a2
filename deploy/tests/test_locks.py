"""What may hold up or end an upgrade: whoever can open its lock files, and signals."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from deploy.ops import plan, standstill
from deploy.ops.layout import Layout


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The directory of the program, with lock files that everybody may open, as older releases left them."""
    program = Layout(tmp_path).program
    program.mkdir(parents=True)
    for name in (".left4mectl.lock", "web.hold"):
        (program / name).touch()
        (program / name).chmod(0o666)
    return program


def test_only_root_can_open_the_lock_of_left4mectl(program: Path) -> None:
    with plan.exclusive(program / ".left4mectl.lock", RuntimeError("busy")):
        assert (program / ".left4mectl.lock").stat().st_mode & 0o777 == 0o600


def test_only_root_can_open_the_file_that_the_web_waits_for(program: Path, tmp_path: Path) -> None:
    with standstill.web_held(Layout(tmp_path)):
        assert (program / "web.hold").stat().st_mode & 0o777 == 0o600


def test_an_upgrade_is_told_by_which_signal_it_was_interrupted_and_does_not_end_with_its_terminal() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with standstill.signals_as_faults():
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(Exception, match="interrupted by SIGTERM"):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
