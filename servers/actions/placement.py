"""Putting the row of a server on another host."""

from __future__ import annotations

from datetime import datetime

from left4me.core import rows, secrets
from servers.actions import sourcetv
from servers.models import Host, Server
from servers.state import state_log


def address_of(server: Server) -> str:
    """Where players reach it; the name of the host stands for an address that only the site knows."""
    return f"{server.host.address or server.host.name}:{server.port}"


def put_on(server: Server, host: Host, *, port: int, starts: bool, now: datetime) -> None:
    """Store that the server is on `host`, stopped, with another RCON password, since the old host knew the old one.

    It keeps its name, blueprint, shares and history. `starts`: the new host starts it. Raises ValidationError.
    """
    source = server.host.name
    server.host, server.port, server.tv_port = host, port, None
    sourcetv.reserve(server)
    server.rcon_password = secrets.new_password()
    server.applied, server.applied_sealed_rcon_password, server.game_version = None, "", ""
    server.desired_state = Server.Desired.RUNNING if starts else Server.Desired.STOPPED
    server.failed_starts, server.next_start_at = 0, now if starts else None
    server.started_at = server.starts_again_at = server.hung_since = server.offered_port = None
    server.last_error = ""
    server.outdated_files = 0
    server.version += 1
    rows.save_clean(server)
    detail = f"Moved from host {source}. New address: {address_of(server)}"
    state_log.record_state(server, Server.State.STOPPED, now=now, detail=detail)
