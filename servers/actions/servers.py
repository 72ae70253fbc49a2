"""Creating and changing servers, and requesting operations on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypedDict, TypeVar, Unpack

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core import outages, rows, secrets
from left4me.core.files import reserve
from left4me.core.web.refusals import Cure, Invalid
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from servers import permissions
from servers.actions import blueprints, interruptions, moves, quotas, sourcetv
from servers.actions.refusals import Stale
from servers.blueprints import versions
from servers.hosts import disk_watch, ports
from servers.identity import live
from servers.models import Blueprint, Host, Server

Result = TypeVar("Result")

_FIELDS = {"name_taken": "name", "port_taken": "port"}

# The operations that can be requested, each with the desired state that the request sets; None keeps the old one.
POWER_OPERATIONS: dict[str, Server.Desired | None] = {
    "initialize": None,
    "start": Server.Desired.RUNNING,
    "restart": Server.Desired.RUNNING,
    "stop": Server.Desired.STOPPED,
    "kill": Server.Desired.STOPPED,
    "delete": Server.Desired.STOPPED,
}

# Each of these ends the game.
_ENDING = frozenset({"stop", "kill", "delete"})
_INTERRUPTING = _ENDING | {"restart"}

# Each failed attempt means that another server took the port in the same moment.
_PORT_TRIES = 20

MOST_TAGS = 10
LONGEST_TAG = 32


class ServerChanges(TypedDict, total=False):
    name: str
    blueprint: Blueprint
    port: int
    restart_when_hung: bool
    tag_list: Sequence[str]


def create_server(
    *,
    owner: User,
    by: User,
    name: str,
    blueprint: Blueprint,
    host: Host,
    port: int | None = None,
    restart_when_hung: bool = False,
    tag_list: Sequence[str] = (),
) -> Server:
    """Create a server with a new RCON password. Without `port` it gets the lowest free one of its host's range.

    Free means that no other server has it, and that no program of the host does. Raises ValidationError, by field.
    """
    return with_port(
        host,
        port,
        lambda chosen: add_server(
            owner=owner,
            by=by,
            name=name,
            blueprint=blueprint,
            host=host,
            port=chosen,
            restart_when_hung=restart_when_hung,
            tag_list=tag_list,
        ),
        by=by,
    )


def with_port(host: Host, port: int | None, add: Callable[[int], Result], *, by: User) -> Result:
    """Call `add` in a transaction, with `port` or with the lowest free port of the host; returns its result.

    The host is asked before the transaction begins: its worker may have to write while it answers.
    """
    if port is not None:
        ports.refuse_busy(Server(host=host), port)
    for _attempt in range(_PORT_TRIES):
        chosen = port or free_port(host, by=by)
        try:
            with transaction.atomic():
                return add(chosen)
        except ValidationError as fault:
            if port is not None or set(getattr(fault, "error_dict", ())) != {"port"}:
                raise
    raise ValidationError({"port": _("Too many servers are being created at once. Try again.")})


def add_server(
    *,
    owner: User,
    by: User,
    name: str,
    blueprint: Blueprint,
    host: Host,
    port: int,
    restart_when_hung: bool = False,
    tag_list: Sequence[str] = (),
) -> Server:
    """Create the row of a server. Call it inside `with_port`. Raises ValidationError, by field."""
    server = Server(
        owner=owner, name=name, blueprint=blueprint, host=host, port=port, restart_when_hung=restart_when_hung
    )
    server.tag_list = tag_list
    quotas.check_new(owner)
    server.rcon_password = secrets.new_password()
    _refuse(server)
    sourcetv.reserve(server)
    rows.save_clean(server, places=_FIELDS)
    record.write(action="server.create", by=by, target=server.resource, name=name, port=server.port)
    return server


def update_server(*, server: Server, seen_version: int, by: User, **changes: Unpack[ServerChanges]) -> Server:
    """Change a server that `by` read at `seen_version`.

    A running game gets the change at its next start; its port cannot be changed while it runs. Raises Stale,
    rows.Gone, or ValidationError by field.
    """
    # The stored port: a form has written the new one to `server` already. The host is asked before rows are locked.
    stored = Server.objects.filter(pk=server.pk).values_list("port", flat=True).first()
    if (port := changes.get("port", stored)) is not None and port != stored and server.is_at_rest:
        ports.refuse_busy(server, port)
    return _update(server=server, seen_version=seen_version, by=by, changes=changes)


@transaction.atomic
def _update(*, server: Server, seen_version: int, by: User, changes: ServerChanges) -> Server:
    locked = Server.objects.select_for_update(of=("self",)).select_related("host", "owner")
    current = rows.still_there(locked, server)
    if current.version != seen_version:
        raise Stale(current)
    port_stays = changes.get("port", current.port) == current.port
    old_blueprint, old_name = current.blueprint_id, current.name
    if not port_stays and not (current.is_at_rest and not _is_being_started(current)):
        cure = Cure(label=_("Stop"), url=reverse("servers:action", args=[current.pk]), operation="stop")
        raise ValidationError({"port": Invalid(_("Stop the server before you change its port."), cure=cure)})
    for name, value in changes.items():
        setattr(current, name, value)
    _refuse(current, port_stays=port_stays)
    if not port_stays:
        # What the last start said of the old port is no longer true.
        current.last_error, current.offered_port = "" if current.offered_port else current.last_error, None
    sourcetv.reserve(current)
    if current.blueprint_id != old_blueprint:
        current.number = 0
        current.take_number()
    elif current.name != old_name:
        live.request([current])
    current.version += 1
    rows.save_clean(current, places=_FIELDS)
    details: dict[str, Any] = {"name": current.name, "port": current.port, "blueprint": current.blueprint_id}
    record.write(action="server.update", by=by, target=current.resource, **details)
    return current


def request(*, server: Server, operation: str, by: User | None, interrupting: str = "") -> Job:
    """Request an operation on the server. Returns its job, or an equal one that is already queued.

    `interrupting` names what the operation may interrupt, such as a live match (see `interruptions`).

    The desired state changes with the request and not with its success: a start that fails is still desired. On a full
    disk the reserve is given up for what ends a game; if even that leaves no room, the game is ended without a job.
    Raises Refused.
    """
    if operation in _INTERRUPTING:
        interruptions.check_operation(server, operation, confirmed=interrupting)
    try:
        return _request(server=server, operation=operation, by=by)
    except (DatabaseError, OSError) as fault:
        if operation not in _ENDING or outages.of(fault) is not outages.FULL:
            raise
    reserve.give_up(settings.LEFT4ME_ROOT)
    try:
        return _request(server=server, operation=operation, by=by)
    except (DatabaseError, OSError) as fault:
        if outages.of(fault) is not outages.FULL or not disk_watch.ask_to_end(server, forcibly=operation != "stop"):
            raise
    raise jobs.Refused(_("The disk is full, so no job could be written. The game is being ended without one."))


@transaction.atomic
def _request(*, server: Server, operation: str, by: User | None) -> Job:
    if operation not in POWER_OPERATIONS:
        raise jobs.Refused(_("Unknown operation “%s”.") % operation)
    if POWER_OPERATIONS[operation] == Server.Desired.RUNNING:
        quotas.check_start(server)
    job = jobs.request(operation=operation, resource=server.resource, by=by, host=server.host.name)
    _desire(server, operation)
    record.write(action=f"server.{operation}", by=by, target=server.resource, job=job.pk)
    return job


def before_retry(number: str, operation: str) -> None:
    """Check and change for a job that is retried what `request` would. Raises Refused."""
    server = Server.objects.select_related("host", "owner").filter(pk=number).first()
    if server is None:
        return
    if operation in _INTERRUPTING:
        interruptions.check_operation(server, operation, confirmed="")
    elif operation == moves.OPERATION:
        interruptions.check(server, confirmed="")
    if operation not in POWER_OPERATIONS:
        return
    if POWER_OPERATIONS[operation] == Server.Desired.RUNNING:
        quotas.check_start(server)
    _desire(server, operation)


def _desire(server: Server, operation: str) -> None:
    desired = POWER_OPERATIONS[operation]
    if desired is not None:
        server.desired_state = desired
        # Whoever asks for something decides anew: earlier failures no longer count.
        server.failed_starts, server.next_start_at = 0, None
        server.save(update_fields=["desired_state", "failed_starts", "next_start_at"])


@transaction.atomic
def rotate_password(*, server: Server, by: User) -> str:
    """Set and return a new RCON password, which is used from the next start on."""
    password = secrets.new_password()
    server.rcon_password = password
    server.save(update_fields=["sealed_rcon_password"])
    record.write(action="server.rotate_password", by=by, target=server.resource)
    return password


def show_password(*, server: Server, by: User) -> str:
    """Return the password, and record in the audit log that `by` read it. Raises secrets.Unreadable."""
    password = server.rcon_password
    record.write(action="server.show_password", by=by, target=server.resource)
    return password


def use_offered_port(*, server: Server, by: User) -> Job:
    """Give the server the port that its failed start found free, and start it. Raises Refused and ValidationError."""
    if server.offered_port is None:
        raise jobs.Refused(
            _("No free port is known. Edit the server to choose one."),
            cure=Cure(label=_("Open settings"), url=reverse("servers:edit", args=[server.pk])),
        )
    changed = update_server(server=server, seen_version=server.version, by=by, port=server.offered_port)
    return request(server=changed, operation="start", by=by)


@transaction.atomic
def start_without_last_change(*, server: Server, by: User) -> list[str]:
    """Restore the blueprint's version before its last change, but for the admins, and start the server with it.

    Returns the names of overlays that are left out because they were deleted. Raises Refused if there is no such
    version, and otherwise as `restore_version` and `request` do.
    """
    change = versions.last_change(server.blueprint)
    if change is None:
        raise jobs.Refused(
            _("No earlier version of the blueprint is kept."),
            cure=Cure(label=_("Edit blueprint"), url=reverse("servers:blueprint_edit", args=[server.blueprint_id])),
        )
    before = change[1].number
    _saved, left_out = blueprints.restore_version(blueprint=server.blueprint, number=before, by=by, keep_lists=True)
    request(server=server, operation="start" if server.is_at_rest else "restart", by=by)
    return left_out


def _is_being_started(server: Server) -> bool:
    """Whether a job that may have read the port is running."""
    return Job.objects.live().filter(resource=server.resource, state=Job.State.RUNNING).exists()


def free_port(host: Host, *, by: User | None = None) -> int:
    """The lowest port of the host's range that is free. Raises ValidationError when all are taken."""
    free = ports.choose(host, find_busy=lambda asked: ports.ask(host, asked))
    if free is None:
        is_admin = by is not None and permissions.can_operate_host(by)
        cure = Cure(label=_("Open host"), url=host.get_absolute_url()) if is_admin else None
        raise ValidationError(
            {"port": Invalid(_("All ports of this host are in use. An admin can widen the port range."), cure=cure)}
        )
    return free


def _refuse(server: Server, *, port_stays: bool = False) -> None:
    """Raise ValidationError for rules that no database constraint can express.

    A server keeps its port (`port_stays`) when its host's range no longer contains it.
    """
    faults = {}
    # Locked until the commit: PostgreSQL checks foreign keys only then, too late for a message to the user.
    if Blueprint.objects.select_for_update(no_key=True).filter(pk=server.blueprint_id).first() is None:
        faults["blueprint"] = _("This blueprint was deleted. Choose another one.")
    if server.blueprint.owner_id != server.owner_id:
        faults["blueprint"] = _("A server needs a blueprint of its owner. Choose another blueprint.")
    if not port_stays and server.port in ports.reserved(server.host, besides=server):
        faults["port"] = _("Another server on this host uses this port. Choose another one.")
    if server.port not in server.host.ports and not port_stays:
        faults["port"] = _("Choose a port from %(first)d to %(last)d.") % {
            "first": server.host.first_port,
            "last": server.host.last_port,
        }
    if server._state.adding and not server.host.is_enabled:
        faults["host"] = _("This host does not accept new servers. Choose another host.")
    if len(server.tag_list) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in server.tag_list):
        faults["tag_list"] = _("A server has at most %(most)d tags of at most %(longest)d characters.") % {
            "most": MOST_TAGS,
            "longest": LONGEST_TAG,
        }
    if faults:
        raise ValidationError(faults)
