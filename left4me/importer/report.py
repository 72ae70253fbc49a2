"""The report of a plan in words: for the command, for the log of a job, and for the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from left4me.importer.plan import Plan, ServerPlan, Tree, largest

KINDS: Final = {
    "linuxgsm": "LinuxGSM",
    "pterodactyl": "Pterodactyl, Pelican",
    "docker": "Docker",
    "plain": gettext_lazy("A directory with srcds"),
}
# Why files are left, the most interesting first.
REASONS: Final = {
    "link_out": gettext_lazy("Links that lead out of the directory"),
    "link": gettext_lazy("Links that lead nowhere, or in a circle"),
    "unreadable": gettext_lazy("Cannot be read by left4me"),
    "bad_name": gettext_lazy("Names that left4me cannot use"),
    "special": gettext_lazy("No files: sockets, pipes, devices"),
    "program": gettext_lazy("Programs of the game: left4me installs them itself"),
    "game_other": gettext_lazy("Files of the game from another version"),
    "probably_game": gettext_lazy("Probably files of the game"),
    "config": gettext_lazy("Become the server.cfg of a blueprint"),
    "admins": gettext_lazy("Become the game admins of a blueprint"),
    "bans": gettext_lazy("Become the bans of a server"),
    "game": gettext_lazy("Files of the game, the same as installed here"),
    "log": gettext_lazy("Logs"),
    "demo": gettext_lazy("Demos"),
    "dump": gettext_lazy("Crash dumps"),
    "cache": gettext_lazy("Made by the game itself"),
    "backup": gettext_lazy("Copies of old files"),
    "panel": gettext_lazy("Files of the tool that ran the server"),
    "outside": gettext_lazy("Outside of the game's folder"),
}
_TOLD: Final = 8


def left(tree: Tree) -> list[tuple[str, int, int, list[str]]]:
    """What is left of a tree: the reason, how many files, their size, and the first paths."""
    return [
        (str(words), group.count, group.size, group.paths)
        for reason, words in REASONS.items()
        if (group := tree.left.get(reason)) is not None
    ]


def item_note(found_by: str, *, is_current: bool) -> str:
    if not is_current:
        return _("an older version; the newest one will be downloaded")
    if found_by == "content":
        return _("recognised by its content")
    return _("known here") if found_by == "known" else ""


def lines(plan: Plan) -> Iterator[str]:
    """The report as lines of text."""
    yield f"{plan.path}: {KINDS[plan.kind]}"
    yield from plan.notes
    for tree in plan.trees:
        yield ""
        yield from _tree_lines(tree)


def _tree_lines(tree: Tree) -> Iterator[str]:
    yield _("%(name)s, from %(folder)s") % {"name": tree.name, "folder": tree.game}
    yield from (f"  ! {note}" for note in tree.notes)
    files = ngettext("%(n)s file", "%(n)s files", tree.files.count) % {"n": tree.files.count}
    yield "  " + _("Files overlay: %(files)s, %(size)s") % {"files": files, "size": size(tree.files.size)}
    for folder in largest(tree.folders.values())[:_TOLD]:
        yield f"    {folder.name}: {folder.count}, {size(folder.size)}"
    if tree.items:
        yield "  " + _("Workshop overlay: %s") % ", ".join(str(item.steam_id) for item in tree.items)
        for item in tree.items:
            note = item_note(item.found_by, is_current=item.is_current)
            yield f"    {item.steam_id} {item.title} ({', '.join(filter(None, [item.path, note]))})"
    for server in tree.servers:
        yield from _server_lines(server)
    if tree.admins:
        yield "  " + _("Game admins: %d") % len(tree.admins)
    if tree.bans.count:
        yield "  " + _("Bans: %d") % tree.bans.count
    for words, count, bytes_, paths in left(tree):
        yield "  " + _("Left: %(what)s: %(n)s, %(size)s") % {"what": words, "n": count, "size": size(bytes_)}
        yield from (f"    {path}" for path in paths[:_TOLD])
        if count > _TOLD:
            yield "    …"


def _server_lines(server: ServerPlan) -> Iterator[str]:
    port = server.port or _("a free port")
    origin = f" ({server.origin})" if server.origin else ""
    yield "  " + _("Server “%(name)s”, port %(port)s%(origin)s") % {
        "name": server.name,
        "port": port,
        "origin": origin,
    }
    yield from (f"    {line}" for line in server.arguments.splitlines())
    if server.config:
        of = f" ({server.config_from})" if server.config_from else ""
        count = len(server.config.splitlines())
        yield f"    server.cfg{of}: " + ngettext("%(n)s line", "%(n)s lines", count) % {"n": count}
    yield from (f"    - {note}" for note in server.notes)
    yield "    - " + _("It gets a new RCON password.")


def size(count: int) -> str:
    return f"{count / 1_000_000:.1f} MB"
