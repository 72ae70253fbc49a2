"""A plan and its result as pages and the API show them: with the rows that were created, as far as they are there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from left4me.importer import report
from left4me.importer.models import Import
from left4me.importer.plan import Group, Item, Plan, ServerPlan, Tree, from_json, largest
from left4me.jobs.states import State
from overlays.models import Overlay
from servers.models import Server

_FOLDERS: Final = 12


@dataclass
class ShownServer:
    """A planned server, its key, and the one that was created from it."""

    key: str
    plan: ServerPlan
    server: Server | None = None
    # Also true for one that was created and deleted since.
    was_created: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass
class ShownTree:
    plan: Tree
    servers: list[ShownServer]
    overlay: Overlay | None = None
    workshop: Overlay | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def folders(self) -> list[Group]:
        return largest(self.plan.folders.values())[:_FOLDERS]

    @property
    def items(self) -> list[tuple[Item, str]]:
        return [(item, report.item_note(item.found_by, is_current=item.is_current)) for item in self.plan.items]

    @property
    def left(self) -> list[tuple[str, int, int, list[str]]]:
        return report.left(self.plan)


def plan_of(row: Import) -> Plan | None:
    return from_json(row.plan) if row.plan is not None else None


def trees(row: Import) -> list[ShownTree]:
    """Each folder of the game in the plan, with what came of it."""
    found = plan_of(row)
    results: list[dict[str, Any]] = list(row.result.values())
    overlays = Overlay.objects.in_bulk(
        [each[key] for each in results for key in ("overlay", "workshop") if key in each]
    )
    made = [server for each in results for server in each["servers"].values()]
    servers = Server.objects.select_related("blueprint").in_bulk([each["server"] for each in made])
    shown = []
    for number, tree in enumerate(found.trees if found else ()):
        result = row.result.get(str(number), {"servers": {}, "notes": []})
        shown.append(
            ShownTree(
                tree,
                [_server(f"{number}.{at}", plan, result, servers) for at, plan in enumerate(tree.servers)],
                overlays.get(result.get("overlay", 0)),
                overlays.get(result.get("workshop", 0)),
                result["notes"],
            )
        )
    return shown


def _server(key: str, plan: ServerPlan, result: dict[str, Any], servers: dict[int, Server]) -> ShownServer:
    created = result["servers"].get(key.partition(".")[2])
    if created is None:
        return ShownServer(key, plan)
    return ShownServer(key, plan, servers.get(created["server"]), was_created=True, notes=created["notes"])


def state_of(row: Import) -> str:
    """What the import waits for: reading, planned, importing, failed or done."""
    if row.finished_at is not None:
        return "done"
    if row.job is not None and not row.job.has_ended:
        return "reading" if row.plan is None else "importing"
    if row.plan is None or (row.job is not None and row.job.state == State.FAILED):
        return "failed"
    return "planned"
