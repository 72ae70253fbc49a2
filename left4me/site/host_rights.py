"""Database privileges of the hosts other than the web's own: what their workers need, and nothing else.

The roles of these hosts are members of one role, created by `left4mectl host add`; without it, this does nothing.
Every `migrate` sets the role's privileges to this list, also after an upgrade that adds tables.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

ROLE = "left4me_hosts"

# In PostgreSQL's syntax, with columns where a host must not see the whole row. Empty: no privilege at all.
# A host reads which user a job or an order belongs to, but no credentials.
RIGHTS = {
    "accounts.ApiToken": "",
    "accounts.OneTimeLink": "",
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
    "backups.Backup": "SELECT, INSERT, UPDATE, DELETE",
    "contenttypes.ContentType": "",
    "jobs.Job": "SELECT, INSERT, UPDATE",
    "jobs.JobLock": "SELECT, INSERT, DELETE",
    "jobs.JobLog": "SELECT, INSERT",
    "livestate.HostFigures": "SELECT, INSERT, UPDATE, DELETE",
    "livestate.Order": "SELECT, UPDATE, DELETE",
    "livestate.PlayerNote": "",
    "livestate.PlayerSession": "SELECT, INSERT, UPDATE, DELETE",
    "livestate.ServerFigures": "SELECT, INSERT, UPDATE, DELETE",
    "livestate.Silence": "SELECT, INSERT, UPDATE, DELETE",
    "livestate.Snapshot": "SELECT, INSERT, UPDATE, DELETE",
    "livestate.SteamProfile": "SELECT, INSERT",
    "livestate.Sweep": "SELECT, INSERT, UPDATE",
    "overlays.AddonContents": "",
    "overlays.DeletedFile": "",
    "overlays.Overlay": "SELECT",
    "overlays.OverlayAddon": "SELECT",
    "overlays.OverlayCollection": "",
    "overlays.OverlayContents": "",
    "overlays.OverlayCopy": "SELECT, INSERT, UPDATE",
    "overlays.OverlayScript": "",
    "overlays.OverlayWorkshopItem": "SELECT",
    "overlays.Upload": "",
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
    "servers.Server": "SELECT, UPDATE, DELETE",
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
