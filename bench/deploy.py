"""Print the seconds of each step in the life of a machine under systemd, as an operator runs it.

Installed from a clean clone, an admin, a server by the API, its log, crashes, a reboot, upgrades (one that fails, some
cut off), backup, wipe, restore, removal. Needs root, systemd-container and debootstrap; the machine is a container
that is removed afterwards.

    bench/deploy [--postgres] [STEP...]      with names of steps: only these (and `install` before them)
    bench/deploy --elsewhere                 another domain, another key, and a restore on a machine with another name
    bench/deploy --archives                  a machine that is installed and upgraded by release archives, without git
"""

from __future__ import annotations

import os
import sys
import time

from deploy.tests.acceptance import WITH_ARCHIVES, Life
from deploy.tests.elsewhere import Elsewhere
from left4me.testing.testhost import Testhost, machine_of


def told(what: str, seconds: float) -> None:
    print(f"{what:<48} {seconds:7.1f} s", flush=True)


def main() -> None:
    words = sys.argv[1:]
    database = "postgres" if "--postgres" in words else "sqlite"
    began = time.monotonic()
    names = [f"bench{os.getpid()}", f"bench{os.getpid()}-other"]
    try:
        machine = machine_of(names[0])
        told("a machine with nothing on it", time.monotonic() - began)
        life = Life(machine, database=database, told=told)
        if "--elsewhere" in words:
            life = Elsewhere(machine, told=told, another=lambda: machine_of(names[1]))
        named = [word for word in words if not word.startswith("-")]
        life.live(WITH_ARCHIVES if "--archives" in words else named)
        told("in all", time.monotonic() - began)
    finally:
        for name in names:
            Testhost(name, kind="deploy").down()


if __name__ == "__main__":
    main()
