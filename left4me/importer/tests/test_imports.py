"""Imports from the request to the new servers: jobs, the command, and what happens when they are interrupted."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.concurrency import Cancelled
from left4me.core.web.refusals import Refused
from left4me.importer import actions, copies, execution
from left4me.importer.models import KEPT, Import
from left4me.importer.source import BadSource, open_source
from left4me.importer.tests import shapes
from left4me.jobs.models import Job
from left4me.jobs.operations import Failed
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from left4me.testing.recorded_run import RecordedRun
from left4me.testing.simulated_steam import SimulatedSteam
from livestate.bans.models import Ban
from overlays import paths
from overlays.models import Overlay
from servers.game_access import roster
from servers.models import Blueprint, Server
from servers.tests.factories import make_host, make_server

HOST = "local"
Old = Callable[[str], Path]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("steam", "redis_client")]


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch, db: None):
    # Other programs of this machine may have the ports that these servers get.
    monkeypatch.setattr("servers.hosts.ports.ask", lambda host, asked: {})
    return make_host(last_seen_at=timezone.now())


def run_import(path: Path, cast: Cast, **options: Any) -> Import:
    row = actions.request(path=str(path), owner=cast.owner, by=cast.admin, **options)
    drain(host=HOST)
    row.refresh_from_db()
    assert row.plan is not None, row.job.error
    actions.carry_out(row=row, by=cast.admin)
    (done, *_builds) = drain(host=HOST)
    assert done.state == Job.State.SUCCEEDED, done.error
    row.refresh_from_db()
    return row


def tree_of(overlay: Overlay) -> set[str]:
    root = paths.directory(overlay)
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_an_installation_becomes_overlays_blueprints_and_servers(old: Old, cast: Cast, steam: SimulatedSteam):
    steam.add(shapes.ITEM)
    row = run_import(old("linuxgsm"), cast)
    files = Overlay.objects.get(kind="files")
    workshop = Overlay.objects.get(kind="workshop")
    assert {"left4dead2/addons/ours.vpk", "left4dead2/cfg/extra.cfg", "left4dead2/motd.txt"} <= tree_of(files)
    assert (files.owner, files.file_count) == (cast.owner, len(tree_of(files)))
    assert [link.item.steam_id for link in workshop.workshop_links.all()] == [shapes.ITEM]
    one, two = Server.objects.order_by("port")
    assert [(server.name, server.port, server.owner) for server in (one, two)] == [
        ("Anna's versus", 27035, cast.owner),
        ("Second", 27045, cast.owner),
    ]
    assert one.rcon_password not in ("", shapes.HIDDEN, two.rcon_password)
    assert one.blueprint.layers == [files, workshop]
    assert "exec extra.cfg" in one.blueprint.config
    assert one.desired_state == "stopped"
    assert {f"{ban.ban_list.server}: {ban.target}" for ban in Ban.objects.all()} >= {"Second: 203.0.113.9"}
    assert Ban.objects.count() == 6
    assert [entry.name for entry in roster.of([one.pk], now=timezone.now())[one.pk].effective] == ["Anna", ""]
    assert row.finished_at is not None
    assert not row.files_list.exists()
    assert [*AuditEntry.objects.filter(target=row.resource).order_by("pk").values_list("action", flat=True)] == [
        "import.read",
        "import.carry_out",
    ]


def test_a_port_that_is_taken_is_replaced_and_named(old: Old, cast: Cast):
    make_server(cast.stranger, port=27018)
    row = run_import(old("plain"), cast)
    (first, second) = row.result["0"]["servers"].values()
    assert first["port"] not in (27018, 27019)
    assert "27018" in first["notes"][0]
    assert (second["port"], second["notes"]) == (27019, [])


def test_only_the_chosen_servers_are_created(old: Old, cast: Cast):
    row = actions.request(path=str(old("plain")), owner=cast.owner, by=cast.admin)
    drain(host=HOST)
    row.refresh_from_db()
    with pytest.raises(Refused):
        actions.carry_out(row=row, by=cast.admin, servers=["0.7"])
    actions.carry_out(row=row, by=cast.admin, servers=["0.1"])
    drain(host=HOST)
    assert [server.port for server in Server.objects.all()] == [27019]


def test_an_interrupted_import_goes_on_and_creates_nothing_twice(
    old: Old, cast: Cast, monkeypatch: pytest.MonkeyPatch
):
    top = old("plain")
    row = actions.request(path=str(top), owner=cast.owner, by=cast.admin)
    drain(host=HOST)
    row = Import.objects.select_related("owner", "user", "host").get(pk=row.pk)
    real, copied = copies._copy, []

    def stop_after_three(*arguments: Any) -> None:
        if len(copied) == 3:
            raise Cancelled
        real(*arguments)
        copied.append(arguments[1].target)

    monkeypatch.setattr(copies, "_copy", stop_after_three)
    with pytest.raises(Cancelled):
        execution.carry_out(row, run=RecordedRun(row.resource))
    monkeypatch.setattr(copies, "_copy", real)
    assert (Overlay.objects.count(), Server.objects.count()) == (1, 0)
    run = RecordedRun(row.resource)
    execution.carry_out(Import.objects.select_related("owner", "user", "host").get(pk=row.pk), run=run)
    assert "3 were there already" in "\n".join(run.lines)
    assert (Overlay.objects.count(), Server.objects.count(), Blueprint.objects.count()) == (1, 2, 2)


def test_an_import_is_carried_out_once(old: Old, cast: Cast):
    row = run_import(old("docker"), cast)
    with pytest.raises(Refused, match="carried out already"):
        actions.carry_out(row=row, by=cast.admin)


def test_an_import_in_progress_is_not_requested_twice(old: Old, cast: Cast):
    row = actions.request(path=str(old("docker")), owner=cast.owner, by=cast.admin)
    drain(host=HOST)
    row.refresh_from_db()
    actions.carry_out(row=row, by=cast.admin)
    with pytest.raises(Refused, match="in progress already"):
        actions.carry_out(row=row, by=cast.admin)
    with pytest.raises(Refused, match="Cancel its job first"):
        actions.discard(row=Import.objects.select_related("job").get(pk=row.pk), by=cast.admin)


def test_a_deleted_overlay_is_filled_again_when_an_import_goes_on(
    old: Old, cast: Cast, monkeypatch: pytest.MonkeyPatch
):
    row = actions.request(path=str(old("docker")), owner=cast.owner, by=cast.admin)
    drain(host=HOST)
    row = Import.objects.select_related("owner", "user", "host").get(pk=row.pk)
    real = execution.servers.with_port

    def fail(*arguments: Any, **options: Any) -> None:
        raise Refused("not now")

    monkeypatch.setattr(execution.servers, "with_port", fail)
    with pytest.raises(Failed, match="not now"):
        execution.carry_out(row, run=RecordedRun(row.resource))
    Overlay.objects.all().delete()
    monkeypatch.setattr(execution.servers, "with_port", real)
    execution.carry_out(row, run=RecordedRun(row.resource))
    assert "left4dead2/addons/ours.vpk" in tree_of(Overlay.objects.get())


def test_a_file_that_changed_since_the_plan_is_named(old: Old, cast: Cast):
    top = old("docker")
    row = actions.request(path=str(top), owner=cast.owner, by=cast.admin)
    drain(host=HOST)
    row.refresh_from_db()
    (top / "addons/sourcemod/plugins/one.smx").write_text("longer than before")
    actions.carry_out(row=row, by=cast.admin)
    drain(host=HOST)
    row.refresh_from_db()
    assert "changed since it was read" in row.result["0"]["notes"][0]


def test_a_file_that_grows_without_end_is_left_out(old: Old, cast: Cast, monkeypatch: pytest.MonkeyPatch):
    top = old("docker")
    row = actions.request(path=str(top), owner=cast.owner, by=cast.admin)
    drain(host=HOST)
    row.refresh_from_db()
    monkeypatch.setattr(copies, "_MOST_GROWTH", 10)
    (top / "addons/sourcemod/plugins/one.smx").write_text("much longer than before")
    actions.carry_out(row=row, by=cast.admin)
    drain(host=HOST)
    row.refresh_from_db()
    assert "grows while it is copied" in row.result["0"]["notes"][0]
    assert "left4dead2/addons/sourcemod/plugins/one.smx" not in tree_of(Overlay.objects.get())


def test_nothing_is_written_where_there_is_no_room(old: Old, cast: Cast, settings):
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 0
    row = actions.request(path=str(old("plain")), owner=cast.owner, by=cast.admin)
    drain(host=HOST)
    row.refresh_from_db()
    actions.carry_out(row=row, by=cast.admin)
    (job,) = drain(host=HOST)
    assert job.state == Job.State.FAILED
    assert "LEFT4ME_UPLOAD_QUOTA_MB" in job.error
    assert not Overlay.objects.exists()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("srv/one", "full path"),
        ("/", "one server"),
        ("{old}/../root", "full path"),
        ("{root}/overlays", "own data"),
        ("{old}/..", "full path"),
        ("/etc", "Only directories below"),
        ("{old}/link", "symbolic link"),
    ],
)
def test_paths_that_admins_may_not_name_are_refused(path: str, words: str, cast: Cast, tmp_path: Path, root: Path):
    old = tmp_path / "old"
    old.mkdir()
    (root / "overlays").mkdir()
    (old / "link").symlink_to("/etc")
    with pytest.raises(Exception, match=words):
        actions.request(path=path.format(old=old, root=root), owner=cast.owner, by=cast.admin)
    assert not Import.objects.exists()


def test_a_link_that_appears_on_the_way_is_not_followed(old: Old, cast: Cast, tmp_path: Path):
    top = old("plain")
    row = actions.request(path=str(top), owner=cast.owner, by=cast.admin)
    top.rename(tmp_path / "elsewhere")
    top.symlink_to(tmp_path / "elsewhere")
    (job,) = drain(host=HOST)
    assert job.state == Job.State.FAILED
    assert row.plan is None


def test_a_directory_that_is_closed_to_left4me_is_refused_with_the_command_that_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    top = tmp_path / "old"
    top.mkdir()
    monkeypatch.setattr("left4me.importer.source.walk.folder", refuse)
    with pytest.raises(BadSource, match=rf"cannot read {top}. As root, run: .*setfacl -R -m u:\w+:rX {top}"):
        open_source(str(top), below=None)


def test_old_imports_are_deleted(cast: Cast, old: Old):
    top = old("docker")
    for _number in range(KEPT + 3):
        actions.create(path=str(top), owner=cast.owner, by=cast.admin)
    assert Import.objects.count() == KEPT


def command(*arguments: str) -> str:
    out = io.StringIO()
    call_command("import_server", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_the_command_prints_the_plan_and_imports_from_anywhere(cast: Cast, tmp_path: Path):
    top = tmp_path / "anywhere"
    top.mkdir()
    shapes.linuxgsm(top)
    printed = command(str(top), "--owner", "anna", "--dry-run")
    assert "Nothing was written" in printed
    assert "Server “Anna's versus”, port 27035" in printed
    assert shapes.HIDDEN not in printed
    assert not Overlay.objects.exists()
    assert not Import.objects.exists()
    printed = command(str(top), "--owner", "anna")
    assert "Anna's versus, port 27035: /servers/" in printed
    assert Server.objects.count() == 2


def test_the_command_goes_on_after_an_interruption(cast: Cast, old: Old, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    real = copies.copy
    monkeypatch.setattr(copies, "copy", interrupt)
    with pytest.raises(CommandError, match="--resume"):
        command(str(old("plain")), "--owner", "anna")
    monkeypatch.setattr(copies, "copy", real)
    row = Import.objects.get()
    command("unused", "--owner", "anna", "--resume", str(row.pk))
    assert (Overlay.objects.count(), Server.objects.count()) == (1, 2)


def test_the_command_names_users_and_directories_that_are_not_there(cast: Cast, tmp_path: Path):
    with pytest.raises(CommandError, match="no user"):
        command(str(tmp_path), "--owner", "nobody")
    with pytest.raises(CommandError, match="no directory"):
        command(str(tmp_path / "missing"), "--owner", "anna")
    assert not Import.objects.exists()
