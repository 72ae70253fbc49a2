"""Carries out a plan: overlays with their files, workshop items, blueprints, servers, admins and bans.

Each step stores what it created together with its rows, so that an interrupted import goes on where it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from left4me.core import rows
from left4me.core.files import room
from left4me.core.files.tree import Tree as Directory
from left4me.core.web import refusals
from left4me.core.web.refusals import Refused
from left4me.importer import copies, files_list, people
from left4me.importer.models import Import
from left4me.importer.plan import File, Plan, ServerPlan, Tree, from_json
from left4me.importer.source import BadSource, Source, open_source
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed
from livestate.bans import actions as bans
from livestate.bans import adoption
from overlays import actions as overlays
from overlays import builds, paths
from overlays.files import uploads
from overlays.models import Overlay
from overlays.workshop_items import membership
from servers.actions import blueprints, servers
from servers.hosts import this_host
from servers.models import Blueprint, Host, Server
from workshop import metadata, steam

_MB: Final = 1_000_000
_NAMED: Final = 50
# "0.1" is the second server of the first tree.
Chosen = Collection[str] | None


def carry_out(row: Import, *, chosen: Chosen = None, run: JobContext) -> None:
    """Carry out the plan of an import, as far as it was not. Without `chosen`, all its servers are created.

    Raises Failed with what helps, and Cancelled; what was created before stays, and another run goes on.
    """
    plan = _plan(row)
    try:
        files = files_list.read(row)
        source = open_source(row.path, below=None if row.is_anywhere else settings.LEFT4ME_IMPORT_FROM)
    except files_list.Missing:
        raise Failed("The list of files of this import is missing. Import the directory again.") from None
    except BadSource as fault:
        raise Failed(str(fault)) from fault
    _refuse_without_room(row, plan)
    with source:
        work = _Work(row, plan, source, run)
        for number, tree in enumerate(plan.trees):
            work.tree(number, tree, files.get(number, []), chosen)
    row.finished_at = timezone.now()
    row.save(update_fields=["finished_at"])
    files_list.remove(row)


def _plan(row: Import) -> Plan:
    if row.plan is None:
        raise Failed("The directory was not read yet.")
    return from_json(row.plan)


def _refuse_without_room(row: Import, plan: Plan) -> None:
    """Refuse before anything is written. What an earlier attempt copied counts as missing still."""
    if (left := room.left(Path(settings.LEFT4ME_ROOT))) < plan.size and not row.has_begun:
        raise Failed(
            f"The files take {plan.size / _MB:.0f} MB, and the disk has room for {left / _MB:.0f} MB. Free some "
            "space, then try again."
        )
    quota = uploads.quota_left(Overlay(owner=row.owner, kind=Overlay.Kind.FILES))
    if quota is not None and quota < plan.size and not row.has_begun:
        raise Failed(
            f"The files take {plan.size / _MB:.0f} MB, and {row.owner} has {max(0, quota) / _MB:.0f} MB of the quota "
            "for uploads left (LEFT4ME_UPLOAD_QUOTA_MB)."
        )


class _Work:
    """One run of an import."""

    def __init__(self, row: Import, plan: Plan, source: Source, run: JobContext) -> None:
        self._row, self._source, self._run = row, source, run
        self._total, self._done = max(1, plan.size), 0
        self._by: User = row.user or row.owner

    def tree(self, number: int, tree: Tree, files: list[File], chosen: Chosen) -> None:
        """Create everything of one tree."""
        result = self._result(number)
        overlay = self._files_overlay(result, tree, files)
        workshop = self._workshop_overlay(result, tree)
        layers = [layer for layer in (overlay, workshop) if layer is not None]
        for at, plan in enumerate(tree.servers):
            self._run.check()
            key = str(at)
            if key not in result["servers"] and (chosen is None or f"{number}.{at}" in chosen):
                self._server(result, key, plan, tree, layers)

    def _result(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self._row.result.setdefault(str(number), {"servers": {}, "notes": []})
        return found

    def _save(self) -> None:
        self._row.save(update_fields=["result"])

    def _files_overlay(self, result: dict[str, Any], tree: Tree, files: list[File]) -> Overlay | None:
        if not files:
            return None
        overlay = Overlay.objects.filter(pk=result.get("overlay", 0)).first()
        if overlay is None:
            # Also in place of one that was deleted meanwhile.
            result.pop("is_copied", None)
            overlay = self._create_overlay(result, "overlay", tree.name, Overlay.Kind.FILES)
        if result.get("is_copied"):
            return overlay
        self._run.log(f"Copying {len(files)} files into the overlay “{overlay.name}”.")
        try:
            with Directory(paths.directory(overlay)) as content:
                done = copies.copy(self._source, files, into=content, run=self._run, count=self._count)
        except OSError as fault:
            raise Failed(f"The files could not be copied: {fault}. Try again: what was copied stays.") from fault
        self._run.log(f"Copied {done.files} files; {done.there} were there already.")
        for problem in done.problems[:_NAMED]:
            self._run.log(problem, stream="stderr")
        result["notes"] += done.problems[:_NAMED]
        try:
            builds.build(self._run, overlay)
        except Failed as fault:
            # The servers are created all the same: the page of the overlay says what to remove.
            result["notes"].append(str(fault))
            self._run.log(str(fault), stream="stderr")
        result["is_copied"], result["files"] = True, done.files + done.there
        self._save()
        return overlay

    def _create_overlay(self, result: dict[str, Any], key: str, name: str, kind: Overlay.Kind) -> Overlay:
        owner = self._row.owner
        with transaction.atomic(), _told():
            free = rows.free_name(Overlay.objects.filter(owner=owner), name)
            overlay = overlays.create(name=free, kind=kind, owner=owner, by=self._by)
            result[key] = overlay.pk
            self._save()
        return overlay

    def _count(self, size: int) -> None:
        self._done = min(self._done + size, self._total)
        self._run.progress(phase="copying", done=self._done, total=self._total, unit="bytes")

    def _workshop_overlay(self, result: dict[str, Any], tree: Tree) -> Overlay | None:
        if not tree.items:
            return None
        if (overlay := Overlay.objects.filter(pk=result.get("workshop", 0)).first()) is not None:
            return overlay
        ids = [item.steam_id for item in tree.items]
        now = timezone.now()
        try:
            with metadata.connect(cancelled=self._run.cancelled, pause=self._run.sleep) as api:
                preview = membership.look_up(overlay=None, text=" ".join(map(str, ids)), api=api, mode="items")
        except (steam.SteamError, membership.NotAddable, membership.InvalidInput):
            preview = None
        with transaction.atomic():
            overlay = self._create_overlay(result, "workshop", f"{tree.name} workshop", Overlay.Kind.WORKSHOP)
            with _told():
                if preview is not None and preview.addable:
                    membership.add(overlay=overlay, preview=preview, by=self._by, follow=False, now=now)
                else:
                    # The next refresh asks Steam about them.
                    membership.put_back(overlay=overlay, links=[(each, None, now) for each in ids], by=self._by)
        self._run.log(f"Added {len(ids)} workshop items to the overlay “{overlay.name}”. Its build downloads them.")
        return overlay

    def _server(self, result: dict[str, Any], key: str, plan: ServerPlan, tree: Tree, layers: list[Overlay]) -> None:
        host = self._host()
        notes: list[str] = []

        def add(port: int) -> Server:
            blueprint = self._blueprint(plan, tree, layers)
            server = servers.add_server(
                owner=self._row.owner,
                by=self._by,
                name=rows.free_name(Server.objects.filter(owner=self._row.owner), plan.name),
                blueprint=blueprint,
                host=host,
                port=port,
            )
            self._ban(server, tree)
            made = {"server": server.pk, "blueprint": blueprint.pk, "name": server.name, "port": server.port}
            result["servers"][key] = {**made, "notes": notes}
            self._save()
            return server

        with _told():
            server = self._with_port(host, plan, add, notes)
        self._run.log(f"Created the server “{server.name}” on port {server.port}. It has a new RCON password.")

    def _with_port(self, host: Host, plan: ServerPlan, add: Callable[[int], Server], notes: list[str]) -> Server:
        """The server with the port that it had, if that is free."""
        if plan.port is not None:
            try:
                return servers.with_port(host, plan.port, add, by=self._by)
            except ValidationError as fault:
                if set(getattr(fault, "error_dict", ())) != {"port"}:
                    raise
                notes.append(f"Port {plan.port} could not be used: {refusals.message_of(fault)}")
                self._run.log(notes[-1])
        return servers.with_port(host, None, add, by=self._by)

    def _blueprint(self, plan: ServerPlan, tree: Tree, layers: list[Overlay]) -> Blueprint:
        owner = self._row.owner
        return blueprints.create_blueprint(
            owner=owner,
            by=self._by,
            name=blueprints.free_name(owner, plan.name),
            description=f"Imported from {self._row.path}",
            arguments=plan.arguments,
            config=plan.config,
            overlays=layers,
            access=people.access(tree.admins) if tree.admins else None,
        )

    def _ban(self, server: Server, tree: Tree) -> None:
        if tree.bans.paths:
            entries = [bans.Entry(target) for target in tree.bans.paths]
            bans.import_entries(ban_list=adoption.own_list(server), entries=entries, by=self._by)

    def _host(self) -> Host:
        return self._row.host or this_host.row()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turns refusals of actions into failures of the job."""
    try:
        yield
    except (ValidationError, Refused) as fault:
        raise Failed(refusals.message_of(fault)) from fault
