"""What a host answers to the questions of `servers.hosts.rpc`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from servers.hosts import this_host
from servers.hosts.rpc import Answer
from servers.logs.stored import NoSuchLog, StoredLogs


def answer(question: str, values: dict[str, Any]) -> Answer | None:
    """The answer, None when there is no such thing. Raises KeyError for a question nobody knows."""
    try:
        return _ANSWERS[question](**values)
    except NoSuchLog:
        return None


def _logs(server_id: int) -> StoredLogs:
    return StoredLogs(server_id, runtime=this_host.runtime(), upper=this_host.storage().of(server_id).upper)


def _log_files(*, server: int) -> Answer:
    files = _logs(server).files()
    return Answer([{"name": f.name, "size": f.size, "changed_at": f.changed_at.isoformat()} for f in files])


def _console_log(*, server: int) -> Answer:
    return Answer(None, "".join(f"{line}\n" for line in _logs(server).console()).encode())


def _log_piece(*, server: int, file: str, offset: int) -> Answer:
    piece = _logs(server).read(file, offset=offset)
    return Answer({"size": piece.size}, piece.data)


def _log_search(*, server: int, file: str, text: str) -> Answer:
    return Answer(_logs(server).find(text, name=file))


_ANSWERS: dict[str, Callable[..., Answer]] = {
    "log_files": _log_files,
    "console_log": _console_log,
    "log_piece": _log_piece,
    "log_search": _log_search,
}
