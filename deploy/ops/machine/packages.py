"""The Debian packages of an installation."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from deploy.language import gettext as _
from deploy.ops.layout import Role
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn
from left4me.core.processes import commands, libraries

_ALWAYS: Final = ("git", "python3-venv", "bubblewrap", "libarchive-tools", "polkitd", "ca-certificates")
# Services that Debian starts with the package and that left4me replaces by units of its own.
_UNWANTED_SERVICES: Final = {"redis-server": "redis-server.service"}

_SECONDS: Final = 1800


def needed(role: Role, *, game: str, postgres: bool, proxy: bool) -> list[str]:
    """The packages of a machine in this role, with what its options add."""
    names = list(_ALWAYS)
    if role is Role.WEB:
        names.append("redis-server")
    if postgres:
        names.append("postgresql")
    if game == "steam":
        names += libraries.PACKAGES
    if proxy:
        names.append("caddy")
    return names


def missing(names: Iterable[str]) -> list[str]:
    """Those of `names` that are not installed."""
    return [name for name in names if not _is_installed(name)]


def install(names: Iterable[str]) -> None:
    """Install the missing ones of `names`. Raises CannotGoOn."""
    names = missing(names)
    if not names:
        return
    try:
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *names)
    except commands.CommandError as error:
        raise CannotGoOn(
            _(
                "Debian's packages %(names)s could not be installed: %(error)s\nCheck that `apt-get update` "
                "works (network, /etc/apt/sources.list.d), then run deploy/install again."
            )
            % {"names": " ".join(names), "error": error}
        ) from error
    for name in names:
        if service := _UNWANTED_SERVICES.get(name):
            # The package was not installed before, so nothing else uses its service.
            services.systemctl("disable", "--now", "--quiet", service, check=False)


def _is_installed(name: str) -> bool:
    argv = ["dpkg-query", "--show", "--showformat=${db:Status-Status}\n", name]
    finished = commands.run(argv, timeout=_SECONDS, check=False)
    return finished.status == 0 and "installed" in finished.output.splitlines()


def _apt(*arguments: str) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands.run(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments], timeout=_SECONDS, env=env)
