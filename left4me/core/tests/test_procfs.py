"""What processes use, as the kernel says it."""

from __future__ import annotations

import subprocess
import sys

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
