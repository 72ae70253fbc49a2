"""Print the seconds of each step in the life of a machine under systemd, as an operator runs it.

Installed from a clean clone, an admin, a server by the API, its log, crashes, a reboot, upgrades (one that fails, some
cut off), backup, wipe, restore, removal. Needs root, systemd-container and debootstrap; the machine is a container
that is removed afterwards.

    bench/deploy [--postgres] [STEP...]      with names of steps: only these (and `install` before them)
"""

from __future__ import annotations

import os
import sys
import time

from deploy.tests.acceptance import Life
from left4me.testing.testhost import machine_of


def told(what: str, seconds: float) -> None:
    print(f"{what:<48} {seconds:7.1f} s", flush=True)


def main() -> None:
    words = sys.argv[1:]
    database = "postgres" if "--postgres" in words else "sqlite"
    began = time.monotonic()
    machine = machine_of(f"bench{os.getpid()}")
    try:
        told("a machine with nothing on it", time.monotonic() - began)
        life = Life(machine, database=database, told=told)
        life.live([word for word in words if not word.startswith("-")])
        told("in all", time.monotonic() - began)
    finally:
        machine.down()


if __name__ == "__main__":
    main()
