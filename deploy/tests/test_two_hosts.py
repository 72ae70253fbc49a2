"""A second host, whole: installed, joined, playing, cut off, back again. `bench/two-hosts` prints the seconds."""

from __future__ import annotations

import os

import pytest

from deploy.tests.two_hosts import on_two_machines


@pytest.mark.testhost
@pytest.mark.machine
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_second_machine_plays_is_cut_off_and_comes_back():
    with on_two_machines(f"t{os.getpid()}", told=lambda what, seconds: None) as hosts:
        hosts.live()
