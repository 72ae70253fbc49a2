"""Reserving a port for SourceTV on the host of a server whose blueprint enables it.

The game's own default, 27020, lies inside the usual range of servers, so that it would take another server's port.
"""

from __future__ import annotations

from overlays import paths
from servers.blueprints import checks
from servers.hosts import ports
from servers.models import Blueprint, Server


def reserve(server: Server) -> None:
    """Set `tv_port` to a free port if the blueprint enables SourceTV, otherwise to None. The caller saves."""
    if not is_enabled(server.blueprint):
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
