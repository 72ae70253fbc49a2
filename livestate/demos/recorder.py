"""Stores what a host finds of demos as rows, so that pages of the whole site can name them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from django.db import transaction

from left4me.core.redis import signals
from livestate.demos import files
from livestate.demos.files import File
from livestate.demos.header import Header
from livestate.demos.models import Demo
from servers.gamehost.directory import ServerDirectory
from servers.hosts import this_host
from servers.models import Server

State = Demo.State
_FIELDS: Final = ("size", "changed", "state", "map", "network_protocol", "ticks", "started_at", "ended_at")


def note_all(host_name: str) -> None:
    """Look at the demos of all servers of this host."""
    note(Server.objects.on_host(host_name).order_by("pk").only("pk", "started_at"))


def note(servers: Iterable[Server]) -> None:
    """Look at the demos of these servers, and write down what has changed."""
    servers = list(servers)
    known: dict[int, dict[str, Demo]] = defaultdict(dict)
    for row in Demo.objects.filter(server__in=servers):
        known[row.server_id][row.path] = row
    for server in servers:
        _note_one(server, known[server.pk])


def _note_one(server: Server, known: dict[str, Demo]) -> None:
    directory = this_host.storage().of(server.pk)
    found = files.find(directory.upper)
    if not found and not known:
        return
    recorded = _recorded(server, directory, found, known)
    changed = [
        row
        for file in found.values()
        if (row := _row(server, directory, file, known.get(file.path), is_recorded=file.path == recorded))
    ]
    gone = [row.pk for path, row in known.items() if path not in found]
    if not changed and not gone:
        return
    with transaction.atomic():
        Demo.objects.filter(pk__in=gone).delete()
        # The server may have been deleted since: then its rows are of no use, and nothing refers to it.
        if not Server.objects.filter(pk=server.pk).exists():
            return
        Demo.objects.bulk_create(
            changed, update_conflicts=True, unique_fields=["server", "path"], update_fields=list(_FIELDS)
        )
        signals.send_after_commit(f"{signals.DEMOS}:{server.pk}")


def _recorded(server: Server, directory: ServerDirectory, found: Mapping[str, File], known: Mapping[str, Demo]) -> str:
    """The path of the demo to which a game writes now; empty without one. A game writes to one at a time."""
    newest = max(found.values(), key=lambda file: file.changed, default=None)
    if newest is None or server.started_at is None or newest.changed_at < server.started_at:
        return ""
    row = known.get(newest.path)
    if row is not None and row.changed == newest.changed:
        is_finished = row.state in (State.COMPLETE, State.DAMAGED)
    else:
        header = files.read_header(directory.upper, newest.path)
        is_finished = header is not None and header.is_complete
    return newest.path if not is_finished and directory.is_held() else ""


def _row(
    server: Server, directory: ServerDirectory, file: File, known: Demo | None, *, is_recorded: bool
) -> Demo | None:
    """The row of a demo if it differs from the known one."""
    if known is not None and (known.changed, known.size) == (file.changed, file.size):
        if known.is_recording == is_recorded:
            return None
        values = {name: getattr(known, name) for name in _FIELDS}
        values["state"] = State.RECORDING if is_recorded else State.UNFINISHED
    else:
        header = files.read_header(directory.upper, file.path)
        values = {"size": file.size, "changed": file.changed, **_told(file, header, known, is_recorded=is_recorded)}
    return Demo(server=server, path=file.path, **values)


def _told(file: File, header: Header | None, known: Demo | None, *, is_recorded: bool) -> dict[str, Any]:
    """What the header and the times of a file tell."""
    ended_at = file.changed_at
    if header is None and not is_recorded:
        nothing = {"map": "", "network_protocol": 0, "ticks": 0}
        return {**nothing, "state": State.DAMAGED, "started_at": ended_at, "ended_at": ended_at}
    seconds = header.seconds if header is not None and header.is_complete else 0.0
    begun = [ended_at - timedelta(seconds=seconds)]
    if not seconds and (named := files.begun_at(file)) is not None:
        begun.append(named)
    if known is not None and known.is_recording:
        # It was seen while it was recorded; its own length leaves out the time in which the game slept.
        begun.append(known.started_at)
    return {
        "state": State.RECORDING if is_recorded else State.COMPLETE if seconds else State.UNFINISHED,
        "map": header.map if header else "",
        "network_protocol": header.network_protocol if header else 0,
        "ticks": header.ticks if header else 0,
        "started_at": min(begun),
        "ended_at": ended_at,
    }
