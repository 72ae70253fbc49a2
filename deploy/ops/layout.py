"""The paths of an installation, and the role of its machine. Tests place a whole installation in a directory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from left4me.core import floods

USER: Final = "left4me"


class Role(Enum):
    """What a machine does for left4me. Installing, upgrading and examining it ask for its role."""

    WEB = "web"  # web, beat, Redis and a worker; the database too, unless it is elsewhere
    WORKER_HOST = "worker host"  # a worker and game servers only, for a web on another machine


@dataclass(frozen=True)
class Layout:
    """Paths below `root`, which is `/` on a machine."""

    root: Path = Path("/")

    @property
    def program(self) -> Path:
        """The program. It belongs to root; the application can read it and cannot write to it."""
        return self.root / "opt/left4me"

    @property
    def source(self) -> Path:
        """The bare repository that releases are built from. Its origin is that of the first checkout."""
        return self.program / "source.git"

    @property
    def archives(self) -> Path:
        """The verified archives of releases that were not built from `source`."""
        return self.program / "archives"

    @property
    def releases(self) -> Path:
        return self.program / "releases"

    @property
    def venvs(self) -> Path:
        """The Python environments that releases link to."""
        return self.program / "venvs"

    @property
    def current(self) -> Path:
        """The symbolic link to the release that runs."""
        return self.program / "current"

    @property
    def settings(self) -> Path:
        return self.root / "etc/left4me"

    @property
    def settings_file(self) -> Path:
        """The settings that the operator edits."""
        return self.settings / "left4me.env"

    @property
    def secrets_file(self) -> Path:
        """Generated settings, which are secret."""
        return self.settings / "secrets.env"

    @property
    def signers(self) -> Path:
        """Whose signature a release archive needs; without this file, none is asked for."""
        return self.settings / "allowed_signers"

    @property
    def central_authority(self) -> Path:
        """On a worker host, the certificate of the authority that the web's services are checked against."""
        return self.settings / "central-ca.pem"

    @property
    def data(self) -> Path:
        """The application's data: LEFT4ME_ROOT."""
        return self.root / "var/lib/left4me"

    @property
    def redis_data(self) -> Path:
        return self.root / "var/lib/left4me-redis"

    @property
    def redis_settings(self) -> Path:
        """The certificates and users of Redis for worker hosts: Redis cannot read the application's settings."""
        return self.root / "etc/left4me-redis"

    @property
    def redis_socket(self) -> Path:
        return self.root / "run/left4me/redis.sock"

    @property
    def firewall_counters(self) -> Path:
        """Where root writes what the firewall has dropped, for the application to read."""
        return self.root / floods.COUNTERS_FILE.parent.relative_to("/")

    @property
    def backups(self) -> Path:
        return self.root / "var/backups/left4me"

    @property
    def units(self) -> Path:
        return self.root / "etc/systemd/system"

    @property
    def command(self) -> Path:
        """The operator's command, a link into the release that runs."""
        return self.root / "usr/local/bin/left4mectl"

    @property
    def caddyfile(self) -> Path:
        return self.root / "etc/caddy/Caddyfile"
