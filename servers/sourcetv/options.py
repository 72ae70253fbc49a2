"""What SourceTV does on a server, and how long its demos are kept: the column `sourcetv` of its row, with names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from servers.models import Server

# What the game takes: a longer delay than two minutes is cut, and so are more spectators.
LONGEST_DELAY: Final = 120
MOST_SPECTATORS: Final = 255
LONGEST_PASSWORD: Final = 32
MOST_DAYS: Final = 3_650
MOST_GB: Final = 10_000
GB: Final = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """The defaults are those of a server on which nobody has set anything."""

    is_enabled: bool = False
    records: bool = True  # every map, as a demo of its own
    delay: int = 30  # of the broadcast, in seconds; demos have none
    spectators: int = 0  # none: SourceTV records, and nobody can connect to it
    password: str = ""  # of spectators
    # 0: as long as the administrator allows
    keep_days: int = 0
    keep_gb: int = 0

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The options in a column; what an older or newer release has stored besides is ignored."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known})

    def stored(self) -> dict[str, Any]:
        return asdict(self)

    def check(self) -> None:
        """Raise ValidationError, by field, for what the game would not take."""
        limits = {
            "delay": LONGEST_DELAY,
            "spectators": MOST_SPECTATORS,
            "keep_days": MOST_DAYS,
            "keep_gb": MOST_GB,
        }
        faults = {
            name: _("Enter a number from %(least)s to %(most)s.") % {"least": 0, "most": most}
            for name, most in limits.items()
            if not 0 <= getattr(self, name) <= most
        }
        is_plain = self.password.isascii() and (self.password.isprintable() or not self.password)
        if len(self.password) > LONGEST_PASSWORD or '"' in self.password or not is_plain:
            faults["password"] = _(
                "Enter at most %d letters, digits and signs without accents, and no quotation marks."
            ) % (LONGEST_PASSWORD)
        if faults:
            raise ValidationError(faults)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many days demos of a server are kept, and how many bytes; 0 in both: no limit."""

    days: int
    size: int


def limits_of(server: Server) -> Limits:
    """What the owner of a server has set, within what the administrator allows."""
    options = Options.of(server.sourcetv)
    # A server that writes more than its share is ended: its demos go before.
    sizes = [options.keep_gb * GB, settings.LEFT4ME_DEMO_GB * GB, settings.LEFT4ME_SERVER_DISK_GB * GB // 2]
    days = [options.keep_days, settings.LEFT4ME_DEMO_DAYS]
    return Limits(days=min(filter(None, days), default=0), size=min(filter(None, sizes), default=0))
