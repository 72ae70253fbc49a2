"""Makes the plan of an import. Nothing is written, neither in the source nor in left4me."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from left4me.core.files.tree import Parts
from left4me.importer import compose, items, launch, layout, linuxgsm, people, settings_texts
from left4me.importer.classification import ADMINS, CFG, Classifier
from left4me.importer.launch import Launch
from left4me.importer.layout import Game
from left4me.importer.plan import SHOWN, File, Group, Plan, Tree
from left4me.importer.source import BadSource, Source
from left4me.importer.stock import Stock
from livestate.bans import formats
from servers.gamehost.game import Versions


class Watcher(Protocol):
    """What a job tells the reader and hears from it; `JobContext` is one."""

    def check(self) -> None: ...
    def progress(self, *, phase: str, done: int, total: int | None = None, unit: str = "") -> None: ...


@dataclass
class Reading:
    """A plan, and the files that are taken for each of its trees."""

    plan: Plan
    files: list[list[File]] = field(default_factory=list)


def read(source: Source, *, launch_text: str = "", watcher: Watcher) -> Reading:
    """Plan the import of a source. A launch line that the user knows replaces those that are found.

    Raises BadSource if there is nothing to import, and what `watcher.check` does.
    """
    versions = Versions(Path(settings.LEFT4ME_ROOT) / "game").all()[::-1]
    plan = Plan(str(source.path), layout.kind_of(source), versions[0].build if versions else "")
    stock = Stock([version.path for version in versions])
    # Folders that a compose file mounts look like a game's folder, and are only parts of one.
    mounted = compose.games(source) if plan.kind == layout.DOCKER else []
    games = mounted or layout.find_games(source)
    if not games:
        raise BadSource(
            _(
                "No folder left4dead2 was found in %s, nor a compose file that mounts parts of one. Name the "
                "directory in which the game is installed."
            )
            % source.path
        )
    reading = Reading(plan)
    for game, launches in zip(games, _launches(source, plan.kind, games, launch_text), strict=True):
        tree = Tree("/".join(game.folder) or ".", settings_texts.plain_name(game.name) or "Imported")
        tree.notes += game.notes
        plan.trees.append(tree)
        reading.files.append(_read_tree(source, game, tree, launches, stock, watcher))
    _note(plan, games, source)
    return reading


def _read_tree(
    source: Source, game: Game, tree: Tree, launches: Sequence[Launch], stock: Stock, watcher: Watcher
) -> list[File]:
    own_cfg = _plan_servers(source, game, tree, launches)
    files: list[File] = []
    classifier = Classifier(source, game, stock=stock, own_cfg=own_cfg, check=watcher.check)
    for seen in classifier.sort(tree, files.append):
        watcher.progress(phase="reading", done=seen, unit="files")
    recognised = items.recognise(source, files, check=watcher.check)
    if recognised.steam_error:
        tree.notes.append(
            _("Steam could not be asked (%s). Addons that only Steam knows are taken as files.")
            % recognised.steam_error
        )
    kept = []
    for file in files:
        if item := recognised.items.get(file.source):
            if all(other.steam_id != item.steam_id for other in tree.items):
                tree.items.append(item)
            continue
        if taken := _without_people(source, tree, file):
            tree.take(taken)
            kept.append(taken)
    _read_bans(source, tree)
    return kept


def _without_people(source: Source, tree: Tree, file: File) -> File | None:
    """The file as it is taken; None if everything in it becomes rows."""
    if file.target.lower() != ADMINS.lower():
        return file
    tree.admins, rest = people.read(source.text(tuple(file.source.split("/"))))
    if not tree.admins:
        return file
    if not rest:
        tree.leave(file.source, "admins", file.size)
        return None
    return file._replace(text=rest, size=len(rest.encode()))


def _plan_servers(source: Source, game: Game, tree: Tree, launches: Sequence[Launch]) -> frozenset[str]:
    """Plan the servers; returns the cfg files whose lines become theirs, so that they are not files as well."""
    own = {"server.cfg"}
    for found in launches or [Launch(origin="", line="")]:
        where = _cfg_of(source, game, found.cfg_file)
        if where is None and found.cfg_file != "server.cfg":
            where = _cfg_of(source, game, "server.cfg")
        if where is not None:
            own.add(settings_texts.folded(found.cfg_file))
        text = source.text(where) if where else ""
        server = settings_texts.server(
            found, cfg=text, cfg_path="/".join(where) if where else "", usual_name=tree.name
        )
        if not found.origin:
            server.notes.append(_("No launch line was found. The server starts with the first map of the game."))
        elif server.port is None:
            server.notes.append(_("The port is not in the launch line. The server gets a free one."))
        if all(
            (server.port, server.arguments, server.config) != (s.port, s.arguments, s.config) for s in tree.servers
        ):
            tree.servers.append(server)
    return frozenset(own)


def _cfg_of(source: Source, game: Game, name: str) -> Parts | None:
    """Where the source has a cfg file of this name, in any letter case."""
    wanted = (*CFG[1:], *name.split("/"))
    for mount in game.mounts:
        depth = len(mount.target)
        if tuple(part.lower() for part in mount.target) != tuple(part.lower() for part in wanted[:depth]):
            continue
        where: Parts = mount.source
        for part in wanted[depth:]:
            names = [entry.where for entry in source.list(where)]
            where = next((each for each in names if each[-1].lower() == part.lower()), ())
            if not where:
                break
        if where and source.is_file(where):
            return where
    return None


def _launches(source: Source, kind: str, games: Sequence[Game], text: str) -> list[list[Launch]]:
    """The launches of each game's folder."""
    if text.strip():
        lines = launch.of_text(text, origin=_("the launch line you gave"))
        found = lines or [Launch(_("the launch line you gave"), f"srcds_run {text.strip()}")]
        return [found, *([] for _game in games[1:])]
    if kind == layout.DOCKER and (listed := compose.services(source)):
        return [compose.launches(source, game.name if game.name in listed else None) for game in games]
    by_game = [linuxgsm.launches(source, game) for game in games]
    if any(by_game):
        return by_game
    by_game = [launch.of_scripts(source, _folders(game)) for game in games]
    if len(games) == 1:
        return by_game if by_game[0] else [launch.of_machine(source.path)]
    if all(by_game):
        return by_game
    # Scripts above several installations name the one that they start.
    shared = launch.of_scripts(source, [()])
    for each in shared:
        script = source.text(tuple(each.origin.split("/")))
        at = next((at for at, game in enumerate(games) if game.home and f"{'/'.join(game.home)}/" in script), 0)
        if each not in by_game[at]:
            by_game[at].append(each)
    return by_game


def _folders(game: Game) -> list[Parts]:
    """Where start scripts usually are: beside the game, and above it."""
    home = game.home
    return [home, *(home[:depth] for depth in range(len(home) - 1, -1, -1))] if home else [()]


def _read_bans(source: Source, tree: Tree) -> None:
    group = tree.left.get("bans")
    now = timezone.now()
    for path in group.paths if group else ():
        reading = formats.read(source.text(tuple(path.split("/"))), now=now)
        for entry in reading.entries:
            tree.bans.count += 1
            # All of them: they are the plan's content, not a list that is shown.
            tree.bans.paths.append(entry.target)
        if reading.fault_count:
            tree.notes.append(
                _("%(path)s: %(n)d lines name nobody who can be banned.") % {"path": path, "n": reading.fault_count}
            )


def _note(plan: Plan, games: Sequence[Game], source: Source) -> None:
    """What a reader of the report has to know before the details."""
    if not plan.compared_with:
        plan.notes.append(
            _(
                "The game is not installed on this host, so its files are told apart by their names. Install the game "
                "first for an exact comparison."
            )
        )
    tops = {game.folder[:1] for game in games}
    others = [entry.where[-1] for entry in source.list() if entry.where not in tops] if () not in tops else []
    if others and plan.trees:
        plan.trees[0].left["outside"] = Group("outside", len(others), 0, others[:SHOWN])
