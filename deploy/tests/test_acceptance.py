"""A machine's life, on the testhost; `bench/deploy` leads the same and prints it as it goes."""

import os
import sys
from collections.abc import Sequence

import pytest

from deploy.tests import acceptance
from deploy.tests.elsewhere import Elsewhere
from left4me.testing.testhost import Testhost, machine_of

pytestmark = [pytest.mark.testhost, pytest.mark.machine, pytest.mark.slow, pytest.mark.timeout(3600)]


def told(what: str, seconds: float) -> None:
    sys.stdout.write(f"{what:<48} {seconds:7.1f} s\n")


@pytest.mark.parametrize(
    ("database", "steps"), [("sqlite", acceptance.WITHOUT_A_MOVE), ("postgres", acceptance.WITH_DATABASE)]
)
def test_a_machine_is_installed_upgraded_restored_and_left_as_it_was(database, steps):
    _live(f"life{os.getpid()}-{database}", database, steps)


def test_the_database_moves_to_postgresql_and_back_while_a_game_runs():
    _live(f"life{os.getpid()}-move", "sqlite", acceptance.WITH_A_MOVE)


def test_a_machine_is_installed_and_upgraded_by_archives_without_git_and_refuses_others():
    _live(f"life{os.getpid()}-archives", "sqlite", acceptance.WITH_ARCHIVES)


def test_another_name_key_and_machine_leave_everything_readable():
    names = [f"life{os.getpid()}-there", f"life{os.getpid()}-elsewhere"]
    try:
        Elsewhere(machine_of(names[0]), told=told, another=lambda: machine_of(names[1])).live()
    finally:
        for name in names:
            Testhost(name, kind="deploy").down()


def _live(name: str, database: str, steps: Sequence[str]) -> None:
    try:
        acceptance.Life(machine_of(name), database=database, told=told).live(steps)
    finally:
        Testhost(name, kind="deploy").down()
