from __future__ import annotations

import pytest

from servers.gamehost import rcon
from servers.gamehost.rcon import guard

ADDRESS = ("127.0.0.1", 27015)


@pytest.fixture
def clock(monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(guard, "monotonic", lambda: now[0])
    return now


def offered(clock, *, seconds: int, starting: bool = False) -> list[int]:
    """At which seconds a password that is always refused gets offered, when somebody asks every second."""
    tries = []
    for second in range(seconds):
        try:
            guard.check(*ADDRESS, "secret", starting=starting)
        except rcon.PasswordRefused:
            pass
        else:
            guard.refused(*ADDRESS, "secret")
            tries.append(second)
        clock[0] += 1
    return tries


def test_a_password_that_was_never_let_in_is_offered_once(clock):
    assert offered(clock, seconds=5_000) == [0]


def test_a_starting_game_is_asked_again_but_less_often_than_it_bans(clock):
    tries = offered(clock, seconds=5_000, starting=True)
    assert tries[:4] == [0, 5, 15, 35]
    assert all(len([second for second in tries if start <= second < start + 30]) < 5 for start in tries)
    assert len(tries) < 10


def test_a_password_that_was_let_in_before_is_offered_again_since_the_game_may_have_restarted(clock):
    guard.accepted(*ADDRESS, "secret")
    assert offered(clock, seconds=20) == [0, 5, 15]
    guard.accepted(*ADDRESS, "secret")
    guard.check(*ADDRESS, "secret")


def test_another_password_is_always_offered(clock):
    guard.refused(*ADDRESS, "old")
    guard.check(*ADDRESS, "new")


def test_a_game_started_anew_is_asked_anew(clock):
    guard.refused(*ADDRESS, "secret")
    guard.forget(*ADDRESS)
    guard.check(*ADDRESS, "secret")
