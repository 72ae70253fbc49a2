"""The procedures that pages can call on a host over `servers.hosts.rpc`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from left4me.core.lines import Masker
from servers.hosts import own_copies, this_host
from servers.hosts import ports as host_ports
from servers.hosts.rpc import Reply
from servers.logs import crash_dumps
from servers.logs.stored import NoSuchLog, StoredLogs
from servers.models import Server


def handle(procedure: str, values: dict[str, Any]) -> Reply | None:
    """Carry out a call; None when the object does not exist. Raises KeyError for an unknown procedure."""
    try:
        return _HANDLERS[procedure](**values)
    except (NoSuchLog, crash_dumps.NoSuchDump):
        return None


def _logs(server_id: int) -> StoredLogs:
    upper = this_host.storage().of(server_id).upper
    return StoredLogs(server_id, runtime=this_host.runtime(), upper=upper, mask=_masker(server_id))


def _masker(server_id: int) -> Masker:
    server = Server.objects.filter(pk=server_id).first()
    if server is None:
        raise NoSuchLog
    return server.masker


def _log_files(*, server: int) -> Reply:
    files = _logs(server).files()
    return Reply([{"name": f.name, "size": f.size, "changed_at": f.changed_at.isoformat()} for f in files])


def _console_log(*, server: int) -> Reply:
    return Reply(None, "".join(f"{line}\n" for line in _logs(server).console()).encode())


def _log_piece(*, server: int, file: str, offset: int) -> Reply:
    piece = _logs(server).read(file, offset=offset)
    return Reply(piece.facts(), piece.data)


def _log_search(*, server: int, file: str, text: str) -> Reply:
    return Reply(_logs(server).find(text, name=file))


def _crash_dumps(*, server: int) -> Reply:
    return Reply([dump.as_facts() for dump in crash_dumps.find(this_host.storage().of(server).upper)])


def _crash_dump(*, server: int, file: str) -> Reply:
    return Reply({"modules": crash_dumps.modules(this_host.storage().of(server).upper, file)})


def _dump_piece(*, server: int, file: str, offset: int) -> Reply:
    piece = crash_dumps.piece(this_host.storage().of(server).upper, file, offset=offset)
    return Reply(piece.facts(), piece.data)


def _busy_ports(*, ports: list[int]) -> Reply:
    return Reply({str(port): holder for port, holder in host_ports.busy_here(ports).items()})


def register(procedure: str, handler: Callable[..., Reply | None]) -> None:
    """Add a procedure of an app above this one."""
    _HANDLERS[procedure] = handler


_HANDLERS: dict[str, Callable[..., Reply | None]] = {
    "log_files": _log_files,
    "console_log": _console_log,
    "log_piece": _log_piece,
    "log_search": _log_search,
    "crash_dumps": _crash_dumps,
    "crash_dump": _crash_dump,
    "dump_piece": _dump_piece,
    "busy_ports": _busy_ports,
    "own_copies": own_copies.answer,
}
