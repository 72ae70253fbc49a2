"""Finds out where the files of an archive belong in the game's tree. Names in, a plan out; nothing is read or written.

People pack the same pack in many ways: with the game's folder or without, below a folder named after the pack or its
repository, with Windows' separators and letter case, beside a read-me. The game itself runs on Linux and finds a file
only under the exact name, so the plan takes off what wraps the content, folds the names of the game's own folders onto
the case that the game uses, and says for each file where it goes or why it is left out.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from django.utils.translation import gettext as _

from left4me.core.files import tree
from left4me.core.files.tree import BadPath, Parts
from overlays import game_files
from overlays.game_files import GAME

# How many folders may wrap the content: "MyPack v1.2/server files/left4dead2/…".
# A whole path as on the author's machine has most: "Program Files/Steam/steamapps/common/Left 4 Dead 2/left4dead2".
_DEEPEST_ROOT: Final = 8

# Files that belong in one folder wherever the archive holds them, when it shows no game folder at all.
_LOOSE_FILES: Final = {
    ".vpk": ("addons",),
    ".bsp": ("maps",),
    ".nav": ("maps",),
    ".cfg": ("cfg",),
    ".smx": ("addons", "sourcemod", "plugins"),
    ".sp": ("addons", "sourcemod", "scripting"),
    ".inc": ("addons", "sourcemod", "scripting", "include"),
    ".phrases.txt": ("addons", "sourcemod", "translations"),
    ".games.txt": ("addons", "sourcemod", "gamedata"),
}
# What a folder of SourceMod or Metamod holds; a folder of the same name in another pack may be anything.
_MOD_FILES: Final = (".smx", ".sp", ".inc", ".txt", ".cfg", ".ini", ".so", ".vdf")

# Beside a VPK or a plugin without any folder of the game, a picture shows what it is.
_PICTURES: Final = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".htm", ".html", ".pdf")

_SET_ASIDE_FOLDERS: Final = frozenset(
    [
        "__macosx",
        ".git",
        ".github",
        ".gitlab",
        ".idea",
        ".svn",
        ".vscode",
        ".hg",
        "docs",
        "doc",
        "screenshots",
        "images",
        "img",
        "node_modules",
    ]
)
_SET_ASIDE_FILES: Final = re.compile(
    r"(readme|read me|license|licence|copying|changelog|changes|contributing|authors|credits|code_of_conduct|security"
    r"|install|installation|makefile|dockerfile|docker-compose)([ ._-].*)?"
    r"|\.(editorconfig|travis\.yml|dockerignore|prettierrc)"
    r"|.*\.(url|lnk|md|rst)",
    re.IGNORECASE,
)
# What Windows, macOS and git leave in every folder, also in those of the game.
_JUNK: Final = re.compile(r"\._.*|\.git\w*|\.ds_store|thumbs\.db|desktop\.ini", re.IGNORECASE)
_DRIVE: Final = re.compile(r"^[A-Za-z]:(?=[/\\]|$)")


@dataclass(frozen=True)
class Placement:
    """One file: its position among the archive's entries, its name there, and its path in the overlay."""

    entry: int
    name: str
    target: Parts


@dataclass(frozen=True)
class LeftOut:
    """One file that is not unpacked, with the reason in words."""

    name: str
    reason: str
    # Set for the game's own programs, which an admin may take in all the same.
    is_program: bool = False


@dataclass
class Plan:
    """What unpacking would do. `root` is the folder that was taken off; `roots` are those that can be chosen."""

    root: Parts = ()
    roots: list[Parts] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    # Names that differ only in letter case: on Linux these are two files, their author had one.
    conflicts: list[tuple[str, ...]] = field(default_factory=list)
    # Whether the archive showed a folder of the game; without one its files stay where they are.
    is_recognised: bool = True

    def folders(self) -> list[tuple[str, int]]:
        """How many files go to which folder, two levels deep and most files first: "12 files → left4dead2/addons"."""
        counts = Counter("/".join(placement.target[:-1][:2]) for placement in self.placements)
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def make_plan(
    names: Sequence[str],
    *,
    root: Parts | None = None,
    with_programs: bool = False,
    special: Container[int] = (),
) -> Plan:
    """Plan where the entries called `names` go. Folders end with a separator; `root` overrides what would be found.

    `with_programs` takes in the game's own programs as well: only an admin may ask for that. `special` are the numbers
    of entries that are no plain files.
    """
    plan = Plan()
    entries = _entries(names, special, plan)
    content = [path for _number, _name, path in entries if not _is_set_aside(path)]
    plan.roots = _find_roots(content)
    plan.root = root if root is not None else (plan.roots[0] if plan.roots else ())
    plan.is_recognised = bool(plan.roots)
    roots = frozenset(plan.roots)
    companions = _companions(plan, content, roots)
    for number, name, path in entries:
        _place(plan, number, name, path, roots, companions, with_programs=with_programs)
    _unify_case(plan)
    _keep_last_of_each_path(plan)
    return plan


def keep_paths(
    names: Sequence[str], *, base: Parts, with_programs: bool = False, special: Container[int] = ()
) -> Plan:
    """The plan for an archive that is unpacked as packed, below a folder that the user chose."""
    plan = Plan()
    for number, name in enumerate(names):
        # Windows may end a folder with a backslash.
        if name.endswith("\\") or not name:
            continue
        if number in special:
            plan.left_out.append(LeftOut(name, _("is not a regular file")))
            continue
        try:
            target = (*base, *tree.parts(name))
        except BadPath as reason:
            plan.left_out.append(LeftOut(name, str(reason)))
            continue
        if game_files.is_program(target) and not with_programs:
            plan.left_out.append(_program(name))
        else:
            plan.placements.append(Placement(number, name, target))
    _keep_last_of_each_path(plan)
    return plan


def _entries(names: Sequence[str], special: Container[int], plan: Plan) -> list[tuple[int, str, Parts]]:
    """The number, name and path of each file; what is no file, or has no path, is left out in `plan`."""
    entries: list[tuple[int, str, Parts]] = []
    for number, name in enumerate(names):
        if name.endswith(("/", "\\")) or not name:
            continue
        if number in special:
            plan.left_out.append(LeftOut(name, _("is not a regular file")))
            continue
        try:
            entries.append((number, name, _plain_parts(name)))
        except BadPath as reason:
            plan.left_out.append(LeftOut(name, str(reason)))
    return entries


def _plain_parts(name: str) -> Parts:
    """The path of an entry. Raises BadPath.

    A drive letter or leading separator is dropped only where the rest leads through a folder of the game: a pack whose
    author packed full paths means that folder, any other absolute path is nothing that a pack holds.
    """
    slashed = name.replace("\\", "/")
    relative = _DRIVE.sub("", slashed).lstrip("/")
    if relative != slashed and not {GAME, *game_files.GAME_FOLDERS}.intersection(relative.lower().split("/")[:-1]):
        raise BadPath(_("It is an absolute path outside the game's folders."))
    path = tree.parts(relative)
    if not path:
        raise BadPath(_("It has no name."))
    return path


def _is_set_aside(path: Parts) -> bool:
    """True for what belongs to the pack's repository rather than to the game. Below `addons` everything is content."""
    if _JUNK.fullmatch(path[-1]):
        return True
    for depth, part in enumerate(path[:-1]):
        if part.lower() in game_files.GAME_FOLDERS or part.lower() == GAME:
            return False
        if part.lower() in _SET_ASIDE_FOLDERS and depth < _DEEPEST_ROOT:
            return True
    return bool(_SET_ASIDE_FILES.fullmatch(path[-1]))


def _find_roots(paths: Iterable[Parts]) -> list[Parts]:
    """The folders that may be the content's root, the best first: those that hold `left4dead2`, then game folders.

    A file such as motd.txt, which is often beside a folder with everything else, says less than a folder.
    """
    installations: Counter[Parts] = Counter()
    games: Counter[Parts] = Counter()
    single_files: Counter[Parts] = Counter()
    # Repositories of plugins hold what belongs below `addons/sourcemod` without these folders.
    mods: Counter[Parts] = Counter()
    for path in paths:
        folded = [part.lower() for part in path]
        for depth, part in enumerate(folded[: _DEEPEST_ROOT + 1]):
            is_folder = depth < len(path) - 1
            if is_folder and game_files.is_installation(part):
                installations[path[:depth]] += 1
                break
            if is_folder and part in game_files.GAME_FOLDERS:
                games[path[:depth]] += 1
                break
            if not is_folder and part in game_files.GAME_FILES:
                single_files[path[:depth]] += 1
                break
            # A folder “sourcemod” may also be a wrapper around “addons/sourcemod”.
            is_wrapper = not {"addons", GAME}.isdisjoint(folded[depth + 1 : -1])
            if is_folder and part in game_files.MOD_ROOTS and folded[-1].endswith(_MOD_FILES) and not is_wrapper:
                mods[path[:depth]] += 1
                break
    ranked = [*_ranked(installations), *_ranked(games), *_ranked(mods), *_ranked(single_files)]
    return list(dict.fromkeys(ranked))


def _ranked(found: Counter[Parts]) -> list[Parts]:
    return sorted(found, key=lambda path: (len(path), -found[path], path))


def _nearest_root(path: Parts, roots: Container[Parts]) -> Parts | None:
    """The deepest of the candidates for the root that holds this file."""
    depths = range(min(len(path) - 1, _DEEPEST_ROOT), -1, -1)
    return next((path[:depth] for depth in depths if path[:depth] in roots), None)


def _companions(plan: Plan, paths: Iterable[Parts], roots: Container[Parts]) -> set[Parts]:
    """The roots beside the chosen one that bring other files: parts of one pack, such as “sourcemod” and “metamod”.

    Roots with files of the same paths are variants, of which only the chosen one is unpacked.
    """
    files: dict[Parts, set[Parts]] = defaultdict(set)
    for path in paths:
        root = plan.root if _below(path, plan.root) is not None else _nearest_root(path, roots)
        # Parts of one pack bring the same include files; they are read by the compiler only.
        if root is not None and not path[-1].lower().endswith(".inc"):
            files[root].add(tuple(part.lower() for part in path[len(root) :]))
    taken, companions = set(files[plan.root]), set()
    for root in plan.roots:
        if root != plan.root and root[: len(plan.root)] != plan.root and not files[root] & taken:
            companions.add(root)
            taken |= files[root]
    return companions


def _place(
    plan: Plan,
    number: int,
    name: str,
    path: Parts,
    roots: Container[Parts],
    companions: Container[Parts],
    *,
    with_programs: bool,
) -> None:
    """Decide about one entry: set aside, left out, or placed in the game's tree."""
    below, nearest = _below(path, plan.root), _nearest_root(path, roots)
    if below is None:
        if _is_set_aside(path):
            plan.left_out.append(LeftOut(name, _("is documentation or metadata of the pack")))
            return
        # Something of the game that stands outside of the chosen root: a part of the pack, or a second variant.
        reason = (
            _("is outside the chosen folder “%(root)s”") % {"root": "/".join(plan.root)}
            if plan.root
            else _("is not in the game's folder")
        )
        if nearest is None or nearest not in companions:
            plan.left_out.append(LeftOut(name, reason))
            return
        below = _below(path, nearest) or path
    elif nearest is not None and len(nearest) > len(plan.root) and plan.root in roots:
        # Folders of the game once more, such as “Optional/cfg” beside “cfg”.
        reason = _("is in “%(folder)s”, which you can choose instead") % {"folder": "/".join(nearest)}
        plan.left_out.append(LeftOut(name, reason))
        return
    if _is_set_aside(below) or (not plan.is_recognised and below[-1].lower().endswith(_PICTURES)):
        plan.left_out.append(LeftOut(name, _("is documentation or metadata of the pack")))
        return
    target = _target(below, is_recognised=plan.is_recognised)
    if not with_programs and game_files.is_program(target):
        plan.left_out.append(_program(name))
        return
    plan.placements.append(Placement(number, name, target))


def _program(name: str) -> LeftOut:
    return LeftOut(name, _("is a program of the game; only admins can include it"), is_program=True)


def _below(path: Parts, root: Parts) -> Parts | None:
    return path[len(root) :] if path[: len(root)] == root and len(path) > len(root) else None


def _target(below: Parts, *, is_recognised: bool) -> Parts:
    """The path in the overlay of what stands at `below` in the pack's root."""
    folded = tuple(part.lower() for part in below)
    # The game's folder may itself stand below a root taken for the game's: `Pack/left4dead2/…` beside `Pack/cfg`.
    if GAME in folded[:-1][:_DEEPEST_ROOT]:
        at = folded.index(GAME)
        while folded[at + 1 : -1][:1] == (GAME,):
            at += 1
        return _fold((GAME, *below[at + 1 :]))
    if folded[0] in game_files.INSTALLATION_FOLDERS or game_files.is_program(folded):
        return (folded[0], *below[1:])
    if is_recognised:
        if folded[-1].endswith(".vpk") and folded[0] not in game_files.GAME_FOLDERS:
            return (GAME, "addons", below[-1])
        if len(folded) > 1 and folded[0] in game_files.MOD_FOLDERS:
            return _fold((GAME, *game_files.MOD_FOLDERS[folded[0]], *below))
        return _fold((GAME, *below))
    for ending, folder in _LOOSE_FILES.items():
        if folded[-1].endswith(ending):
            return (GAME, *folder, below[-1])
    return below


def _fold(path: Parts) -> Parts:
    """`path` with the letter case of the game's own folders and files."""
    folded: list[str] = []
    for depth, part in enumerate(path):
        lower = part.lower()
        so_far = (*folded, lower)
        is_file = depth == len(path) - 1
        if is_file:
            known = "/".join(so_far[1:]) in game_files.KNOWN_FILES
        else:
            known = (
                depth == 0 or (depth == 1 and lower in game_files.GAME_FOLDERS) or so_far in game_files.KNOWN_FOLDERS
            )
        folded.append(lower if known else part)
    return tuple(folded)


def _unify_case(plan: Plan) -> None:
    """Give folders that differ in letter case only one name, and name the files for which that is no answer.

    The author's Windows had one folder; the spelling that most files use wins.
    """
    spellings: dict[Parts, Counter[str]] = defaultdict(Counter)
    for placement in plan.placements:
        lowered = tuple(part.lower() for part in placement.target)
        for depth in range(len(lowered) - 1):
            spellings[lowered[: depth + 1]][placement.target[depth]] += 1
    chosen = {path: min(counts, key=lambda name: (-counts[name], name)) for path, counts in spellings.items()}
    files: dict[Parts, list[Placement]] = defaultdict(list)
    for index, placement in enumerate(plan.placements):
        lowered = tuple(part.lower() for part in placement.target)
        folders = tuple(chosen[lowered[: depth + 1]] for depth in range(len(lowered) - 1))
        plan.placements[index] = Placement(placement.entry, placement.name, (*folders, placement.target[-1]))
        files[lowered].append(plan.placements[index])
    plan.conflicts = [tuple(each.name for each in group) for group in files.values() if len(group) > 1]


def _keep_last_of_each_path(plan: Plan) -> None:
    """Leave out all but the last entry of each path: an archive that was appended to holds the newer file last."""
    last = {placement.target: placement for placement in plan.placements}
    for placement in plan.placements:
        if (kept := last[placement.target]) is not placement:
            plan.left_out.append(LeftOut(placement.name, _("is replaced by “%(name)s”") % {"name": kept.name}))
    plan.placements = list(last.values())
