"""Print the seconds of each step in the life of a second machine, from joining to its return after a network cut.

    bench/two-hosts [--ipv6]   (root; apt-get install systemd-container debootstrap iproute2)

With --ipv6, the machines have no other addresses, and the steps are those from joining to a game that plays.

The machines are testhosts: containers with a real systemd, each in a network namespace of its own, joined by one
cable. The suite runs the same steps (deploy/tests/test_two_hosts.py).
"""

from __future__ import annotations

import os
import sys
import time

from deploy.tests.two_hosts import on_two_machines
from deploy.tests.two_hosts_ipv6 import over_ipv6


def main() -> None:
    began = time.monotonic()
    machines = over_ipv6 if "--ipv6" in sys.argv else on_two_machines
    with machines(f"b{os.getpid()}", told=tell) as hosts:
        tell("two machines, booted", time.monotonic() - began)
        hosts.live()
    tell("all in all", time.monotonic() - began)


def tell(what: str, seconds: float) -> None:
    print(f"{seconds:7.1f} s  {what}", flush=True)


if __name__ == "__main__":
    main()
