"""The models of hosts, blueprints and servers."""

from servers.models.blueprints import Blueprint, BlueprintOverlay, BlueprintVersion, StarterBlueprint
from servers.models.copies import ServerCopy
from servers.models.deletions import DeletedServer
from servers.models.game_access import FLAGS, GameAccess, GameAccessState, GamePerson
from servers.models.hosts import GameCheck, Host, HostToken
from servers.models.moves import ServerMove
from servers.models.players_link import PlayersLink
from servers.models.servers import GameRun, Server, ServerShare, StateChange
