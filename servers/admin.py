"""Hosts, blueprints and servers in Django's admin, with the forms and actions of the pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from accounts.permissions import signed_in
from left4me.core.web.admin import ActionAdmin, ReadOnlyAdmin
from servers import actions
from servers.forms import BlueprintForm, HostForm, ServerForm, StarterForm
from servers.models import Blueprint, Host, Server, ServerShare, StarterBlueprint, StateChange


@admin.register(Host)
class HostAdmin(ActionAdmin):
    form = HostForm
    list_display = ["name", "address", "first_port", "last_port", "is_enabled", "last_seen_at", "game_version"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        # A host creates its own row when its worker first reports.
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def update(self, *, row: Any, values: dict[str, Any], request: HttpRequest) -> Host:
        return actions.update_host(host=row, by=signed_in(request), **values)


@admin.register(Blueprint)
class BlueprintAdmin(ActionAdmin):
    form = BlueprintForm
    list_display = ["name", "owner", "version", "updated_at"]
    list_select_related = ["owner"]
    search_fields = ["name", "owner__username"]

    def form_arguments(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {"owner": obj.owner if obj else signed_in(request)}

    def create(self, *, values: dict[str, Any], request: HttpRequest) -> Blueprint:
        user = signed_in(request)
        return actions.create_blueprint(owner=user, by=user, **_without_version(values))

    def update(self, *, row: Any, values: dict[str, Any], request: HttpRequest) -> Blueprint:
        return actions.update_blueprint(
            blueprint=row, seen_version=values["version"] or 0, by=signed_in(request), **_without_version(values)
        )

    def delete(self, *, row: Any, request: HttpRequest) -> None:
        actions.delete_blueprint(blueprint=row, by=signed_in(request))


@admin.register(Server)
class ServerAdmin(ActionAdmin):
    form = ServerForm
    list_display = ["name", "owner", "host", "port", "blueprint", "desired_state", "actual_state", "actual_state_at"]
    list_filter = ["actual_state", "desired_state", "host"]
    list_select_related = ["owner", "host", "blueprint"]
    search_fields = ["name", "owner__username"]

    def form_arguments(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {"owner": obj.owner if obj else signed_in(request)}

    def create(self, *, values: dict[str, Any], request: HttpRequest) -> Server:
        user = signed_in(request)
        return actions.create_server(owner=user, by=user, **_without_version(values))

    def update(self, *, row: Any, values: dict[str, Any], request: HttpRequest) -> Server:
        return actions.update_server(
            server=row, seen_version=values["version"] or 0, by=signed_in(request), **_without_version(values)
        )

    def delete(self, *, row: Any, request: HttpRequest) -> None:
        actions.request(server=row, operation="delete", by=signed_in(request))

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: int) -> HttpResponse:
        # The job deletes the row at its end, after the files.
        self.message_user(request, _("Deleting server “%s”…") % obj_display)
        return redirect("admin:servers_server_changelist")


@admin.register(StarterBlueprint)
class StarterBlueprintAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Templates have no owner; their lines are checked like those of a blueprint."""

    form = StarterForm
    list_display = ["name", "is_offered"]
    list_editable = ["is_offered"]


@admin.register(ServerShare)
class ServerShareAdmin(ReadOnlyAdmin):
    list_display = ["server", "user", "role", "created_at"]
    list_filter = ["role"]
    list_select_related = ["server", "user"]
    search_fields = ["server__name", "user__username"]


@admin.register(StateChange)
class StateChangeAdmin(ReadOnlyAdmin):
    list_display = ["server", "state", "at", "detail"]
    list_filter = ["state", "server__host"]
    list_select_related = ["server"]
    search_fields = ["server__name", "detail"]
    date_hierarchy = "at"


def _without_version(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "version"}
