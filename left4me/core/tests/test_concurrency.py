"""Work of which a process does one at a time."""

from __future__ import annotations

import threading

import pytest

from left4me.core.concurrency import skipped_while_active


def test_a_call_does_nothing_while_another_is_active():
    began, may_end = threading.Event(), threading.Event()
    calls: list[str] = []

    @skipped_while_active
    def work() -> None:
        calls.append(threading.current_thread().name)
        began.set()
        assert may_end.wait(30)

    first = threading.Thread(target=work, name="first")
    first.start()
    assert began.wait(30)
    work()
    may_end.set()
    first.join()
    assert calls == ["first"]
    work()
    assert len(calls) == 2


def test_a_call_that_failed_does_not_keep_the_next_from_its_work():
    @skipped_while_active
    def work() -> None:
        raise OSError("away")

    for _again in range(2):
        with pytest.raises(OSError, match="away"):
            work()
