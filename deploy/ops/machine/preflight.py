"""Checks before anything is changed on a machine. Each failure names its cure."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final

from deploy.language import gettext as _
from deploy.ops.environment import parse
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn
from left4me.core.net import ports

_OLDEST_DEBIAN: Final = 12


def check(layout: Layout, role: Role, *, with_proxy: bool, game: str) -> None:
    """Check whether left4me can be installed here in this role. Raises CannotGoOn at the first failure."""
    refuse_other_systems((layout.root / "etc/os-release").read_text())
    if not Path("/run/systemd/system").is_dir():
        raise CannotGoOn(_("This machine does not run systemd (is it a container?). Use bin/up or deploy/container."))
    if game == "steam" and platform.machine() != "x86_64":
        raise CannotGoOn(
            _(
                "The game exists for x86-64 only, and this machine is %(machine)s. Use `--game simulated` to "
                "install without it."
            )
            % {"machine": platform.machine()}
        )
    # A port that our own socket or Caddy already holds is what an earlier run has set up.
    if role is Role.WEB and not services.are_active([services.SOCKET]):
        refuse_busy_port(
            8000,
            _("or move the web to another port after the installation with `systemctl edit left4me-web.socket`"),
        )
    if with_proxy and not services.are_active(["caddy.service"]):
        for port in (80, 443):
            refuse_busy_port(
                port, _("or install without --domain and configure that program as a proxy for 127.0.0.1:8000")
            )


def refuse_ordinary_users() -> None:
    """Raises CannotGoOn unless this process runs as root."""
    if os.geteuid() != 0:
        raise CannotGoOn(_("This needs root to install packages, units and the account left4me. Run it with sudo."))


def refuse_other_systems(os_release: str) -> None:
    """Raises CannotGoOn on systems other than Debian 12 or newer."""
    facts = parse(os_release)
    name = facts.get("PRETTY_NAME", "this system")
    version = facts.get("VERSION_ID", "").partition(".")[0]
    if facts.get("ID") != "debian" or (version.isdigit() and int(version) < _OLDEST_DEBIAN):
        raise CannotGoOn(
            _("deploy/install supports Debian 12 and 13, and this is %(name)s. Run bin/up from a checkout instead.")
            % {"name": name}
        )


def refuse_busy_port(port: int, otherwise: str) -> None:
    """Raises CannotGoOn when another program uses this port. `otherwise` is the alternative to stopping it."""
    if error := ports.refusal("127.0.0.1", port):
        raise CannotGoOn(
            _(
                "Port %(port)s is in use (%(strerror)s). `ss -ltnp 'sport = :%(port)s'` shows the program. Stop "
                "it, %(otherwise)s."
            )
            % {"port": port, "strerror": error.strerror, "otherwise": otherwise}
        ) from error
