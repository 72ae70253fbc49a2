"""Audit entries as sentences: “anna started Friday”, with a link to what still exists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from left4me.audit.models import AuditEntry


class Label(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...


Labels = Callable[[Iterable[str]], Mapping[str, Label]]

_labels: list[Labels] = []

# Every action has a sentence here, or its group has one for all its actions.
SENTENCES: dict[str, str | Promise] = {
    "alert.create": _("{who} created the alert channel {what}"),
    "alert.delete": _("{who} deleted the alert channel {what}"),
    "alert.end_message": _("{who} ended the status message of the alert channel {what}"),
    "alert.keep_message": _("{who} chose the status message of the alert channel {what}"),
    "alert.test": _("{who} tested the alert channel {what}"),
    "alert": _("{who} changed the alert channel {what}"),
    "ban.add": _("{who} banned {what}"),
    "ban.change": _("{who} changed the ban of {what}"),
    "ban.import": _("{who} imported bans to the list {what}"),
    "ban.lift": _("{who} lifted the ban of {what}"),
    "ban_list.create": _("{who} created the ban list {what}"),
    "ban_list.delete": _("{who} deleted the ban list {what}"),
    "ban_list.subscribe": _("{who} subscribed to the ban list {what}"),
    "ban_list.unsubscribe": _("{who} unsubscribed from the ban list {what}"),
    "ban_list.update": _("{who} changed the ban list {what}"),
    "blueprint.create": _("{who} created the blueprint {what}"),
    "blueprint.delete": _("{who} deleted the blueprint {what}"),
    "blueprint.game_access": _("{who} changed who may join the games of the blueprint {what}"),
    "blueprint.game_admin_removed": _("{who} removed a person from the game admins of the blueprint {what}"),
    "blueprint.game_admin_set": _("{who} changed the game admins of the blueprint {what}"),
    "blueprint.identity": _("{who} changed the identity of the servers of the blueprint {what}"),
    "blueprint.reorder": _("{who} changed the order of overlays in the blueprint {what}"),
    "blueprint.restore": _("{who} restored an earlier version of the blueprint {what}"),
    "blueprint.rotation": _("{who} changed the map rotation of the blueprint {what}"),
    "blueprint.rotation_removed": _("{who} removed the map rotation of the blueprint {what}"),
    "blueprint.update": _("{who} changed the blueprint {what}"),
    "import.read": _("{who} had the directory {what} read for an import"),
    "import.carry_out": _("{who} imported servers from {what}"),
    "import.discard": _("{who} discarded the import of {what}"),
    "import": _("{who} changed an import: {what}"),
    "console.ban": _("{who} banned a player from {what}"),  # of earlier releases
    "console.command": _("{who} sent a command to {what}"),
    "console.kick": _("{who} kicked a player from {what}"),
    "console.map": _("{who} changed the map of {what}"),
    "console.load_plugin": _("{who} loaded a plugin on {what}"),
    "console.reload_plugin": _("{who} reloaded a plugin on {what}"),
    "console.unload_plugin": _("{who} unloaded a plugin on {what}"),
    "console": _("{who} used the console of {what}"),
    "bulk.start": _("{who} began an action on several servers: {what}"),
    "bulk.cancel": _("{who} cancelled an action on several servers: {what}"),
    "host.add": _("{who} added the host {what}"),
    "host.back_up": _("{who} backed up the whole machine of the host {what}"),
    "host.check_game": _("{who} looked for game updates on the host {what}"),
    "host.clean_game": _("{who} removed unused game versions from the host {what}"),
    "host.install": _("{who} installed or updated the game on the host {what}"),
    "host.copy_servers": _("{who} copied the servers of the host {what}"),
    "host.remove": _("{who} removed the host {what}"),
    "host.repair_game": _("{who} reinstalled the game on the host {what}"),
    "host.revoke_token": _("{who} revoked the token of the host {what}"),
    "host.rollback_game": _("{who} rolled back the game on the host {what}"),
    "host.update": _("{who} changed the host {what}"),
    "invitation.create": _("{who} created an invitation"),
    "invitation.revoke": _("{who} revoked an invitation"),
    "job.cancel": _("{who} cancelled {what}"),
    "job.retry": _("{who} retried {what}"),
    "match.cancel": _("{who} cancelled a match on {what}"),
    "match.create": _("{who} planned a match on {what}"),
    "match.end": _("{who} ended a match on {what}"),
    "match.load": _("{who} loaded a match on {what}"),
    "note.add": _("{who} added a note about a player"),
    "note.change": _("{who} changed a note about a player"),
    "note.delete": _("{who} deleted a note about a player"),
    "note.restore": _("{who} restored a note about a player"),
    "overlay.archive_applied": _("{who} extracted an archive into the overlay {what}"),
    "overlay.backup": _("{who} backed up the overlay {what}"),
    "overlay.build": _("{who} rebuilt the overlay {what}"),
    "overlay.collection_removed": _("{who} removed a collection from the overlay {what}"),
    "overlay.create": _("{who} created the overlay {what}"),
    "overlay.delete": _("{who} deleted the overlay {what}"),
    "overlay.delete_backup": _("{who} deleted a backup of the overlay {what}"),
    "overlay.files_changed": _("{who} changed files of the overlay {what}"),
    "overlay.files_deleted": _("{who} deleted files of the overlay {what}"),
    "overlay.files_discarded": _("{who} deleted files of the overlay {what} for good"),
    "overlay.files_restored": _("{who} restored deleted files of the overlay {what}"),
    "overlay.item_retried": _("{who} retried a workshop item of the overlay {what}"),
    "overlay.items_added": _("{who} added workshop items to the overlay {what}"),
    "overlay.items_removed": _("{who} removed workshop items from the overlay {what}"),
    "overlay.link_changed": _("{who} changed where players get a file of the overlay {what}"),
    "overlay.programs_allowed": _("{who} allowed programs of the game in the overlay {what}"),
    "overlay.refreshed": _("{who} checked the items of the overlay {what} on Steam"),
    "overlay.restore_backup": _("{who} restored a backup of the overlay {what}"),
    "overlay.script_changed": _("{who} changed the script of the overlay {what}"),
    "overlay.update": _("{who} changed the overlay {what}"),
    "overlay.upload_discarded": _("{who} discarded an upload to the overlay {what}"),
    "overlay.fetch": _("{who} fetched an archive into the overlay {what}"),
    "overlay.uploaded": _("{who} uploaded a file to the overlay {what}"),
    "player.forget": _("{who} had a player forgotten"),
    "schedule.cancel_run": _("{who} cancelled a run of the schedule {what}"),
    "schedule.create": _("{who} created the schedule {what}"),
    "schedule.delete": _("{who} deleted the schedule {what}"),
    "schedule.update": _("{who} changed the schedule {what}"),
    "status_page.create": _("{who} created the status page {what}"),
    "status_page.delete": _("{who} deleted the status page {what}"),
    "status_page": _("{who} changed the status page {what}"),
    "server.download_dump": _("{who} downloaded a crash dump of {what}"),
    "server.backup": _("{who} backed up {what}"),
    "server.create": _("{who} created {what}"),
    "server.delete": _("{who} deleted {what}"),
    "server.game_access": _("{who} changed who may join the game of {what}"),
    "server.game_admin_removed": _("{who} removed a person from the game admins of {what}"),
    "server.game_admin_set": _("{who} changed the game admins of {what}"),
    "server.delete_backup": _("{who} deleted a backup of {what}"),
    "server.initialize": _("{who} verified the files of {what}"),
    "server.keep_copies": _("{who} kept own copies of game files on {what}"),
    "server.kill": _("{who} force-stopped {what}"),
    "server.move": _("{who} moved {what} to another host"),
    "server.players_link_made": _("{who} created a player link for {what}"),
    "server.players_link_removed": _("{who} disabled the player link of {what}"),
    "server.put_back_copies": _("{who} put back own copies of game files on {what}"),
    "server.request_move": _("{who} began to move {what} to another host"),
    "server.restart": _("{who} restarted {what}"),
    "server.restart_when_empty": _("{who} had {what} restarted when it is empty"),
    "server.restore": _("{who} restored {what}"),
    "server.restore_copy": _("{who} restored {what} from the copy of a lost host"),
    "server.restore_backup": _("{who} restored a backup of {what}"),
    "server.revoke": _("{who} ended the sharing of {what}"),
    "server.rotate_password": _("{who} changed the RCON password of {what}"),
    "server.share": _("{who} shared {what}"),
    "server.show_password": _("{who} read the RCON password of {what}"),
    "server.delete_demos": _("{who} deleted demos of {what}"),
    "server.sourcetv": _("{who} changed SourceTV of {what}"),
    "server.plugin_disabled": _("{who} disabled a plugin on {what}"),
    "server.plugin_enabled": _("{who} enabled a plugin on {what}"),
    "server.plugin_settings": _("{who} changed settings of plugins on {what}"),
    "server.plugin_settings_reset": _("{who} reset settings of plugins on {what}"),
    "server.plugin_followed": _("{who} let a plugin on {what} follow its overlay"),
    "server.rotation": _("{who} changed the map rotation of {what}"),
    "server.rotation_removed": _("{who} removed the map rotation of {what}"),
    "server.map_queue": _("{who} changed the map queue of {what}"),
    "server.map_cancel": _("{who} cancelled a change of the map on {what}"),
    "server.start": _("{who} started {what}"),
    "server.stop": _("{who} stopped {what}"),
    "server.stop_when_empty": _("{who} had {what} stopped when it is empty"),
    "server.use_originals": _("{who} used the original game files again on {what}"),
    "server.update": _("{who} changed {what}"),
    "identity.link": _("{who} linked an account of another provider to sign in with"),
    "identity.unlink": _("{who} unlinked an account of another provider"),
    "factor.add_app": _("{who} set up an authenticator app"),
    "factor.add_passkey": _("{who} added a passkey"),
    "factor.remove_app": _("{who} removed their authenticator app"),
    "factor.remove_passkey": _("{who} removed a passkey"),
    "factor.renew_codes": _("{who} created new recovery codes"),
    "factor.reset": _("{who} reset the second factors of the user {what}"),
    "factor.use_code": _("{who} used a recovery code"),
    "session.code_refused": _("{who} entered a wrong code at the second step of a sign-in"),
    "session.door_refused": _("{who} could not be signed in at another provider"),
    "session.passkey_refused": _("{who} could not be signed in with a passkey"),
    "session.end": _("{who} signed out"),
    "session.refused": _("{who} failed to sign in"),
    "session.revoke": _("{who} signed out a device"),
    "session.start": _("{who} signed in"),
    "session.throttled": _("{who} was kept from signing in after too many attempts"),
    "filter.save": _("{who} saved the filter {what}"),
    "filter.delete": _("{who} deleted the filter {what}"),
    "token.create": _("{who} created the API token {what}"),
    "token.revoke": _("{who} revoked the API token {what}"),
    "token.use": _("{who} used the API token {what}"),
    "user.activate": _("{who} activated the user {what}"),
    "user.create": _("{who} created the user {what}"),
    "user.deactivate": _("{who} deactivated the user {what}"),
    "user.demote": _("{who} removed admin rights from the user {what}"),
    "user.password": _("{who} changed their password"),
    "user.password_by_link": _("{who} set a password by link"),
    "user.password_link": _("{who} created a password link for the user {what}"),
    "user.promote": _("{who} made the user {what} an admin"),
    "user.steam_link": _("{who} linked a Steam ID to the user {what}"),
    "user.steam_unlink": _("{who} unlinked the Steam ID of the user {what}"),
    "workshop.refresh": _("{who} checked all workshop items on Steam"),
}

_PAGES = {
    "alert": "alerts:channel",
    "ban": "bans:detail",
    "ban_list": "bans:list_detail",
    "blueprint": "servers:blueprint",
    "host": "servers:host",
    "job": "jobs:detail",
    "status_page": "status_pages:edit",
}
_ENDS = ("delete", "remove")


def register_labels(labels: Labels) -> None:
    """Register the function that returns names and pages of targets that exist: {"server:1": …}."""
    _labels[:] = [labels]


def describe(entries: Iterable[AuditEntry]) -> list[tuple[AuditEntry, SafeString]]:
    """Each entry with its sentence; the names are looked up together."""
    rows = list(entries)
    found: dict[str, Label] = {}
    for labels in _labels:
        found.update(labels(row.target for row in rows))
    return [(row, _sentence(row, found.get(row.target))) for row in rows]


def _sentence(entry: AuditEntry, label: Label | None) -> SafeString:
    group = entry.action.partition(".")[0]
    text = SENTENCES.get(entry.action) or SENTENCES.get(group) or gettext("{who}: {action} {what}")
    who = format_html("<strong>{}</strong>", entry.actor)
    return format_html(str(text), who=who, what=_target(entry, label), action=entry.action)


def _target(entry: AuditEntry, label: Label | None) -> SafeString | str:
    kind, _colon, number = entry.target.partition(":")
    name = str(entry.details.get("name") or (label.name if label else "")) or f"{kind} {number}".strip()
    url = label.url if label else ""
    if not url and kind in _PAGES and entry.action.rpartition(".")[2] not in _ENDS:
        try:
            url = reverse(_PAGES[kind], args=[number])
        except NoReverseMatch:
            url = ""
    return format_html('<a href="{}">{}</a>', url, name) if url else name
