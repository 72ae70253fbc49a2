"""The address under which a site is reached: it belongs to the machine that serves it, not to the site's data.

Where Caddy serves left4me, a restored backup keeps the machine's own address, and the secret that Caddy's site and the
web share. So a backup can be restored under another name, and the site works in the same minute.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from deploy.language import gettext as _
from deploy.ops import application
from deploy.ops.layout import Layout
from deploy.ops.machine import proxy

SHARED_WITH_PROXY: Final = "LEFT4ME_PROXY_SECRET"
SETTINGS: Final = ("LEFT4ME_ALLOWED_HOSTS", "LEFT4ME_BEHIND_TLS", "LEFT4ME_PUBLIC_URL", SHARED_WITH_PROXY)
# What a settings file says ends up in a command that a person may copy.
_NAME: Final = re.compile(r"[A-Za-z0-9.-]{1,253}")


def kept_settings(layout: Layout) -> tuple[str, ...]:
    """The settings that stay those of this machine when a backup is restored here."""
    return SETTINGS if proxy.served_domain(layout) else ()


def of(values: Mapping[str, str]) -> str | None:
    """The name that these settings expect a proxy to serve; None where they expect no proxy."""
    if values.get("LEFT4ME_BEHIND_TLS", "").lower() not in ("1", "true", "yes", "on"):
        return None
    return application.known_host(values)


def for_domain(layout: Layout, domain: str, present: Mapping[str, str]) -> dict[str, str]:
    """The settings of a site that is served under `domain` from now on, from those that are there.

    The name before it goes, also from LEFT4ME_PUBLIC_URL; names and URLs of the operator's own stay.
    """
    before = proxy.served_domain(layout) or of(present)
    names = [name for name in _allowed(present) if name != before]
    values = {
        "LEFT4ME_ALLOWED_HOSTS": ",".join(dict.fromkeys([domain, *names, "127.0.0.1", "localhost"])),
        "LEFT4ME_BEHIND_TLS": "true",
    }
    public = urlsplit(present.get("LEFT4ME_PUBLIC_URL", ""))
    if before and public.hostname == before != domain:
        values["LEFT4ME_PUBLIC_URL"] = f"https://{domain}"
    return values


def _allowed(values: Mapping[str, str]) -> list[str]:
    return [name for each in values.get("LEFT4ME_ALLOWED_HOSTS", "").split(",") if (name := each.strip())]


def accepts(values: Mapping[str, str], name: str) -> bool:
    """Whether the web with these settings answers requests for `name`."""
    allowed = _allowed(values)
    return name in allowed or any(each.startswith(".") and f".{name}".endswith(each) for each in allowed)


def hints(layout: Layout, backed_up: Mapping[str, str]) -> list[str]:
    """What is left to do after a backup with these settings was restored here."""
    asked, served = of(backed_up), proxy.served_domain(layout)
    if asked is None or asked == served:
        return []
    shown = asked if _NAME.fullmatch(asked) else "NAME"
    if served:
        return [
            _("This machine keeps its own address, https://%(served)s. The backup is of https://%(name)s.")
            % {"served": served, "name": shown}
        ]
    hint = _(
        "The site's address is https://%(name)s, but left4me has not set up Caddy on this machine. Unless a proxy of "
        "your own serves it, let the name point here and run `deploy/install --domain %(name)s`. For another name, "
        "give that one."
    )
    return [hint % {"name": shown}]
