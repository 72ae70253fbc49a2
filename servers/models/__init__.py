"""Hosts, blueprints and servers as rows."""

from servers.models.blueprints import Blueprint, BlueprintOverlay, StarterBlueprint
from servers.models.history import StateChange
from servers.models.host_tokens import HostToken
from servers.models.hosts import Host
from servers.models.players_link import PlayersLink
from servers.models.servers import Server, ServerShare

__all__ = [
    "Blueprint",
    "BlueprintOverlay",
    "Host",
    "HostToken",
    "PlayersLink",
    "Server",
    "ServerShare",
    "StarterBlueprint",
    "StateChange",
]
