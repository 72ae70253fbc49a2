import os
import stat

import pytest

from left4me.core.processes import commands, identity

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root")

SOMEBODY = identity.Identity(64123, 64124, groups=(64125,))


class Fault(Exception):
    pass


def raising(fault):
    raise fault


def test_a_function_runs_with_the_rights_of_the_other_user_and_no_others():
    found = identity.run_as(SOMEBODY, lambda: [os.getresuid(), os.getresgid(), os.getgroups()])
    assert found == [[64123] * 3, [64124] * 3, [64125]]
    status = identity.run_as(SOMEBODY, lambda: open("/proc/self/status").read())  # noqa: PTH123, SIM115 -- one line
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert os.geteuid() == 0


def test_the_child_cannot_use_what_root_has_open(tmp_path):
    (tmp_path / "secret").write_text("secret")
    with (tmp_path / "secret").open() as file, (tmp_path / "given").open("w+") as given:
        with pytest.raises(OSError, match="Bad file descriptor"):
            identity.run_as(SOMEBODY, lambda: os.pread(file.fileno(), 6, 0).decode())
        identity.run_as(SOMEBODY, lambda: os.write(given.fileno(), b"written"), keep=[given.fileno()])
    assert (tmp_path / "given").read_text() == "written"


def test_faults_of_the_child_arrive_with_their_class_and_their_message():
    with pytest.raises(Fault, match="the reason"):
        identity.run_as(SOMEBODY, lambda: raising(Fault("the reason")), raises=[Fault])
    with pytest.raises(OSError, match="another reason"):
        identity.run_as(SOMEBODY, lambda: raising(LookupError("another reason")))
    with pytest.raises(OSError, match=r"ended unexpectedly \(-9\)"):
        identity.run_as(SOMEBODY, lambda: os.kill(os.getpid(), 9))


def test_the_environment_of_a_program_has_no_effect_before_root_is_given_up(open_path):
    """The dynamic linker is the first to read it: as root it would load and write what the variables name."""
    output = open_path / "linker"
    open_path.chmod(0o1777)
    variables = {"LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": str(output)}
    done = commands.run(["/usr/bin/id", "-u"], timeout=20, env=variables, identity=SOMEBODY)
    assert done.output == "64123"
    written = list(open_path.iterdir())
    assert written
    assert {path.stat().st_uid for path in written} == {64123}


def test_a_program_reads_a_file_that_only_root_can_open(tmp_path):
    (tmp_path / "script").write_text("id -u; id -G; cat /proc/self/mem 2>&1 >/dev/null | head -c 0\n")
    (tmp_path / "script").chmod(stat.S_IRUSR)
    with (tmp_path / "script").open("rb") as file:
        done = commands.run(["/bin/sh"], timeout=20, stdin=file, identity=SOMEBODY)
    assert done.output.splitlines() == ["64123", "64124 64125"]


def test_a_large_answer_arrives_whole_and_one_that_is_too_large_is_none():
    assert identity.run_as(SOMEBODY, lambda: "x" * 1_000_000) == "x" * 1_000_000
    with pytest.raises(OSError, match="ended unexpectedly"):
        identity.run_as(SOMEBODY, lambda: "x" * 5_000_000)


def test_what_is_no_json_is_no_answer():
    with pytest.raises(OSError, match="ended unexpectedly"):
        identity.run_as(SOMEBODY, lambda: object())


def test_a_fault_of_the_system_has_its_words():
    with pytest.raises(OSError, match=r"^No such file or directory$"):
        identity.run_as(SOMEBODY, lambda: os.stat("/nonexistent"))  # noqa: PTH116 -- its own words


def test_root_has_nothing_to_give_up_for_root_and_runs_the_function_itself(tmp_path):
    root = identity.Identity(0, 0, ())
    assert root.is_ours and not SOMEBODY.is_ours
    assert identity.run_as(root, os.getpid) == os.getpid()
    root.assume()
    assert os.geteuid() == 0


def test_users_and_owners_are_found_with_their_groups(tmp_path):
    assert identity.of_user("root").uid == 0
    os.chown(tmp_path, 64123, 64124)
    assert identity.of_owner(tmp_path) == identity.Identity(64123, 64124, (64124,))
    with pytest.raises(KeyError):
        identity.of_user("no-such-user-here")
