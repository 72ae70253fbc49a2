"""Work of which a process does one at a time."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from left4me.core import concurrency
from left4me.core.concurrency import Cancelled, check, skipped_while_active


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


def test_a_check_raises_once_it_is_cancelled():
    check(lambda: False)
    with pytest.raises(Cancelled):
        check(lambda: True)


def test_a_pause_lasts_as_long_as_it_is_told_in_short_sleeps(monkeypatch):
    now, slept, checked = [100.0], [], []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        now[0] += seconds

    monkeypatch.setattr(concurrency, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    concurrency.pause(0.5, lambda: bool(checked.append(1)))
    assert slept == [0.2, 0.2, 0.1]
    assert len(checked) == 4, "before, and after each sleep"
    with pytest.raises(Cancelled):
        concurrency.pause(0, lambda: True)
    with pytest.raises(Cancelled):
        concurrency.pause(60, lambda: len(slept) > 3)
    assert len(slept) == 4
    concurrency.pause(0, lambda: False)
    assert len(slept) == 4
