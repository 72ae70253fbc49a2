"""Which rotation applies to a server: its own, else that of its blueprint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.db.models import Q

from livestate.rotation.models import Rotation
from servers.models import Server

# Of a change that a queue alone asks for.
WAIT_SECONDS: Final = 20


def of_servers(servers: Iterable[Server]) -> dict[int, Rotation]:
    """The rotation of each of these servers, by server, in one query; servers without one are missing."""
    servers = list(servers)
    blueprints = {server.blueprint_id for server in servers}
    rows = Rotation.objects.filter(Q(server__in=[server.pk for server in servers]) | Q(blueprint__in=blueprints))
    own = {row.server_id: row for row in rows if row.server_id}
    shared = {row.blueprint_id: row for row in rows if row.blueprint_id}
    found = {server.pk: own.get(server.pk) or shared.get(server.blueprint_id) for server in servers}
    return {pk: row for pk, row in found.items() if row is not None}


def of_server(server: Server) -> Rotation | None:
    return of_servers([server]).get(server.pk)
