"""What an import would take, leave and create. A plan is made by reading alone, and carried out as it was shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

# Of each list, a report shows as many; the numbers are complete.
SHOWN: Final = 100


class File(NamedTuple):
    """A file that is taken: where it is in the source and where it goes in the overlay.

    `text` is written instead of the file's own content, where a part of it becomes rows.
    """

    source: str
    target: str
    size: int
    modified_ns: int
    is_marked: bool = False
    text: str | None = None


@dataclass
class Group:
    """Files that were left for the same reason, or that are in the same folder."""

    name: str
    count: int = 0
    size: int = 0
    paths: list[str] = field(default_factory=list)

    def add(self, path: str, size: int = 0) -> None:
        self.count += 1
        self.size += size
        if len(self.paths) < SHOWN:
            self.paths.append(path)


@dataclass
class Item:
    """A file that is an item of Steam's workshop: the item is added, so that it stays up to date."""

    steam_id: int
    path: str
    size: int
    title: str = ""
    # What recognised it: "steam" and "known" by its number, "content" by its bytes.
    found_by: str = "steam"
    is_current: bool = True


@dataclass
class ServerPlan:
    """A server that is created with a blueprint of its own."""

    origin: str
    name: str
    port: int | None = None
    arguments: str = ""
    config: str = ""
    config_from: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass
class Admin:
    """A line of admins_simple.ini that becomes a person in the blueprint's list."""

    steam_id: int
    flags: str
    immunity: int = 0
    name: str = ""


@dataclass
class Tree:
    """One folder of the game in the source, with everything that comes from it."""

    game: str
    name: str
    files: Group = field(default_factory=lambda: Group("files"))
    folders: dict[str, Group] = field(default_factory=dict)
    left: dict[str, Group] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    servers: list[ServerPlan] = field(default_factory=list)
    admins: list[Admin] = field(default_factory=list)
    # Bans as lines of banned_user.cfg and banned_ip.cfg.
    bans: Group = field(default_factory=lambda: Group("bans"))
    notes: list[str] = field(default_factory=list)

    def take(self, file: File) -> None:
        self.files.add(file.target, file.size)
        parts = file.target.split("/")
        folder = "/".join(parts[:-1][:3]) or "."
        self.folders.setdefault(folder, Group(folder)).add(file.target, file.size)

    def leave(self, path: str, reason: str, size: int = 0) -> None:
        self.left.setdefault(reason, Group(reason)).add(path, size)


@dataclass
class Plan:
    """`compared_with` names the version of the game whose files were compared; empty if none is installed."""

    path: str
    kind: str
    compared_with: str = ""
    trees: list[Tree] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(tree.files.size for tree in self.trees)

    @property
    def file_count(self) -> int:
        return sum(tree.files.count for tree in self.trees)

    @property
    def server_count(self) -> int:
        return sum(len(tree.servers) for tree in self.trees)

    def as_json(self) -> dict[str, Any]:
        """The plan as values that a database can store, whatever the texts of the old server contain."""
        stored: dict[str, Any] = _storable(dataclasses.asdict(self))
        return stored


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "")
    if isinstance(value, dict):
        return {_storable(key): _storable(each) for key, each in value.items()}
    return [_storable(each) for each in value] if isinstance(value, list) else value


def from_json(stored: Mapping[str, Any]) -> Plan:
    return Plan(**{**stored, "trees": [_tree(tree) for tree in stored["trees"]]})


def _tree(stored: Mapping[str, Any]) -> Tree:
    return Tree(
        **{
            **stored,
            "files": Group(**stored["files"]),
            "bans": Group(**stored["bans"]),
            "folders": _groups(stored["folders"]),
            "left": _groups(stored["left"]),
            "items": [Item(**item) for item in stored["items"]],
            "servers": [ServerPlan(**server) for server in stored["servers"]],
            "admins": [Admin(**admin) for admin in stored["admins"]],
        }
    )


def _groups(stored: Mapping[str, Mapping[str, Any]]) -> dict[str, Group]:
    return {name: Group(**group) for name, group in stored.items()}


def largest(groups: Iterable[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: (-group.size, group.name))
