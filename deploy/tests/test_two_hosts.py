"""A second host, whole: installed, joined, playing, cut off, back again. `bench/two-hosts` prints the seconds."""

from __future__ import annotations

import os

import pytest

from deploy.tests.two_hosts import on_two_machines
from deploy.tests.two_hosts_ipv6 import over_ipv6

pytestmark = [pytest.mark.testhost, pytest.mark.machine, pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_second_machine_plays_is_cut_off_and_comes_back():
    with on_two_machines(f"t{os.getpid()}", told=lambda what, seconds: None) as hosts:
        hosts.live()


def test_a_second_machine_joins_and_plays_over_ipv6_alone():
    with over_ipv6(f"t{os.getpid()}", told=lambda what, seconds: None) as hosts:
        hosts.live()
