"""SourceTV of servers: its options, and the port that is reserved for it on the host.

The game's own default, 27020, lies inside the usual range of servers, so that it would take another server's port.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core import rows
from left4me.core.redis import hosts as host_messages
from left4me.core.redis import signals
from left4me.core.web.refusals import Cure, Refused
from overlays import paths
from servers.blueprints import checks
from servers.hosts import ports
from servers.models import Blueprint, Host, Server
from servers.sourcetv import application
from servers.sourcetv.options import Options

_MESSAGE_SECONDS: Final = 20.0


@transaction.atomic
def set_options(*, server: Server, by: User, **changes: Any) -> Options:
    """Change options of SourceTV; returns all of them. Raises ValidationError, by field, and Refused without a port.

    A running game that was started with SourceTV takes them over; one that was not needs a restart.
    """
    # Two servers of a host must not choose the same port at once.
    Host.objects.select_for_update().filter(pk=server.host_id).first()
    locked = Server.objects.select_for_update(of=("self",)).select_related("host", "blueprint")
    row = rows.still_there(locked, server)
    options = replace(Options.of(row.sourcetv), **changes)
    options.check()
    row.sourcetv = options.stored()
    reserve(row)
    if options.is_enabled and row.tv_port is None:
        raise Refused(
            _("All ports of the host are taken, and SourceTV needs one of its own. Give the host a larger range."),
            cure=Cure(label=_("Open host"), url=reverse("servers:host", args=[row.host_id])),
        )
    row.save(update_fields=["sourcetv", "tv_port"])
    server.sourcetv, server.tv_port = row.sourcetv, row.tv_port
    details = {name: value for name, value in options.stored().items() if name != "password"}
    record.write(action="server.sourcetv", by=by, target=row.resource, **details)
    signals.send_after_commit(row.resource)
    host_messages.send_after_commit(row.host.name, application.TASK, row.pk, expires=_MESSAGE_SECONDS)
    return options


def reserve(server: Server) -> None:
    """Set `tv_port` to a free port if the server or its blueprint enables SourceTV, otherwise to None.

    The caller saves.
    """
    if not Options.of(server.sourcetv).is_enabled and not is_enabled(server.blueprint):
        server.tv_port = None
    elif server.tv_port is None or server.tv_port == server.port:
        # From the top, so that the low numbers remain for servers. The start looks whether a program has it.
        taken = ports.reserved(server.host, besides=server) | {server.port}
        server.tv_port = next((port for port in reversed(server.host.ports) if port not in taken), None)


def reserve_for_all(blueprint: Blueprint) -> None:
    """Reserve ports for all servers of a blueprint that was changed."""
    for server in blueprint.servers.select_related("host", "blueprint").order_by("pk"):
        before = server.tv_port
        server.blueprint = blueprint
        reserve(server)
        if server.tv_port != before:
            server.save(update_fields=["tv_port"])


def is_enabled(blueprint: Blueprint) -> bool:
    """Whether the arguments, an exposed server.cfg or the config, in the order of their execution, enable SourceTV."""
    exposed = [layer for layer in blueprint.layers if layer.expose_cfg]
    texts = [paths.read_cfg(paths.directory(layer)) or "" for layer in reversed(exposed)]
    value = "0"
    for line in checks.config_lines(blueprint.arguments):
        words = line.replace('"', "").split()
        if words[:1] and words[0].lower() in {"+tv_enable", "-tv_enable"} and len(words) > 1:
            value = words[1]
    for text in [*texts, blueprint.config]:
        for line in checks.config_lines(text):
            for command in checks.parse(line):
                if command.words[0].lower() == "tv_enable" and len(command.words) > 1:
                    value = command.words[1]
    return value.strip() not in {"", "0"}
