import os
import subprocess

import pytest

from left4me.jobs import identity


def _sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "300"])


def test_a_process_is_dead_when_it_and_its_guard_are_gone(monkeypatch):
    with _sleeper() as worker, _sleeper() as guard:
        monkeypatch.setattr(os, "getpid", lambda: worker.pid)
        known = identity.of_this_process("local", guard=guard.pid)
        assert not identity.is_provably_dead(known)
        worker.kill()
        worker.wait()
        assert not identity.is_provably_dead(known)
        guard.kill()
        guard.wait()
        assert identity.is_provably_dead(known)


def test_another_process_with_the_same_number_is_not_the_one_meant():
    known = identity.of_this_process("local")
    pid = os.getpid()
    assert not identity.is_provably_dead(known)
    start = known.split("/")[2].partition(".")[2]
    assert identity.is_provably_dead(known.replace(f"{pid}.{start}", f"{pid}.{int(start) - 1}"))


@pytest.mark.parametrize("known", ["", "local/other-machine/1.1/aa", "local/x", "a/b/c/d/e"])
def test_what_ran_elsewhere_cannot_be_proven_dead(known):
    assert not identity.is_provably_dead(known)


def test_the_longest_identity_fits_the_row():
    assert len(identity.of_this_process("h" * 63, guard=os.getpid())) <= 160
