"""The body of a status message in Discord: one embed for each server."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from urllib.parse import urljoin

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from left4me.alerts.messages import GREEN, GREY, RED, unformatted
from left4me.status_pages.models import StatusPage

# Discord takes ten embeds, and 6000 characters in all of them.
_MOST_EMBEDS: Final = 10
_LONGEST_NAMES: Final = 300
_AMBER: Final = 0xD08700
_COLOURS: Final = {"running": GREEN, "starting": GREY, "unresponsive": RED, "unknown": _AMBER, "stopped": 0x6C7D78}


def of(page: StatusPage, shown: dict[str, Any]) -> dict[str, Any]:
    """The body. Names are user input: they mention nobody and bring no markup."""
    site = settings.LEFT4ME_PUBLIC_URL
    servers = shown["servers"]
    more = len(servers) - _MOST_EMBEDS
    lines = [f"**{unformatted(page.title)}**"]
    if more > 0:
        lines.append(ngettext("… and %(n)d more server", "… and %(n)d more servers", more) % {"n": more})
    return {
        "content": "\n".join(lines),
        "allowed_mentions": {"parse": []},
        "embeds": [_embed(page, server, site) for server in servers[:_MOST_EMBEDS]],
    }


def with_time(body: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The body with the time of the change, which is no change itself."""
    *others, last = body["embeds"] or [{"description": _("No servers to show")}]
    return {**body, "embeds": [*others, {**last, "footer": {"text": _("Last change")}, "timestamp": now.isoformat()}]}


def _embed(page: StatusPage, server: dict[str, Any], site: str) -> dict[str, Any]:
    players = server["players"]
    is_played = server["state"] in ("running", "unresponsive")
    count = f" · {players['online']} / {players['most']}" if players["most"] else ""
    lines = [f"**{_words(server['state'])}**{count}"]
    if is_played and (place := " · ".join(filter(None, [server["campaign"], server["chapter"]])) or server["map"]):
        lines.append(unformatted(place))
    if names := ", ".join(player["name"] for player in players.get("names", ())):
        lines.append(unformatted(names[:_LONGEST_NAMES]))
    if "address" in server and is_played:
        join = ""
        if page.is_enabled:
            join = f"[{_('Join')}]({site}{reverse('status_pages:join', args=[page.slug, server['id']])}) · "
        lines.append(f"{join}`connect {server['address']}`")
    embed = {"title": server["name"], "description": "\n".join(lines), "color": _COLOURS[server["state"]]}
    if page.is_enabled:
        embed["url"] = f"{site}{page.public_path}"
    if is_played:
        embed["thumbnail"] = {"url": urljoin(f"{site}/", server["card"])}
    return embed


def _words(state: str) -> str:
    return {
        "running": _("Running"),
        "starting": _("Starting"),
        "unresponsive": _("Unresponsive"),
        "stopped": _("Stopped"),
    }.get(state, _("Unknown"))
