"""The network ports that the games of a blueprint may connect to, as users write them: `53, 80, 27015-27050`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# Name resolution, web, MySQL for plugins, Steam. The default of a blueprint; `servers.gamehost.spec` has the same.
DEFAULT_CONNECT_PORTS = "53, 80, 443, 3306, 27015-27050"
MOST_PORTS = 2000

_PART = re.compile(r"(\d{1,5})(?:\s*[-\u2013]\s*(\d{1,5}))?\Z")
_POSTGRESQL = 5432


def parse_ports(text: str) -> tuple[int, ...]:
    """The ports of the text, in order. Raises ValidationError, which names the part that is wrong."""
    ports: set[int] = set()
    for part in filter(None, re.split(r"[,;\s]+(?![-\u2013])(?<![-\u2013] )", text.strip())):
        match = _PART.match(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= 65535:
            raise ValidationError(
                _("“%s” is not a port. Use ports from 1 to 65535, for example 80, 27015-27050.") % part
            )
        ports.update(range(first, last + 1))
        if len(ports) > MOST_PORTS:
            raise ValidationError(_("Enter at most %d ports.") % MOST_PORTS)
    return tuple(sorted(ports))


def is_connect_ports(text: str) -> None:
    """Raise ValidationError for a text that is no list of ports, and for ports of left4me's own services.

    The game shares the network of its host, where these services trust whoever reaches them.
    """
    own = sorted(set(parse_ports(text)) & own_ports())
    if own:
        raise ValidationError(
            _("Port %s is used by left4me itself (database, Redis or web). Remove it from the list.")
            % ", ".join(map(str, own))
        )


def own_ports() -> set[int]:
    """The ports of the database, the broker and the web on this machine."""
    ports = {_POSTGRESQL, urlsplit(settings.CELERY_BROKER_URL).port or 6379}
    database = str(settings.DATABASES["default"].get("PORT") or "")
    web = urlsplit(str(getattr(settings, "LEFT4ME_WEB_URL", "") or "")).port
    return (
        ports | ({int(database)} if database.isdigit() else set()) | ({web} if web and web not in {80, 443} else set())
    )
