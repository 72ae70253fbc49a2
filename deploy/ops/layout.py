"""Where everything of an installation lies; relocatable, so that tests have a machine of their own in a directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

USER: Final = "left4me"


@dataclass(frozen=True)
class Layout:
    """Paths below `root`, which is `/` on a machine."""

    root: Path = Path("/")

    @property
    def program(self) -> Path:
        """Belongs to root; the application reads it and cannot write to it."""
        return self.root / "opt/left4me"

    @property
    def source(self) -> Path:
        """The bare repository that releases are built from; its origin is where left4me came from."""
        return self.program / "source.git"

    @property
    def releases(self) -> Path:
        return self.program / "releases"

    @property
    def venvs(self) -> Path:
        """The Python environments that releases link to."""
        return self.program / "venvs"

    @property
    def current(self) -> Path:
        """A link to the release that runs."""
        return self.program / "current"

    @property
    def settings(self) -> Path:
        return self.root / "etc/left4me"

    @property
    def settings_file(self) -> Path:
        """What the operator changes."""
        return self.settings / "left4me.env"

    @property
    def secrets_file(self) -> Path:
        """What was generated, and is told to nobody."""
        return self.settings / "secrets.env"

    @property
    def data(self) -> Path:
        """LEFT4ME_ROOT."""
        return self.root / "var/lib/left4me"

    @property
    def redis_data(self) -> Path:
        return self.root / "var/lib/left4me-redis"

    @property
    def redis_socket(self) -> Path:
        return self.root / "run/left4me/redis.sock"

    @property
    def backups(self) -> Path:
        return self.root / "var/backups/left4me"

    @property
    def units(self) -> Path:
        return self.root / "etc/systemd/system"

    @property
    def command(self) -> Path:
        """What an operator types."""
        return self.root / "usr/local/bin/left4mectl"

    @property
    def caddyfile(self) -> Path:
        return self.root / "etc/caddy/Caddyfile"
