"""What must be true of a machine before anything is changed on it; each fault with its cure."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final

from deploy.ops.environment import parse
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn
from left4me.core.net import ports
from left4me.core.processes import commands

_OLDEST_DEBIAN: Final = 12


def look(layout: Layout, *, with_proxy: bool, game: str, with_web: bool = True) -> None:
    """Raises CannotGoOn at the first fault."""
    refuse_other_systems((layout.root / "etc/os-release").read_text())
    if not Path("/run/systemd/system").is_dir():
        raise CannotGoOn("systemd does not run this machine (a container?). Use bin/up there, or deploy/container.")
    if game == "steam" and platform.machine() != "x86_64":
        raise CannotGoOn(
            f"The game exists for x86-64 only, and this machine is {platform.machine()}. "
            "`--game simulated` installs without it."
        )
    if with_web and not services.are_active(layout, [services.SOCKET]):
        refuse_busy_port(8000, "`systemctl edit left4me-web.socket` moves the web after the installation")
    if with_proxy and not _serves("caddy.service"):
        for port in (80, 443):
            refuse_busy_port(port, "or install without --domain, and let what is there lead to 127.0.0.1:8000")


def refuse_ordinary_users() -> None:
    """Raises CannotGoOn unless we are root."""
    if os.geteuid() != 0:
        raise CannotGoOn("This needs root, for packages, units and the account left4me: run it with sudo.")


def refuse_other_systems(os_release: str) -> None:
    """Raises CannotGoOn for what is not Debian 12 or newer."""
    facts = parse(os_release)
    name = facts.get("PRETTY_NAME", "this system")
    version = facts.get("VERSION_ID", "").partition(".")[0]
    if facts.get("ID") != "debian" or (version.isdigit() and int(version) < _OLDEST_DEBIAN):
        raise CannotGoOn(
            f"This is made for Debian 12 and 13, and this is {name}. bin/up runs from a checkout elsewhere."
        )


def refuse_busy_port(port: int, otherwise: str) -> None:
    """Raises CannotGoOn when another program has this port."""
    if error := ports.refusal("127.0.0.1", port):
        raise CannotGoOn(
            f"Port {port} is in use ({error.strerror}). `ss -ltnp 'sport = :{port}'` shows by what; stop that, "
            f"{otherwise}."
        ) from error


def _serves(unit: str) -> bool:
    return commands.run(["systemctl", "is-active", "--quiet", unit], timeout=30, check=False).status == 0
