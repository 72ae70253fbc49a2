"""The contract over systemd. Runs inside the testhost, as user left4me, called by test_systemd.py."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from left4me.core.processes import commands
from servers.gamehost.port import Outcome, State
from servers.gamehost.systemd import units
from servers.gamehost.systemd.runtime import SystemdRuntime
from servers.gamehost.tests.contract import HostileGame, RuntimeContract
from servers.gamehost.tests.i386 import game
from servers.gamehost.tests.stage import Following, Stage, order, reachable, wait_until

ROOT = Path("/var/lib/left4me")


class _Runtime(Following, SystemdRuntime):
    pass


@pytest.fixture
def stage() -> Iterator[Stage]:
    for left in ROOT.iterdir():
        commands.run(["chmod", "-R", "u+rwX", str(left)], timeout=20)  # overlayfs closes its work directory
        commands.run(["rm", "-r", str(left)], timeout=20)
    made = Stage(ROOT, _Runtime(root=ROOT))
    yield made
    made.clear()
    for server_id in range(1, 4):
        units.forget_failures(server_id)


class TestSystemdRuntime(RuntimeContract):
    pass


class TestHostileGameInAUnit(HostileGame):
    pass


def test_a_game_ends_with_its_launcher_and_systemd_starts_it_again(stage: Stage) -> None:
    spec = stage.start(stage.spec(1))
    pid = units.show_one(1).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: stage.observe(spec).restarts == 1 and reachable(spec))
    assert stage.observe(spec).state is State.RUNNING


def test_a_stop_in_the_pause_before_a_restart_ends_the_restarts(stage: Stage) -> None:
    spec = stage.start(stage.spec(1))
    order(spec, "__import__('os')._exit(4)")
    wait_until(lambda: stage.observe(spec).state is State.CRASHED)
    assert stage.runtime.stop(1) is Outcome.STOPPED
    assert stage.observe(spec).state is State.STOPPED


@pytest.mark.skipif(not Path(game.BUILT).exists(), reason="no 32-bit compiler outside")
def test_a_32_bit_game_is_started_supervised_polled_and_stopped(stage: Stage) -> None:
    game.lay(Path(game.BUILT), stage)
    spec = game.spec(stage)
    assert stage.runtime.start(spec) is Outcome.STARTED
    wait_until(lambda: game.answers(spec))
    found = game.probes([line.text for line in stage.runtime.tail(1, lines=1000)])
    surprises = game.surprises(found)
    assert surprises == game.ONLY_IN_A_UNIT, "; ".join(f"{name} {result}" for name, result in surprises.items())
    assert len(found) > 70
    assert stage.runtime.stop(1, quit_game=lambda: game.ask(spec, "quit") and None) is Outcome.STOPPED
    spec = game.spec(stage, allow_ptrace=True)
    assert stage.runtime.start(spec) is Outcome.STARTED
    wait_until(lambda: game.answers(spec))
    found = game.probes([line.text for line in stage.runtime.tail(1, lines=1000)])
    assert game.surprises(found, may_trace=True) == game.ONLY_IN_A_UNIT
    with pytest.raises(game.rcon.RconError):
        game.ask(spec, "crash")
    wait_until(lambda: stage.observe(spec).restarts == 1 and game.answers(spec))
    assert (stage.root / "servers/1/upper/left4dead2/crash.dmp").read_text() == "signal 11, ptrace granted\n"
    assert stage.runtime.stop(1, quit_game=lambda: game.ask(spec, "quit") and None) is Outcome.STOPPED


@pytest.mark.parametrize("unit", ["dbus.service", "left4me-server@../x.service", "left4me-server@x.service"])
def test_the_application_may_manage_no_other_unit(unit: str) -> None:
    done = commands.run(["systemctl", "--no-ask-password", "restart", unit], timeout=20, check=False)
    assert done.status != 0


@pytest.mark.parametrize("words", [["enable"], ["mask"], ["set-property"]])
def test_the_application_may_not_change_units(words: list[str]) -> None:
    value = ["CPUWeight=1"] if words == ["set-property"] else []
    argv = ["systemctl", "--no-ask-password", *words, units.name(1), *value]
    assert commands.run(argv, timeout=20, check=False).status != 0
