"""What processes use, as the kernel says it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from left4me.core.processes import procfs

_MEGABYTE = 1_000_000
_HOLDS = "import sys; held = bytearray(b'x' * 50_000_000); {then}"
_WAITS = "print('ready', flush=True); sys.stdin.read()"
_HAS_A_CHILD = f"import subprocess; subprocess.run([sys.executable, '-c', {_HOLDS.format(then=_WAITS)!r}])"


def _memory_of(then: str) -> int:
    """What a process that holds 50 MB uses when it is `ready`."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS.format(then=then)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        usage = procfs.usage(process.pid)
        process.stdin.close()
    assert usage is not None
    return usage.memory_bytes


def test_the_memory_of_a_process_is_its_own_and_that_of_its_descendants():
    assert 50 * _MEGABYTE < _memory_of(_WAITS) < 90 * _MEGABYTE
    assert 100 * _MEGABYTE < _memory_of(_HAS_A_CHILD) < 180 * _MEGABYTE


def test_a_process_that_is_gone_uses_nothing():
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert procfs.usage(process.pid) is None


def test_this_process_is_described_and_another_one_with_its_number_is_not_it():
    pid = os.getpid()
    started = procfs.started(pid)
    assert started is not None and procfs.is_alive(pid)
    assert procfs.named(pid) == {"pid": pid, "start": started}
    assert procfs.same({"pid": pid, "start": started}) == pid
    assert procfs.same({"pid": pid, "start": started - 1}) is None
    assert procfs.same(None) is procfs.same({}) is None
    assert os.getpgrp() in procfs.living_groups()
    assert procfs.name(pid) == Path("/proc/self/comm").read_text().strip()
    assert int(procfs.stat_fields(pid)[procfs.PARENT]) == os.getppid()
    assert int(procfs.stat_fields(pid)[procfs.GROUP]) == os.getpgrp()


def test_a_child_that_has_ended_is_a_zombie_and_not_alive():
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        assert process.pid in procfs.children(os.getpid())
        assert process.pid in procfs.living_groups()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert procfs.started(process.pid) is None
        assert not procfs.is_alive(process.pid)
        assert process.pid not in procfs.living_groups()
        process.wait()
    assert procfs.started(process.pid) is None
    assert procfs.name(process.pid) == ""
    assert procfs.children(process.pid) == []


def test_a_name_may_hold_blanks_and_parentheses(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(procfs, "_PROC", tmp_path)
    (tmp_path / "7").mkdir()
    fields = ["S", "1", "7", *["0"] * 8, "100", "50", "25", "25", "0", "0", "3", "0", "4711", *["0"] * 30]
    (tmp_path / "7" / "stat").write_text(f"7 (a) b (c) {' '.join(fields)}")
    (tmp_path / "7" / "statm").write_text("100 30 10 1 1 1 1")
    assert procfs.started(7) == 4711
    assert procfs.usage(7) == (200 / os.sysconf("SC_CLK_TCK"), 20 * os.sysconf("SC_PAGE_SIZE"), 3)
    (tmp_path / "7" / "statm").write_text("odd")
    assert procfs.usage(7).memory_bytes == 0
