"""What an installation wants from Debian, and getting it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from deploy.ops.plan import CannotGoOn
from left4me.core.processes import commands

ALWAYS: Final = ("git", "python3-venv", "bubblewrap", "libarchive-tools", "polkitd", "ca-certificates")
REDIS: Final = ("redis-server",)
POSTGRES: Final = ("postgresql",)
PROXY: Final = ("caddy",)
# The game and SteamCMD are 32-bit programs; these packages hold what they link to, without a second architecture.
STEAM: Final = ("lib32gcc-s1", "lib32stdc++6")

# Services that Debian starts with the package, and that left4me has units of its own for.
_UNWANTED_SERVICES: Final = {"redis-server": "redis-server.service"}

_SECONDS: Final = 1800


def missing(wanted: Iterable[str]) -> list[str]:
    """Those of `wanted` that are not installed."""
    return [name for name in wanted if not _is_installed(name)]


def install(wanted: Iterable[str]) -> None:
    """Install what is missing. Raises CannotGoOn."""
    names = missing(wanted)
    if not names:
        return
    try:
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *names)
    except commands.CommandError as error:
        raise CannotGoOn(
            f"Debian's packages {' '.join(names)} could not be installed: {error}\n"
            "See whether `apt-get update` works (network, /etc/apt/sources.list.d), then start again; nothing is lost."
        ) from error
    for name in names:
        if service := _UNWANTED_SERVICES.get(name):
            # It was not here before, so nobody uses it; ours listens on a socket only.
            commands.run(["systemctl", "disable", "--now", "--quiet", service], timeout=_SECONDS, check=False)


def _is_installed(name: str) -> bool:
    argv = ["dpkg-query", "--show", "--showformat=${db:Status-Status}\n", name]
    finished = commands.run(argv, timeout=_SECONDS, check=False)
    return finished.status == 0 and "installed" in finished.output.splitlines()


def _apt(*arguments: str) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands.run(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments], timeout=_SECONDS, env=env)
