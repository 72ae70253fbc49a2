"""The actions that change hosts, blueprints and servers, and record who did it. Pages, API and admin use them.

Callers check permissions before, by `servers.permissions`. Actions and database constraints check the values.
"""

from servers.actions.blueprints import (
    clone_blueprint,
    create_blueprint,
    delete_blueprint,
    free_name,
    move_overlay,
    restore_version,
    update_blueprint,
)
from servers.actions.bulk import Outcome, request_on_many
from servers.actions.copies import request_of_host as request_copies
from servers.actions.deletions import cancel_deletion, restore_server
from servers.actions.game_access import change_person, remove_person, set_person, set_rules
from servers.actions.hosts import add_host, check_game, remove_host, request_on_host, revoke_token, update_host
from servers.actions.lost_hosts import Losses, remove_lost_host
from servers.actions.quick_start import QuickStart, quick_start
from servers.actions.refusals import InUse, Refused, Stale
from servers.actions.servers import (
    POWER_OPERATIONS,
    before_retry,
    create_server,
    request,
    rotate_password,
    show_password,
    start_without_last_change,
    update_server,
    use_offered_port,
)
from servers.actions.sharing import revoke, share
