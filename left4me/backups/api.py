"""Backups of servers, files overlays and the whole machine in the JSON API."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from ninja import Field, Query, Router, Schema, Status

from accounts.permissions import signed_in
from left4me.backups import actions, machine, views
from left4me.backups.models import Backup
from left4me.core.web.api import Window, listed, page_of, require_scope
from left4me.core.web.refusals import Refused
from left4me.jobs.api import JobOut
from left4me.jobs.models import Job
from servers import permissions
from servers.hosts import rpc

router = Router(tags=["backups"])


class BackupOut(Schema):
    """A backup; without `finished_at` it is being made by its job."""

    id: int
    resource: str
    host: str
    reason: Literal["manual", "scheduled", "before_restore"]
    job_id: int | None
    created_at: datetime
    finished_at: datetime | None
    size: int
    file_count: int
    was_running: bool


BackupPage = page_of(BackupOut, "BackupPage")


class ChangedFiles(Schema):
    """How many files, and the first of their paths."""

    count: int
    paths: list[str]


class RestorePlanOut(Schema):
    added: ChangedFiles
    replaced: ChangedFiles
    removed: ChangedFiles
    unchanged: int


class MachineBackupOut(Schema):
    """A backup of the whole machine."""

    name: str
    created_at: datetime
    size: int
    by: Literal["timer", "hand"]
    release: str
    parts: dict[str, int] = Field(description="The bytes of each part, by its name in the archive")
    skipped: int = Field(description="Files that were left out")
    is_damaged: bool
    restore_command: str = Field(description="What root types on that machine")


class MachineBackupsOut(Schema):
    is_nightly: bool = Field(description="Whether the timer makes one every night")
    is_late: bool = Field(description="Whether the newest is older than that")
    items: list[MachineBackupOut]


def _list(request: HttpRequest, kind: str, pk: int, window: Window) -> dict[str, Any]:
    return listed(Backup.objects.of(views.target_to_edit(signed_in(request), kind, pk)), window)


def _create(request: HttpRequest, kind: str, pk: int) -> Status[Backup]:
    require_scope(request, "operate")
    user = signed_in(request)
    return Status(202, actions.request(target=views.target_to_edit(user, kind, pk), by=user))


def _found(request: HttpRequest, kind: str, pk: int, backup_id: int) -> Backup:
    return views.backup_of(views.target_to_edit(signed_in(request), kind, pk), backup_id)


def _plan(request: HttpRequest, kind: str, pk: int, backup_id: int) -> Any:
    backup = _found(request, kind, pk, backup_id)
    try:
        return rpc.call(views.host_of(backup), "backup_plan", backup=backup.pk).facts
    except rpc.NotFound:
        raise Http404 from None
    except rpc.HostSilent:
        raise _silent() from None


def _download(request: HttpRequest, kind: str, pk: int, backup_id: int) -> HttpResponseBase:
    backup = _found(request, kind, pk, backup_id)
    # It holds configuration files with passwords.
    require_scope(request, "operate")
    try:
        return views.archive_response(request, backup, name=backup.resource.replace(":", "-"))
    except rpc.HostSilent:
        raise _silent() from None


def _restore(request: HttpRequest, kind: str, pk: int, backup_id: int) -> Status[Job]:
    require_scope(request, "operate")
    return Status(202, actions.restore(backup=_found(request, kind, pk, backup_id), by=signed_in(request)))


def _delete(request: HttpRequest, kind: str, pk: int, backup_id: int) -> Status[None]:
    require_scope(request, "operate")
    actions.delete(backup=_found(request, kind, pk, backup_id), by=signed_in(request))
    return Status(204, None)


def _silent() -> Refused:
    return Refused(_("The host did not respond. Try again in a moment."))


@router.get("/servers/{id:server_id}/backups", response=BackupPage, summary="Backups of a server, newest first")
def list_server_backups(request: HttpRequest, server_id: int, window: Query[Window]) -> dict[str, Any]:
    return _list(request, "servers", server_id, window)


@router.post("/servers/{id:server_id}/backups", response={202: BackupOut}, summary="Back up a server")
def back_up_server(request: HttpRequest, server_id: int) -> Status[Backup]:
    """Without stopping it. The job `job_id` makes the backup."""
    return _create(request, "servers", server_id)


@router.get(
    "/servers/{id:server_id}/backups/{id:backup_id}/plan",
    response=RestorePlanOut,
    summary="What a restore would change",
)
def plan_server_restore(request: HttpRequest, server_id: int, backup_id: int) -> Any:
    return _plan(request, "servers", server_id, backup_id)


@router.get("/servers/{id:server_id}/backups/{id:backup_id}/download", response=None, summary="The archive (tar.gz)")
def download_server_backup(request: HttpRequest, server_id: int, backup_id: int) -> HttpResponseBase:
    """`Range` continues an interrupted download."""
    return _download(request, "servers", server_id, backup_id)


@router.post(
    "/servers/{id:server_id}/backups/{id:backup_id}/restore", response={202: JobOut}, summary="Restore a backup"
)
def restore_server_backup(request: HttpRequest, server_id: int, backup_id: int) -> Status[Job]:
    """The server must be stopped. The present files are backed up first."""
    return _restore(request, "servers", server_id, backup_id)


@router.delete("/servers/{id:server_id}/backups/{id:backup_id}", response={204: None}, summary="Delete a backup")
def delete_server_backup(request: HttpRequest, server_id: int, backup_id: int) -> Status[None]:
    return _delete(request, "servers", server_id, backup_id)


@router.get("/overlays/{id:overlay_id}/backups", response=BackupPage, summary="Backups of a files overlay")
def list_overlay_backups(request: HttpRequest, overlay_id: int, window: Query[Window]) -> dict[str, Any]:
    return _list(request, "overlays", overlay_id, window)


@router.post("/overlays/{id:overlay_id}/backups", response={202: BackupOut}, summary="Back up a files overlay")
def back_up_overlay(request: HttpRequest, overlay_id: int) -> Status[Backup]:
    return _create(request, "overlays", overlay_id)


@router.get(
    "/overlays/{id:overlay_id}/backups/{id:backup_id}/plan",
    response=RestorePlanOut,
    summary="What a restore would change",
)
def plan_overlay_restore(request: HttpRequest, overlay_id: int, backup_id: int) -> Any:
    return _plan(request, "overlays", overlay_id, backup_id)


@router.get("/overlays/{id:overlay_id}/backups/{id:backup_id}/download", response=None, summary="The archive (tar.gz)")
def download_overlay_backup(request: HttpRequest, overlay_id: int, backup_id: int) -> HttpResponseBase:
    return _download(request, "overlays", overlay_id, backup_id)


@router.post(
    "/overlays/{id:overlay_id}/backups/{id:backup_id}/restore", response={202: JobOut}, summary="Restore a backup"
)
def restore_overlay_backup(request: HttpRequest, overlay_id: int, backup_id: int) -> Status[Job]:
    return _restore(request, "overlays", overlay_id, backup_id)


@router.delete("/overlays/{id:overlay_id}/backups/{id:backup_id}", response={204: None}, summary="Delete a backup")
def delete_overlay_backup(request: HttpRequest, overlay_id: int, backup_id: int) -> Status[None]:
    return _delete(request, "overlays", overlay_id, backup_id)


@router.get("/backups", response=MachineBackupsOut, summary="Backups of the whole machine, newest first")
def list_machine_backups(request: HttpRequest) -> Any:
    """For admins. 404 where left4me was not installed by `deploy/install`."""
    permissions.check_can_operate_host(signed_in(request))
    host = machine.host()
    try:
        if host is not None and host.backups_machine:
            return machine.of(host)
    except rpc.HostSilent:
        raise _silent() from None
    except rpc.NotFound:
        pass
    raise Http404


@router.post("/backups", response={202: JobOut}, summary="Back up the whole machine")
def back_up_machine(request: HttpRequest) -> Status[Job]:
    """For admins. Restoring is a command on that machine."""
    permissions.check_can_operate_host(signed_in(request))
    return Status(202, actions.request_of_machine(host=machine.host(), by=signed_in(request)))
