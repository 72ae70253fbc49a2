"""Journeys by clicks through backups: of a server, up to its deletion and back, and of the whole machine."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from left4me.backups import archives
from left4me.backups.tests.test_whole_machine import NAME, folder, line, put  # noqa: F401 -- a fixture
from left4me.core.processes import commands
from left4me.testing.jobs import drain
from servers.gamehost.process.runtime import ProcessRuntime
from servers.gamehost.systemd import journal, units
from servers.hosts import machine_backups, this_host
from servers.models import Server
from servers.tests.factories import make_host, make_server
from servers.tests.near_host import answer_here

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_server"),
    pytest.mark.timeout(300),
]

WORKS = "sm_bans 1\n"


@pytest.fixture(autouse=True)
def _without_streams(complaints):
    # Streams are an application of their own, which the live server of the tests does not serve.
    complaints.expect("status of 404")


@pytest.fixture
def bans(cast, settings, tmp_path, monkeypatch) -> Path:
    """A file that a plugin wrote on the stopped server “Friday”, whose host answers pages in their own thread."""
    settings.LEFT4ME_ROOT = tmp_path
    monkeypatch.setattr(this_host, "runtime", lambda: ProcessRuntime(root=tmp_path, limits_in=""))
    answer_here(monkeypatch)
    host = make_host(game_version="20300102T000000-100", last_seen_at=timezone.now() + timedelta(hours=1))
    server = make_server(cast.owner, name="Friday", host=host, actual_state="stopped")
    file = this_host.storage().of(server.pk).upper / "left4dead2/cfg/sourcemod/bans.cfg"
    file.parent.mkdir(parents=True)
    file.write_text(WORKS)
    return file


def test_a_server_is_backed_up_ruined_restored_deleted_and_brought_back(
    cast, sign_in, axe, picture, bans, monkeypatch
):
    page = sign_in(cast.owner)
    main = page.get_by_role("main")
    page.goto("/servers")
    page.get_by_role("link", name="Friday").first.click()
    page.get_by_role("navigation", name="Server", exact=True).get_by_role("link", name="Backups").click()
    expect(main).to_contain_text("No backups yet")
    axe(page)
    picture("backups", "1-none")
    page.get_by_role("button", name="Back up now").click()
    expect(main).to_contain_text("Queued")
    picture("backups", "2-queued")

    def write(*args, **kwargs):
        page.reload()
        expect(main).to_contain_text("In progress")
        axe(page)
        picture("backups", "3-in-progress")
        return original(*args, **kwargs)

    original = archives.write
    monkeypatch.setattr(archives, "write", write)
    drain(host="local")
    monkeypatch.setattr(archives, "write", original)
    # The page asks by itself.
    expect(page.get_by_role("row", name=re.compile("Manual"))).to_contain_text("anna", timeout=20_000)
    axe(page)
    picture("backups", "4-made")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    archive = io.BytesIO(gzip.decompress(Path(download.value.path()).read_bytes()))
    with tarfile.open(fileobj=archive) as tar:
        assert "left4dead2/cfg/sourcemod/bans.cfg" in tar.getnames()

    bans.write_text("ruined by a plugin")
    page.get_by_role("link", name="Restore…").click()
    expect(main).to_contain_text("Replaced: 1")
    axe(page)
    picture("backups", "5-preview")
    page.get_by_role("button", name="Restore").click()
    page.wait_for_url("**/jobs/*")
    drain(host="local")
    expect(main).to_contain_text("Succeeded", timeout=20_000)
    picture("backups", "6-restored")
    assert bans.read_text() == WORKS

    page.goto(f"/servers/{Server.objects.get().pk}/delete")
    page.get_by_role("button", name=re.compile("Delete")).click()
    page.wait_for_url("**/servers")
    drain(host="local")
    assert not bans.exists()
    page.goto("/servers")
    page.get_by_role("link", name="Recently deleted").click()
    axe(page)
    picture("backups", "7-deleted")
    page.get_by_role("button", name="Restore Friday").click()
    page.wait_for_url(re.compile(r"/servers/\d+$"))
    drain(host="local")
    assert bans.read_text() == WORKS
    page.get_by_role("navigation", name="Server", exact=True).get_by_role("link", name="Backups").click()
    expect(page.get_by_role("link", name="Restore…")).to_have_count(2)
    picture("backups", "8-back")


def test_an_admin_sees_that_a_night_was_missed_and_makes_a_backup(
    cast,
    sign_in,
    axe,
    picture,
    folder,  # noqa: F811
    monkeypatch,
):
    put(folder, NAME, created_at=(timezone.now() - timedelta(days=3)).isoformat())
    facts = {"backup": machine_backups.facts()}
    host = make_host(game_version="1", last_seen_at=timezone.now() + timedelta(hours=1), facts=facts)
    make_server(cast.admin, host=host)
    lines = []
    monkeypatch.setattr(journal, "tail", lambda unit, count: lines[-count:])
    page = sign_in(cast.admin)
    main = page.get_by_role("main")
    page.goto("/")
    expect(main).to_contain_text("No recent backup")
    picture("backups", "machine-0-dashboard")
    main.get_by_role("link", name="Open backups").click()
    page.wait_for_url("**/backups")
    axe(page)
    picture("backups", "machine-1-late")

    def fail(unit, *, cancelled):
        lines.append(line("left4mectl backup: The disk is too full: the backup takes about 3.4 GB."))
        raise commands.CommandFailed("systemctl", 1, "")

    monkeypatch.setattr(units, "run", fail)
    page.get_by_role("button", name="Back up now").click()
    expect(main).to_contain_text("Queued")
    drain(host="local")
    # The page asks by itself.
    expect(main).to_contain_text("The disk is too full", timeout=20_000)
    axe(page)
    picture("backups", "machine-2-failed")

    def run(unit, *, cancelled):
        lines.append(line("overlays: 1.2 GB, 34 %"))
        cancelled()
        page.reload()
        expect(main).to_contain_text("In progress")
        picture("backups", "machine-3-in-progress")
        put(folder, "left4me-20261122T100000Z.tar", created_at=timezone.now().isoformat(), made_by="hand")
        host.facts = {"backup": machine_backups.facts()}
        host.save()

    monkeypatch.setattr(units, "run", run)
    page.get_by_role("button", name="Back up now").click()
    drain(host="local")
    expect(page.get_by_role("row", name=re.compile("By hand"))).to_contain_text("3.4 GB", timeout=20_000)
    expect(main).not_to_contain_text("No recent backup")
    axe(page)
    picture("backups", "machine-4-made")
