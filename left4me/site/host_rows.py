# ruff: noqa: S608 -- every statement is made of constants of this file
"""Which rows of the database a worker host reads and writes, as conditions of PostgreSQL's row-level security.

The role of a host has its name in it. From that the conditions find the host's row, its servers and its jobs; roles
with other names have no rows at all. The owner of the tables, which is the web's role, is not limited.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from django.apps import apps
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import OperationalError

ROLE_PREFIX: Final = "left4me_host_"

# The host whose role asks. Conditions are evaluated with its rights: each subquery below is limited by the policy of
# its table, and is computed once for a statement, so that indexes are used.
_NAME: Final = f"substr(current_user::text, {len(ROLE_PREFIX) + 1})"
_HOST: Final = f"(SELECT id FROM servers_host WHERE name = {_NAME})"
_SERVERS: Final = "ARRAY(SELECT id FROM servers_server)"
_OWNERS: Final = "ARRAY(SELECT owner_id FROM servers_server)"
_BLUEPRINTS: Final = "ARRAY(SELECT blueprint_id FROM servers_server)"
_RESOURCES: Final = "ARRAY(SELECT 'server:' || id FROM servers_server)"
_OF_OWN_JOB: Final = f"EXISTS (SELECT FROM jobs_job job WHERE job.id = job_id AND job.host = {_NAME})"

OF_SERVER: Final = f"server_id = ANY ({_SERVERS})"
OF_HOST: Final = f"host_id = {_HOST}"

# What an alert is about: the host, a server of it, or something that it has a job on. A job ends with an alert, which
# must not fail because the server has moved meanwhile.
_SUBJECTS: Final = (
    f"subject = ANY ({_RESOURCES}) OR subject = 'host:' || {_HOST}"
    f" OR EXISTS (SELECT FROM jobs_job job WHERE job.resource = subject AND job.host = {_NAME})"
)
_OWN_LIST: Final = f"ban_list_id = ANY (ARRAY(SELECT id FROM bans_banlist WHERE {OF_SERVER}))"
_OF_BLUEPRINT: Final = f"{OF_SERVER} OR blueprint_id = ANY ({_BLUEPRINTS})"


@dataclass(frozen=True)
class Rows:
    """The rows that a host may read, and those that it may add, change and delete: the same without `write`."""

    read: str
    write: str = ""

    @property
    def written(self) -> str:
        return self.write or self.read


@dataclass(frozen=True)
class All:
    """Every row may be read; `because` is the reason. Rows are written only as `write` allows."""

    because: str
    write: str = "false"

    @property
    def read(self) -> str:
        return "true"

    @property
    def written(self) -> str:
        return self.write


# For each table in which `host_rights.RIGHTS` gives hosts anything.
ROWS: Final[dict[str, Rows | All]] = {
    # Whom alerts of its servers and jobs are for, and who has rights in its games.
    "accounts.User": Rows(
        "is_admin"
        f" OR id = ANY ({_OWNERS})"
        " OR id = ANY (ARRAY(SELECT user_id FROM servers_servershare))"
        " OR id = ANY (ARRAY(SELECT user_id FROM servers_gameperson))"
        " OR id = ANY (ARRAY(SELECT owner_id FROM servers_blueprint))"
        " OR id = ANY (ARRAY(SELECT owner_id FROM overlays_overlay))"
        f" OR EXISTS (SELECT FROM jobs_job job WHERE job.user_id = accounts_user.id AND job.host = {_NAME})",
        "false",
    ),
    "alerts.Channel": Rows("user_id = ANY (ARRAY(SELECT id FROM accounts_user))", "false"),
    "alerts.Delivery": Rows(_SUBJECTS),
    "alerts.Incident": Rows(_SUBJECTS),
    "bans.AppliedBans": Rows(OF_SERVER),
    "bans.Ban": Rows("ban_list_id = ANY (ARRAY(SELECT id FROM bans_banlist))", _OWN_LIST),
    "bans.BanList": Rows(
        f"{OF_SERVER} OR server_id IS NULL AND owner_id = ANY ({_OWNERS})"
        " OR id = ANY (ARRAY(SELECT ban_list_id FROM bans_subscription"
        f" WHERE {OF_SERVER} OR server_id IS NULL AND user_id = ANY ({_OWNERS})))",
        OF_SERVER,
    ),
    "bans.Subscription": All(
        "It says which list applies to whose servers, names no player, and the list itself is limited. A condition "
        "would have to read lists, whose condition reads this table.",
        f"{OF_SERVER} OR {_OWN_LIST}",
    ),
    # Those of the owners on other hosts count for the same quota.
    "backups.Backup": Rows(f"host = {_NAME} OR owner_id = ANY ({_OWNERS})", OF_SERVER),
    "demos.Demo": Rows(OF_SERVER),
    # Jobs on its servers are read wherever they run: while there is one, the server is left alone.
    "jobs.Job": Rows(
        f"host = {_NAME} OR resource = ANY ({_RESOURCES})",
        f"host = {_NAME}",
    ),
    "jobs.JobLock": All(
        "Jobs of other hosts may hold what a job of this one waits for, such as the build of an overlay. A lock names "
        "a resource by number, and nothing else.",
        _OF_OWN_JOB,
    ),
    "jobs.JobLog": Rows(_OF_OWN_JOB),
    "livestate.HostFigures": Rows(OF_HOST),
    "livestate.Order": Rows(OF_SERVER),
    "livestate.PlayerSession": Rows(OF_SERVER),
    "livestate.ServerFigures": Rows(OF_SERVER),
    "livestate.ServerPlayer": Rows(OF_SERVER),
    "livestate.Silence": Rows(OF_SERVER),
    "livestate.Snapshot": Rows(OF_SERVER),
    "livestate.SteamProfile": All("They are what Steam shows everybody of an account.", "true"),
    "livestate.Sweep": Rows(OF_HOST),
    "matches.Match": Rows(OF_SERVER),
    "matches.MatchPlayer": Rows("match_id = ANY (ARRAY(SELECT id FROM matches_match))"),
    # Those of its blueprints, and those of which it still has a copy to delete.
    "overlays.Overlay": Rows(
        "id = ANY (ARRAY(SELECT overlay_id FROM servers_blueprintoverlay))"
        f" OR id = ANY (ARRAY(SELECT overlay_id FROM overlays_overlaycopy WHERE host = {_NAME}))",
        "false",
    ),
    "overlays.OverlayAddon": Rows("overlay_id = ANY (ARRAY(SELECT id FROM overlays_overlay))", "false"),
    "overlays.OverlayCopy": Rows(
        f"host = {_NAME}",
        f"host = {_NAME} AND overlay_id = ANY (ARRAY(SELECT overlay_id FROM servers_blueprintoverlay))",
    ),
    "overlays.OverlayWorkshopItem": Rows("overlay_id = ANY (ARRAY(SELECT id FROM overlays_overlay))", "false"),
    "rotation.GameEvent": Rows(OF_SERVER),
    "rotation.MapState": Rows(OF_SERVER),
    "rotation.Rotation": Rows(_OF_BLUEPRINT, OF_SERVER),
    "schedules.Run": Rows(OF_SERVER),
    "schedules.Schedule": Rows(OF_SERVER),
    "servers.Blueprint": Rows(f"id = ANY ({_BLUEPRINTS})", "false"),
    "servers.BlueprintOverlay": Rows(f"blueprint_id = ANY ({_BLUEPRINTS})", "false"),
    "servers.DeletedServer": Rows(
        OF_HOST,
        f"{OF_HOST} AND EXISTS (SELECT FROM servers_server server WHERE server.id = server_id"
        " AND server.owner_id = servers_deletedserver.owner_id"
        " AND server.blueprint_id = servers_deletedserver.blueprint_id)",
    ),
    "servers.GameAccess": Rows(_OF_BLUEPRINT, OF_SERVER),
    "servers.GameAccessState": Rows(OF_SERVER),
    "servers.GameCheck": Rows(OF_HOST),
    "servers.GamePerson": Rows(_OF_BLUEPRINT, OF_SERVER),
    "servers.GameRun": Rows(OF_SERVER),
    "servers.Host": Rows(f"name = {_NAME}"),
    "servers.PlayersLink": Rows(OF_SERVER),
    "servers.Server": Rows(OF_HOST),
    "servers.ServerShare": Rows(OF_SERVER),
    "servers.StateChange": Rows(OF_SERVER),
    "status_pages.StatusPage_servers": Rows(OF_SERVER),
    "workshop.WorkshopItem": All("They are public in Steam's workshop, and name no user."),
}

# Beyond `written`, for rows that a host adds. What a job is about and what it locks holds up others.
ADDED: Final[dict[str, str]] = {
    "backups.Backup": f"host = {_NAME}",
    "bans.BanList": (
        "NOT is_shared AND NOT is_default"
        " AND owner_id = (SELECT server.owner_id FROM servers_server server WHERE server.id = server_id)"
    ),
    "jobs.Job": f"(position(':' IN resource) = 0 OR resource = ANY ({_RESOURCES}))",
    "jobs.JobLock": (
        f"(resource LIKE '%@' || {_NAME} OR resource = ANY ({_RESOURCES}) OR NOT exclusive AND resource = ANY ("
        "ARRAY(SELECT 'overlay:' || overlay_id FROM servers_blueprintoverlay)))"
    ),
}


def apply(connection: BaseDatabaseWrapper, label: str) -> None:
    """Limit the rows of a table, unless they are limited in this way already.

    A change locks the table for a moment. The workers of hosts may be in it, so each table has a transaction of its
    own, which does not wait long and is tried again.
    """
    table = apps.get_model(label)._meta.db_table
    wanted = _policies(label, table)
    for attempt in range(_ATTEMPTS):
        try:
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                cursor.execute(
                    "SELECT policyname FROM pg_policies WHERE schemaname = 'public' AND tablename = %s", [table]
                )
                present = {name for (name,) in cursor.fetchall()}
                cursor.execute("SELECT relrowsecurity FROM pg_class WHERE oid = %s::regclass", [table])
                if present == wanted.keys() and cursor.fetchone() == (True,):
                    return
                cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
                cursor.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
                for name in present:
                    cursor.execute(f'DROP POLICY "{name}" ON "{table}"')
                for statement in wanted.values():
                    cursor.execute(statement)
            return
        except OperationalError:
            if attempt == _ATTEMPTS - 1:
                raise


_ATTEMPTS: Final = 5
_LOCK_SECONDS: Final = 5


def _policies(label: str, table: str) -> dict[str, str]:
    """The statements that create the policies of a table, by names that change with what they say.

    For everybody but the owner, and not for the role of the hosts alone: a dump of the database can be restored where
    that role does not exist.
    """
    rows = ROWS[label]
    added = f"({rows.written}) AND {ADDED[label]}" if label in ADDED else rows.written
    clauses = {
        "SELECT": f"USING ({rows.read})",
        "INSERT": f"WITH CHECK ({added})",
        "UPDATE": f"USING ({rows.written}) WITH CHECK ({rows.written})",
        "DELETE": f"USING ({rows.written})",
    }
    found = {}
    for command, clause in clauses.items():
        name = f"left4me_{command.lower()}_{hashlib.sha256(clause.encode()).hexdigest()[:12]}"
        found[name] = f'CREATE POLICY "{name}" ON "{table}" FOR {command} {clause}'
    return found
