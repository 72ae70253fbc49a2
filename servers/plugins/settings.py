"""The cfg files of a server's plugins, and the values that the server sets in them.

The values are in the server's row. Each start writes the files that have any, with the other lines as the server's own
file, an overlay or the plugin itself has them, so that links lead to them and a running game can take over new values.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from left4me.core import secrets, texts
from left4me.core.files import walk
from overlays.plugins import cfg
from servers.gamehost import rcon
from servers.gamehost.directory import ServerDirectory
from servers.hosts import this_host
from servers.hosts.rpc import Reply
from servers.hosts.start_parts import StartPart
from servers.models import Server
from servers.plugins import inventory

logger = logging.getLogger(__name__)

TASK: Final = "servers.apply_plugin_settings"
MOST_FILES: Final = 500


def path_of(file: str) -> str:
    """The path below the game of a file of settings."""
    return "/".join((*cfg.FOLDER, file))


def for_start(server: Server, layers: Sequence[Path]) -> StartPart:
    """The files in which the server sets values. `layers` are its overlays, the topmost first."""
    directory = this_host.storage().of(server.pk)
    return StartPart(
        replaceable={
            path_of(file): cfg.render(_text(directory, layers, file), values)
            for file, values in server.plugin_settings.items()
            if values
        }
    )


def apply(server_id: int) -> None:
    """Have a running game take over the values of its row, in the files that its start has linked."""
    server = Server.objects.select_related("blueprint").filter(pk=server_id).first()
    if server is None or server.actual_state != Server.State.RUNNING:
        return
    part = for_start(server, _overlays(server))
    directory = this_host.storage().of(server.pk)
    for path, text in part.replaceable.items():
        if not directory.has_replaceable(path):
            continue
        directory.write_replaceable({path: text})
        command = f"exec sourcemod/{path.rpartition('/')[2]}"
        try:
            this_host.ask_game(server, command)
        except (rcon.RconError, secrets.Unreadable) as fault:
            # The game executes the file at its next map anyway.
            logger.info("The settings of server %s were written, but not executed: %s", server.pk, fault)


def answer_files(*, server: int) -> Reply | None:
    """The files of a server that have settings."""
    row = Server.objects.select_related("blueprint").filter(pk=server).first()
    if row is None:
        return None
    directory, overlays = this_host.storage().of(row.pk), _overlays(row)
    names = _names(directory, overlays)
    return Reply([each for name in names if (each := _file_facts(row, directory, overlays, name))])


def answer(*, server: int, file: str) -> Reply | None:
    """The settings in a file, with the values that the server sets."""
    row = Server.objects.select_related("blueprint").filter(pk=server).first()
    if row is None:
        return None
    directory, overlays = this_host.storage().of(row.pk), _overlays(row)
    if file not in _names(directory, overlays):
        return None
    text = _text(directory, overlays, file)
    own = row.plugin_settings.get(file, {})
    inherited = cfg.read(_overlay_text(overlays, file) or "")
    return Reply(
        {
            "plugin": cfg.plugin_of(text),
            "settings": [
                {
                    "name": each.name,
                    "value": own.get(each.name, each.value),
                    "description": each.description,
                    "default": each.default,
                    "minimum": each.minimum,
                    "maximum": each.maximum,
                    # What the file has without this server; null where no overlay has it.
                    "inherited": inherited[each.name].value if each.name in inherited else None,
                }
                for each in cfg.read(text).values()
            ],
        }
    )


def _file_facts(
    server: Server, directory: ServerDirectory, overlays: Sequence[Path], name: str
) -> dict[str, Any] | None:
    text = _text(directory, overlays, name)
    count = len(cfg.read(text))
    if not count:
        return None
    return {
        "file": name,
        "plugin": cfg.plugin_of(text),
        "count": count,
        "changed": len(server.plugin_settings.get(name, {})),
    }


def _overlays(server: Server) -> list[Path]:
    return [layer.path for layer in inventory.layers(server) if layer.name != inventory.OWN]


def _names(directory: ServerDirectory, overlays: Iterable[Path]) -> list[str]:
    """The cfg files, by name; those with values of the server are links in its own layer."""
    found: set[str] = set()
    for layer in (directory.upper, directory.replaceable, *overlays):
        found.update(name for name in walk.list_files(layer, cfg.FOLDER) if name.endswith(cfg.SUFFIX))
    return sorted(name for name in found if name.isprintable() and '"' not in name)[:MOST_FILES]


def _text(directory: ServerDirectory, overlays: Sequence[Path], file: str) -> str:
    """The file as it is without the values of the row: the server's own, an overlay's, or as it was written last."""
    own = _read(directory.upper, file)
    if own is None:
        own = _overlay_text(overlays, file)
    if own is None:
        own = _read(directory.replaceable, file)
    return own or ""


def _overlay_text(overlays: Sequence[Path], file: str) -> str | None:
    return next((text for layer in overlays if (text := _read(layer, file)) is not None), None)


def _read(layer: Path, file: str) -> str | None:
    try:
        # A link is not followed: the content is untrusted.
        with walk.open_below(layer, (*cfg.FOLDER, file)) as stream:
            return texts.decode(stream.read(cfg.LARGEST)).text
    except OSError:
        return None
