"""Database privileges of the hosts other than the web's own: what their workers need, and nothing else.

The roles of these hosts are members of one role, created by `left4mectl host add`; without it, this does nothing.
Every `migrate` sets the role's privileges to this list, also after an upgrade that adds tables.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from left4me.site import host_rows

ROLE = "left4me_hosts"

# Which rows of them: `host_rows.ROWS`. In PostgreSQL's syntax, with columns where a host must not see the whole row.
# Empty: no privilege at all. A host reads which user a job or an order belongs to, but no credentials.
RIGHTS = {
    "accounts.ApiToken": "",
    "accounts.AuthenticatorApp": "",
    "accounts.Identity": "",
    "accounts.OneTimeLink": "",
    "accounts.Passkey": "",
    "accounts.RecoveryCode": "",
    "accounts.SavedFilter": "",
    "accounts.Session": "",
    "accounts.User": "SELECT (id, username, is_admin, is_active, created_at, steam_id, steam_source)",
    "admin.LogEntry": "",
    "alerts.BellMark": "",
    "alerts.Channel": "SELECT (id, user_id, name, events, everything, is_enabled)",
    "alerts.Delivery": "SELECT, INSERT",
    "alerts.Incident": "SELECT, INSERT, UPDATE",
    "audit.AuditEntry": "",
    "auth.Group": "",
    "auth.Group_permissions": "",
    "auth.Permission": "",
    # A start and a pass over the games add what was banned there; a deleted server takes its own list with it.
    "bans.AppliedBans": "SELECT, INSERT, UPDATE, DELETE",
    "bans.Ban": "SELECT, INSERT, UPDATE (ended_at), DELETE",
    "bans.BanList": "SELECT, INSERT, UPDATE (version), DELETE",
    "bans.Subscription": "SELECT, DELETE",
    "backups.Backup": "SELECT, INSERT, UPDATE (size, file_count, finished_at, was_running), DELETE",
    "contenttypes.ContentType": "",
    # What a host finds among the files of its servers.
    "demos.Demo": "SELECT, INSERT, UPDATE, DELETE",
    "importer.Import": "",
    # Not what a job is about, where it runs and for whom.
    "jobs.Job": (
        "SELECT, INSERT, UPDATE (state, exit_code, error, progress, started_at, finished_at, attempt, worker,"
        " lease_expires_at, last_seq)"
    ),
    "jobs.JobLock": "SELECT, INSERT, DELETE",
    "jobs.JobLog": "SELECT, INSERT",
    "livestate.HostFigures": "SELECT, INSERT, UPDATE, DELETE",
    "livestate.Order": "SELECT, UPDATE (state, output, note, finished_at), DELETE",
    "livestate.PlayerNote": "",
    "livestate.PlayerSession": "SELECT, INSERT, UPDATE, DELETE",
    "livestate.ServerFigures": "SELECT, INSERT, UPDATE, DELETE",
    # What its visits add up to.
    "livestate.ServerPlayer": "SELECT, INSERT, UPDATE, DELETE",
    "livestate.Silence": "SELECT, INSERT, UPDATE, DELETE",
    "livestate.Snapshot": "SELECT, INSERT, UPDATE, DELETE",
    "livestate.SteamProfile": "SELECT, INSERT",
    "livestate.Sweep": "SELECT, INSERT, UPDATE",
    # What is found in the game. A deleted server takes its matches with it.
    "matches.Match": (
        "SELECT, UPDATE (state, phase, reason, note, sent_at, started_at, ended_at, empty_since, misses,"
        " tells_score, ready, sides, log_position, maps, rounds), DELETE"
    ),
    "matches.MatchPlayer": "SELECT, INSERT, UPDATE (team), DELETE",
    "overlays.AddonContents": "",
    "overlays.DeletedFile": "",
    "overlays.Overlay": "SELECT",
    "overlays.OverlayAddon": "SELECT",
    "overlays.OverlayCollection": "",
    "overlays.OverlayContents": "",
    "overlays.OverlayCopy": "SELECT, INSERT, UPDATE",
    "overlays.OverlayMatchModes": "",
    "overlays.OverlayScript": "",
    "overlays.OverlayWorkshopItem": "SELECT",
    "overlays.Upload": "",
    # What the game told, found on its host. The web decides what follows from it.
    "rotation.GameEvent": "SELECT, INSERT, DELETE",
    # With a server its orders are deleted, one of which may be the change that was ordered.
    "rotation.MapState": "SELECT, UPDATE (order_id), DELETE",
    "rotation.Rotation": "SELECT, DELETE",
    # The worker that deletes a server deletes what is planned for it.
    "schedules.BulkAction": "",
    "schedules.Run": "SELECT (id, server_id, schedule_id, bulk_id), DELETE",
    "schedules.Schedule": "SELECT (id, server_id, name), DELETE",
    "servers.Blueprint": "SELECT",
    "servers.BlueprintOverlay": "SELECT",
    "servers.BlueprintVersion": "",
    "servers.DeletedServer": "SELECT, INSERT, UPDATE",
    "servers.GameAccess": "SELECT, DELETE",
    "servers.GameAccessState": "SELECT, INSERT, UPDATE, DELETE",
    "servers.GameCheck": "SELECT, INSERT, UPDATE",
    "servers.GamePerson": "SELECT, DELETE",
    "servers.GameRun": "SELECT, INSERT, UPDATE, DELETE",
    "servers.Host": "SELECT, UPDATE (last_seen_at, version, facts, game_version)",
    "servers.HostToken": "",
    "servers.PlayersLink": "SELECT (server_id), DELETE",
    # What it observes. Name, owner, blueprint, host, port and password are the web's.
    "servers.Server": (
        "SELECT, DELETE, UPDATE (desired_state, actual_state, actual_state_at, last_error, started_at,"
        " starts_again_at, failed_starts, next_start_at, hung_since, game_version, applied,"
        " applied_sealed_rcon_password, outdated_files, tv_port, offered_port)"
    ),
    # A host asks the web for each step of a copy and of a move.
    "servers.ServerCopy": "",
    "servers.ServerMove": "",
    "servers.ServerShare": "SELECT (id, server_id, user_id, role), DELETE",
    "servers.StarterBlueprint": "",
    "servers.StateChange": "SELECT, INSERT, DELETE",
    "status_pages.StatusMessage": "",
    "status_pages.StatusPage": "",
    "status_pages.StatusPage_servers": "SELECT (id, server_id), DELETE",
    "workshop.WorkshopContents": "",
    "workshop.WorkshopItem": "SELECT",
}


def apply(connection: BaseDatabaseWrapper) -> bool:
    """Set the role's privileges to RIGHTS. Returns False if the role does not exist."""
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE])
        if cursor.fetchone() is None:
            return False
    there = set(connection.introspection.table_names())
    for label in host_rows.ROWS:
        if apps.get_model(label)._meta.db_table in there:
            host_rows.apply(connection, label)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for statement in statements(connection):
            cursor.execute(statement)
    return True


def statements(connection: BaseDatabaseWrapper) -> list[str]:
    there = set(connection.introspection.table_names())
    statements = [
        f'REVOKE ALL ON ALL TABLES IN SCHEMA public FROM "{ROLE}"',
        f'GRANT USAGE ON SCHEMA public TO "{ROLE}"',
        f'GRANT SELECT ON django_migrations TO "{ROLE}"',
    ]
    for label, rights in RIGHTS.items():
        table = apps.get_model(label)._meta.db_table
        if rights and table in there:
            statements.append(f'GRANT {rights} ON "{table}" TO "{ROLE}"')
    return statements


def after_migrate(*, using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Handler of `post_migrate`."""
    apply(connections[using])
