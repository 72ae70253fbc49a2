"""Backups of the whole machine on their page and in the API: the list that root wrote, and the unit of the job."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core import machine_backups as backup_list
from left4me.core.processes import commands
from left4me.jobs.models import Job, JobLog
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from servers.gamehost.port import LogLine
from servers.gamehost.systemd import journal, units
from servers.hosts import machine_backups, rpc, this_host
from servers.models import Host
from servers.state import attention
from servers.tests.factories import make_host
from servers.tests.near_host import answer_here

pytestmark = pytest.mark.django_db

NAME = "left4me-20261121T033000Z.tar"


@pytest.fixture
def folder(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that `deploy/install` set up, with one backup; the host answers in the test's thread."""
    settings.LEFT4ME_RUNTIME = "systemd"
    folder = tmp_path / "backups"
    folder.mkdir()
    units_folder = tmp_path / "units"
    (units_folder / "timers.target.wants").mkdir(parents=True)
    (units_folder / machine_backups.UNIT).touch()
    (units_folder / "timers.target.wants/left4me-backup.timer").symlink_to("/dev/null")
    monkeypatch.setattr(machine_backups, "_UNITS", units_folder)
    monkeypatch.setattr(backup_list, "FOLDER", folder)
    put(folder, NAME, created_at=timezone.now().isoformat())

    answer_here(monkeypatch)
    return folder


def put(folder: Path, name: str, **fields: Any) -> None:
    (folder / name).touch()
    parts = {"database": {"files": 1, "bytes": 2_000_000}, "overlays": {"files": 40, "bytes": 3_400_000_000}}
    given = {"name": name, "size": 3_402_000_000, "made_by": "timer", "release": "20261101-abc1234", "parts": parts}
    (folder / "list.json").write_text(json.dumps([{**given, "skipped": 2, "is_damaged": False, **fields}]))


@pytest.fixture
def host(folder: Path) -> Host:
    return make_host(last_seen_at=timezone.now(), facts={"backup": machine_backups.facts()})


@pytest.fixture
def ada(cast: Cast, client: Client) -> Client:
    client.force_login(cast.admin)
    return client


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[LogLine]:
    """The log of the unit."""
    lines: list[LogLine] = []
    monkeypatch.setattr(journal, "tail", lambda unit, count: lines[-count:])
    return lines


def line(text: str) -> LogLine:
    return LogLine(text=text, at=timezone.now(), cursor=text)


def test_admins_see_each_backup_with_what_it_holds_and_the_command_that_restores_it(ada: Client, host: Host):
    page = ada.get("/backups").content.decode()
    assert "By the timer" in page
    assert "Overlays 3.4 GB" in page.replace("\xa0", " ")
    assert "2 files left out" in page
    assert f"left4mectl restore {backup_list.FOLDER / NAME}" in page
    assert "No recent backup" not in page


def test_a_file_that_was_removed_is_not_listed(ada: Client, host: Host, folder: Path):
    (folder / NAME).unlink()
    assert "No backups yet" in ada.get("/backups").content.decode()


def test_a_missed_night_needs_attention_of_the_host_unless_the_timer_is_off(
    ada: Client, host: Host, folder: Path, cast: Cast
):
    put(folder, NAME, created_at=(timezone.now() - timedelta(hours=37)).isoformat())
    host.facts = {**host.facts, "backup": this_host.facts(host.facts)["backup"]}
    host.save()
    reasons = attention.of_hosts([host], user=cast.admin, now=timezone.now())[host.pk]
    cures = {reason.kind: reason.cure for reason in reasons}
    assert cures["backup_late"].url == "/backups"
    assert "No recent backup" in ada.get("/backups").content.decode()
    (folder.parent / "units/timers.target.wants/left4me-backup.timer").unlink()
    host.facts = {**host.facts, "backup": machine_backups.facts()}
    host.save()
    page = ada.get("/backups").content.decode()
    assert "No recent backup" not in page
    assert "is off" in page


def test_a_new_installation_gets_its_first_night(host: Host, folder: Path):
    (folder / "list.json").write_text("[]")
    host.facts = {"backup": machine_backups.facts()}
    assert not host.backup_is_late(timezone.now())
    assert host.backup_is_late(timezone.now() + timedelta(hours=37))


def test_back_up_now_starts_the_unit_and_shows_how_far_it_is(
    ada: Client, host: Host, folder: Path, log: list[LogLine], monkeypatch: pytest.MonkeyPatch
):
    log.append(line("overlays: 9.9 GB, 99 %"))
    shown: list[str] = []

    def run(unit: str, *, cancelled: Any) -> None:
        assert unit == "left4me-backup.service"
        log.append(line("overlays: 1.2 GB, 34 %"))
        assert not cancelled()
        shown.append(ada.get("/backups").content.decode())
        log.append(line("/var/backups/left4me/left4me-20261122T100000Z.tar (3.4 GB)"))

    monkeypatch.setattr(units, "run", run)
    ada.post("/backups/create")
    assert "Queued" in ada.get("/backups").content.decode()
    (job,) = drain(host="local")
    assert job.state == "succeeded"
    assert "In progress" in shown[0]
    assert job.progress["done"] == 34
    texts = list(JobLog.objects.filter(job=job).values_list("line", flat=True))
    assert "overlays: 1.2 GB, 34 %" in texts
    assert "overlays: 9.9 GB, 99 %" not in texts, "a line of the night before"
    assert AuditEntry.objects.get().action == "host.back_up"


def test_a_refusal_of_the_command_is_that_of_the_job(
    ada: Client, host: Host, log: list[LogLine], monkeypatch: pytest.MonkeyPatch
):
    def run(unit: str, *, cancelled: Any) -> None:
        log.append(line("left4mectl backup: The disk is too full: the backup takes about 3.4 GB."))
        log.append(line("left4me-backup.service: Main process exited, code=exited, status=1/FAILURE"))
        raise commands.CommandFailed("systemctl", 1, "Job for left4me-backup.service failed")

    monkeypatch.setattr(units, "run", run)
    ada.post("/backups/create")
    (job,) = drain(host="local")
    assert (job.state, job.error) == ("failed", "The disk is too full: the backup takes about 3.4 GB.")
    assert "The disk is too full" in ada.get("/backups").content.decode()


def test_where_left4me_was_not_installed_the_page_and_the_api_say_so(ada: Client, cast: Cast, folder: Path):
    make_host(last_seen_at=timezone.now())
    assert "not installed by" in ada.get("/backups").content.decode()
    assert "not installed by" in ada.post("/backups/create", follow=True).content.decode()
    assert Caller(cast.admin).get("/backups")[0] == 404
    assert Caller(cast.admin).post("/backups")[0] == 409
    assert not Job.objects.exists()


def test_a_silent_host_is_said(ada: Client, host: Host, monkeypatch: pytest.MonkeyPatch):
    def silent(*_: Any, **__: Any) -> rpc.Reply:
        raise rpc.HostSilent

    monkeypatch.setattr(rpc, "call", silent)
    assert "did not respond" in ada.get("/backups").content.decode()


def test_the_api_lists_and_requests_for_admins_only(host: Host, cast: Cast):
    status, told = Caller(cast.admin).get("/backups")
    assert (status, told["is_nightly"], told["is_late"]) == (200, True, False)
    assert told["items"][0]["parts"] == {"database": 2_000_000, "overlays": 3_400_000_000}
    status, job = Caller(cast.admin).post("/backups")
    assert (status, job["operation"], job["resource"]) == (202, "back_up_machine", "machine")
    for call in (Caller(cast.owner).get, Caller(cast.owner).post):
        assert call("/backups")[0] == 403


def test_nobody_else_opens_the_page(client: Client, cast: Cast, host: Host):
    client.force_login(cast.owner)
    assert client.get("/backups").status_code == 403
    assert client.post("/backups/create").status_code == 403
