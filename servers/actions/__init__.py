"""Everything that changes hosts, blueprints and servers, with who did it; for pages, API and admin alike.

Who may do it is asked before, by `servers.permissions`; what may be done is decided here and in the database.
"""

from servers.actions.blueprints import (
    clone_blueprint,
    create_blueprint,
    delete_blueprint,
    free_name,
    move_overlay,
    update_blueprint,
)
from servers.actions.hosts import add_host, remove_host, request_on_host, revoke_token, update_host
from servers.actions.refusals import InUse, Refused, Stale
from servers.actions.servers import (
    POWER_OPERATIONS,
    create_server,
    request,
    rotate_password,
    show_password,
    update_server,
)
from servers.actions.sharing import revoke, share

__all__ = [
    "POWER_OPERATIONS",
    "InUse",
    "Refused",
    "Stale",
    "add_host",
    "clone_blueprint",
    "create_blueprint",
    "create_server",
    "delete_blueprint",
    "free_name",
    "move_overlay",
    "remove_host",
    "request",
    "request_on_host",
    "revoke",
    "revoke_token",
    "rotate_password",
    "share",
    "show_password",
    "update_blueprint",
    "update_host",
    "update_server",
]
