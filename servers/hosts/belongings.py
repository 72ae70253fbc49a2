"""What belongs to a server and moves with it, beside what the game has written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from servers.gamehost.directory import ServerDirectory
from servers.models import Host, Server

Folder = Callable[[int], Path]
# Called in the transaction in which the server changes its host.
Moved = Callable[[Server, Host], None]
# Called with a server of which less may have arrived than its host had, or nothing.
Told = Callable[[Server], None]

_folders: dict[str, Folder] = {}
_moved: list[Moved] = []
_arrived: list[Told] = []
_gone: list[Told] = []


def register(name: str, folder: Folder, *, moved: Moved, arrived: Told, gone: Told) -> None:
    """Carry a folder of the old host to the new one, and tell when the server has moved. Called once by `ready`.

    `arrived` is called on the new host of a server that was restored from a copy: the old host may have had more.
    `gone` is called where there was no copy either.
    """
    _folders[name] = folder
    _moved.append(moved)
    _arrived.append(arrived)
    _gone.append(gone)


def names() -> Iterable[str]:
    """The names of the registered folders."""
    return _folders


def folder(name: str, server_id: int) -> Path:
    """Where a registered folder of a server is on this host."""
    return _folders[name](server_id)


def trees(directory: ServerDirectory, server_id: int) -> dict[str, Path]:
    """All folders of a server that are carried, in their order in the stream."""
    own = {"upper": directory.upper, "aside": directory.aside, "log": directory.logs}
    return own | {name: place(server_id) for name, place in _folders.items()}


def has_moved(server: Server, target: Host) -> None:
    for hook in _moved:
        hook(server, target)


def have_arrived(server: Server) -> None:
    for hook in _arrived:
        hook(server)


def have_gone(server: Server) -> None:
    for hook in _gone:
        hook(server)
