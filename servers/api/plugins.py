"""The API of the SourceMod plugins of a server."""

from __future__ import annotations

from typing import Any, Literal

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Body, require_scope
from left4me.core.web.refusals import Refused
from overlays.plugins.api import PluginFacts
from servers import lookups
from servers.actions import plugins as actions
from servers.hosts import rpc
from servers.models import Server
from servers.views import plugins as views

router = Router(tags=["servers"])


class LoadedPlugin(Schema):
    number: int = Field(description="Its place in the order in which SourceMod loaded the plugins")
    status: str = Field(description="Empty while it runs; otherwise what SourceMod calls it, such as Failed")
    error: str


class ServerPlugin(PluginFacts):
    overlay: str = Field(description="The overlay that it comes from; empty for the server's own files")
    missing: list[str] = Field(description="Those of its needs that are not there or not enabled")

    switch: str = Field(description="By which it is enabled and disabled; empty for one that other plugins load")
    is_switched: bool = Field(description="Whether this server enables or disables it, whatever its overlay says")
    present_path: str = Field(description="Its path in the game that runs, for orders")
    loaded: LoadedPlugin | None = Field(description="What the running game says of it; null if it is not loaded")


class PluginError(Schema):
    name: str = Field(description="The file of the plugin or extension")
    kind: Literal["native", "extension", "plugin", "failed", "exception", "logged"] = Field(
        description="What it lacks: a native, an extension or a plugin; that it failed for another reason; or that it "
        "threw an exception or logged an error while it ran"
    )
    detail: str = Field(description="The name of what is missing, or the reason")
    count: int
    at: str = Field(description="When it was logged last, by the clock of the game: month/day/year - time")


class ServerPlugins(Schema):
    has_sourcemod: bool
    version: str = Field(description="The version of SourceMod that runs; empty if unknown")
    is_known: bool = Field(description="Whether the running game told which plugins it has loaded")
    problem: str = Field(description="Why the running game could not be asked")
    plugins: list[ServerPlugin] = Field(description="As the next start shows them")
    errors: list[PluginError] = Field(description="Of the error log of the last start, the latest first; at most 100")
    gone: list[str] = Field(description="Loaded plugins whose files are not there any more")


class SwitchIn(Body):
    switch: str = Field(max_length=200, description="As the list of plugins names it")
    is_enabled: bool | None = Field(description="Null to follow the overlay again")


class SwitchOut(Schema):
    switch: str
    is_enabled: bool | None


class SettingFile(Schema):
    file: str
    plugin: str = Field(description="The file of the plugin that it says it is for; may be empty")
    count: int
    changed: int = Field(description="How many of its settings this server sets")


class SettingOut(Schema):
    name: str
    value: str
    description: str
    default: str | None
    minimum: float | None
    maximum: float | None
    inherited: str | None = Field(description="Its value in an overlay; null where none has it")


class SettingsOut(Schema):
    plugin: str
    settings: list[SettingOut]


class SettingsIn(Body):
    values: dict[str, str] = Field(description="New values by name; the others stay")


@router.get("/servers/{id:server_id}/plugins", response=ServerPlugins, summary="List its SourceMod plugins")
def list_server_plugins(request: HttpRequest, server_id: int) -> dict[str, Any]:
    """Those of its overlays and of its own files."""
    return _facts(lookups.server_to_operate(signed_in(request), server_id))


@router.patch("/servers/{id:server_id}/plugins", response=SwitchOut, summary="Enable or disable a SourceMod plugin")
def switch_plugin(request: HttpRequest, server_id: int, given: SwitchIn) -> dict[str, Any]:
    """For this server alone, from its next start on. The overlay and other servers stay as they are."""
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_edit(user, server_id)
    actions.switch(server=server, path=given.switch, is_enabled=given.is_enabled, by=user)
    return {"switch": given.switch, "is_enabled": given.is_enabled}


@router.get("/servers/{id:server_id}/plugin-settings", response=list[SettingFile], summary="List files with settings")
def list_setting_files(request: HttpRequest, server_id: int) -> list[dict[str, Any]]:
    """The cfg files of plugins, below cfg/sourcemod."""
    return views.setting_files(lookups.server_to_edit(signed_in(request), server_id))


@router.get("/servers/{id:server_id}/plugin-settings/{file}", response=SettingsOut, summary="Get settings of a plugin")
def read_settings(request: HttpRequest, server_id: int, file: str) -> dict[str, Any]:
    return _settings(lookups.server_to_edit(signed_in(request), server_id), file)


@router.patch(
    "/servers/{id:server_id}/plugin-settings/{file}", response=SettingsOut, summary="Set settings of a plugin"
)
def set_settings(request: HttpRequest, server_id: int, file: str, given: SettingsIn) -> dict[str, Any]:
    """For this server alone. A running game takes them over, if the file had settings of the server at its start."""
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_edit(user, server_id)
    known = actions.known_of(_settings(server, file)["settings"])
    actions.set_values(server=server, file=file, values=given.values, known=known, by=user)
    return _settings(server, file)


@router.delete("/servers/{id:server_id}/plugin-settings/{file}", response={204: None}, summary="Reset its settings")
def reset_settings(request: HttpRequest, server_id: int, file: str) -> Status[None]:
    """The file is then as its overlay has it, or as its plugin writes it again."""
    require_scope(request, "operate")
    user = signed_in(request)
    actions.reset(server=lookups.server_to_edit(user, server_id), file=file, by=user)
    return Status(204, None)


def _settings(server: Server, file: str) -> dict[str, Any]:
    try:
        return views.settings_of(server, file)
    except rpc.HostSilent:
        raise Refused(_("The host did not respond. Try again in a moment.")) from None


def _facts(server: Server) -> dict[str, Any]:
    found = views.facts(server)
    if "silent" in found:
        raise Refused(_("The host did not respond. Try again in a moment."))
    return found
