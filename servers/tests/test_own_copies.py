"""Files of a server that hide those of the game or of an overlay: what is told of them, and what changes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import redis
from django.test import Client
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from overlays import paths
from overlays.tests.factories import make_overlay
from servers import tasks
from servers.gamehost import shadows
from servers.gamehost.shadows import State
from servers.hosts import installs, own_copies, rpc, rpc_handlers, this_host
from servers.models import Server
from servers.state import attention
from servers.tests.factories import install_game, make_blueprint, make_host, make_server, share
from servers.tests.fake_runtime import FakeRuntime
from servers.tests.recorded_run import RecordedRun

STOCK = "left4dead2/cfg/valve.rc"
HOUR = 3600


@pytest.fixture
def server(cast: Cast, settings, tmp_path: Path, monkeypatch, redis_client: redis.Redis) -> Server:
    """A stopped server of the owner with an overlay and an installed game; pages reach its host directly."""
    settings.LEFT4ME_ROOT = tmp_path
    runtime = FakeRuntime()
    monkeypatch.setattr(this_host, "runtime", lambda: runtime)

    def call(host: object, procedure: str, **values: Any) -> rpc.Reply:
        reply = rpc_handlers.handle(procedure, values)
        if reply is None:
            raise rpc.NotFound
        return reply

    monkeypatch.setattr(rpc, "call", call)
    overlay = make_overlay(name="Plugins")
    made = make_server(
        cast.owner,
        host=make_host(last_seen_at=timezone.now()),
        blueprint=make_blueprint(cast.owner, overlays=[overlay]),
        actual_state=Server.State.STOPPED,
    )
    release(STOCK, "one", age=10)
    write(paths.directory(overlay) / "left4dead2/plugin.cfg", "of the overlay", age=10)
    this_host.storage().of(made.pk).prepare()
    return made


def write(path: Path, text: str, *, age: float) -> Path:
    """A file that was changed `age` hours ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    at = timezone.now().timestamp() - age * HOUR
    os.utime(path, (at, at))
    return path


def release(name: str, text: str, *, age: float) -> None:
    """Install a version of the game in which this file has this text since `age` hours ago."""
    write(install_game(this_host.root()).path / name, text, age=age)


def upper(server: Server) -> Path:
    return this_host.storage().of(server.pk).upper


def states(server: Server) -> dict[str, State]:
    return {shadow.path: shadow.state for _layer, shadow in own_copies.find(server)}


def request(server: Server, client: Client, operation: str, **given: Any) -> Job:
    response = client.post(f"/servers/{server.pk}/own-copies/change", {"operation": operation, **given})
    assert response.status_code == 302
    (job,) = drain(host="local")
    return job


def test_files_that_hide_nothing_are_no_copies(server: Server):
    write(upper(server) / "left4dead2/logs/L1.log", "x", age=1)
    write(upper(server) / "left4dead2/cfg/own.cfg", "x", age=1)
    assert states(server) == {}


def test_each_copy_is_told_with_what_it_hides_and_how_they_differ(server: Server, cast: Cast, client: Client):
    for name in ("same", "touched", "changed", "outdated"):
        write(this_host.games().current().path / name, "game", age=5)
    write(upper(server) / "same", "game", age=5)
    write(upper(server) / "touched", "game", age=1)
    write(upper(server) / "changed", "mine", age=1)
    write(upper(server) / "outdated", "mine", age=9)
    write(upper(server) / "left4dead2/plugin.cfg", "mine", age=1)
    client.force_login(cast.owner)
    found = client.get(f"/api/v1/servers/{server.pk}/own-copies").json()
    assert [(each["path"], each["overlay"], each["state"]) for each in found["files"]] == [
        ("outdated", "", "outdated"),
        ("changed", "", "changed"),
        ("left4dead2/plugin.cfg", "Plugins", "changed"),
        ("same", "", "same"),
        ("touched", "", "same"),
    ]
    assert found["aside"] is None
    page = client.get(f"/servers/{server.pk}/own-copies").content.decode()
    for words in ("Older than the original", "Changed by this server", "Same as the original", "Plugins"):
        assert words in page


def test_a_copy_of_the_version_before_an_update_is_outdated_whatever_its_time(server: Server):
    write(upper(server) / STOCK, "one", age=1)
    assert states(server) == {STOCK: State.SAME}
    release(STOCK, "two", age=5)
    assert states(server) == {STOCK: State.OUTDATED}


def test_a_file_that_was_only_installed_again_is_not_changed_by_that(server: Server):
    write(upper(server) / STOCK, "mine", age=5)
    release(STOCK, "one", age=1)
    assert states(server) == {STOCK: State.CHANGED}


def test_what_a_start_writes_is_no_copy(server: Server):
    write(upper(server) / STOCK, "mine", age=20)
    this_host.storage().of(server.pk).exchange_generated({STOCK})
    assert states(server) == {}


def test_links_of_a_game_lead_nowhere(server: Server, tmp_path: Path):
    secret = write(tmp_path / "secret/valve.rc", "one", age=10)
    (upper(server) / "left4dead2").mkdir()
    (upper(server) / "left4dead2/cfg").symlink_to(secret.parent)
    assert states(server) == {}
    (upper(server) / "left4dead2/cfg").unlink()
    (upper(server) / "left4dead2/cfg").mkdir()
    (upper(server) / STOCK).symlink_to(secret)
    assert states(server) == {STOCK: State.CHANGED}
    shadows.set_aside(this_host.storage().of(server.pk), [STOCK])
    assert secret.read_text() == "one"


def test_after_an_update_of_the_game_a_server_with_an_older_copy_needs_attention(
    server: Server, cast: Cast, monkeypatch
):
    write(upper(server) / STOCK, "mine", age=5)

    def update(**_: object) -> object:
        release(STOCK, "two", age=1)
        return this_host.games().current()

    monkeypatch.setattr(installs, "import_string", lambda _path: update)
    installs.install(RecordedRun("game"))
    server.refresh_from_db()
    assert server.outdated_files == 1
    rows = Server.objects.visible_to(cast.owner).listed().with_role(cast.owner)
    (reason,) = attention.of_servers(list(rows), busy=(), user=cast.owner, now=timezone.now())[server.pk]
    assert reason.kind == "outdated_files"
    assert reason.cure is not None and reason.cure.url == f"/servers/{server.pk}/own-copies"


def test_originals_are_used_again_for_the_ticked_files_and_can_be_taken_back(
    server: Server, cast: Cast, client: Client
):
    write(upper(server) / STOCK, "mine", age=20)
    write(upper(server) / "left4dead2/plugin.cfg", "mine", age=20)
    write(upper(server) / "left4dead2/own.cfg", "mine", age=20)
    tasks.tidy()
    server.refresh_from_db()
    assert server.outdated_files == 1, "that of the overlay is its owner's affair"
    client.force_login(cast.owner)
    job = request(server, client, "use_originals", file=[STOCK, "left4dead2/own.cfg", "../../secret"])
    assert job.state == Job.State.SUCCEEDED
    assert not (upper(server) / STOCK).exists()
    assert (upper(server) / "left4dead2/own.cfg").exists(), "it hides nothing"
    server.refresh_from_db()
    assert server.outdated_files == 0
    assert AuditEntry.objects.filter(action="server.use_originals", target=server.resource).exists()
    assert "1 own copy was replaced" in client.get(f"/servers/{server.pk}/own-copies").content.decode()
    assert request(server, client, "put_back_copies").state == Job.State.SUCCEEDED
    assert (upper(server) / STOCK).read_text() == "mine"
    assert client.get(f"/api/v1/servers/{server.pk}/own-copies").json()["aside"] is None


def test_without_files_all_outdated_copies_are_meant(server: Server, cast: Cast, client: Client):
    write(upper(server) / STOCK, "mine", age=20)
    write(upper(server) / "left4dead2/plugin.cfg", "mine", age=1)
    client.force_login(cast.owner)
    address = f"/api/v1/servers/{server.pk}/own-copies"
    response = client.post(address, {"operation": "use_originals"}, content_type="application/json")
    assert (response.status_code, response.json()["operation"]) == (202, "use_originals")
    drain(host="local")
    assert states(server) == {"left4dead2/plugin.cfg": State.CHANGED}


def test_a_kept_copy_is_not_outdated_until_the_next_update(server: Server, cast: Cast, client: Client):
    write(upper(server) / STOCK, "mine", age=20)
    client.force_login(cast.owner)
    assert request(server, client, "keep_copies", file=[STOCK]).state == Job.State.SUCCEEDED
    assert states(server) == {STOCK: State.CHANGED}
    release(STOCK, "two", age=-1)
    assert states(server) == {STOCK: State.OUTDATED}


def test_while_a_game_runs_nothing_is_changed(server: Server, cast: Cast, client: Client):
    write(upper(server) / STOCK, "mine", age=20)
    client.force_login(cast.owner)
    lock = this_host.storage().of(server.pk).try_lock()
    assert request(server, client, "use_originals", file=[STOCK]).state == Job.State.FAILED
    os.close(lock)
    Server.objects.update(actual_state=Server.State.RUNNING)
    address = f"/api/v1/servers/{server.pk}/own-copies"
    response = client.post(address, {"operation": "use_originals"}, content_type="application/json")
    assert (response.status_code, response.json()["title"]) == (409, "Not possible")
    assert "disabled" in client.get(f"/servers/{server.pk}/own-copies").content.decode()
    assert (upper(server) / STOCK).exists()


@pytest.mark.parametrize("visitor", ["operator", "viewer", "stranger"])
def test_only_who_may_change_the_server_sees_and_changes_them(
    server: Server, cast: Cast, client: Client, visitor: str
):
    share(server, cast.operator, "operator")
    share(server, cast.viewer, "viewer")
    client.force_login(getattr(cast, visitor))
    assert client.get(f"/servers/{server.pk}/own-copies").status_code in {403, 404}
    assert client.get(f"/api/v1/servers/{server.pk}/own-copies").status_code in {403, 404}
    response = client.post(f"/servers/{server.pk}/own-copies/change", {"operation": "use_originals"})
    assert response.status_code in {403, 404}


def test_what_was_set_aside_goes_after_a_week(server: Server):
    directory = this_host.storage().of(server.pk)
    write(upper(server) / STOCK, "mine", age=20)
    shadows.set_aside(directory, [STOCK])
    tasks.tidy()
    assert shadows.aside(directory) == [STOCK]
    week = timezone.now().timestamp() - 7 * 24 * HOUR - 1
    os.utime(directory.aside, (week, week))
    tasks.tidy()
    assert shadows.aside(directory) == []
