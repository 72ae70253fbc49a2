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
from left4me.core.files import walk
from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from left4me.testing.recorded_run import RecordedRun
from overlays import paths
from overlays.tests.factories import make_overlay
from servers import tasks
from servers.gamehost import copies, shadows
from servers.gamehost.shadows import State
from servers.hosts import installs, own_copies, this_host
from servers.models import Server
from servers.state import attention
from servers.tests.factories import install_game, make_blueprint, make_host, make_server, share
from servers.tests.fake_runtime import FakeRuntime
from servers.tests.near_host import answer_here

STOCK = "left4dead2/cfg/valve.rc"
HOUR = 3600


@pytest.fixture
def server(cast: Cast, settings, tmp_path: Path, monkeypatch, redis_client: redis.Redis) -> Server:
    """A stopped server of the owner with an overlay and an installed game; pages reach its host directly."""
    settings.LEFT4ME_ROOT = tmp_path
    runtime = FakeRuntime()
    monkeypatch.setattr(this_host, "runtime", lambda: runtime)

    answer_here(monkeypatch)
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
    assert states(server) == {"left4dead2/cfg": State.CHANGED}, "the link itself hides a folder"
    (upper(server) / "left4dead2/cfg").unlink()
    (upper(server) / "left4dead2/cfg").mkdir()
    (upper(server) / STOCK).symlink_to(secret)
    assert states(server) == {STOCK: State.CHANGED}
    copies.set_aside(this_host.storage().of(server.pk), [STOCK], now=1.0)
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
    assert states(server) == {STOCK: State.KEPT}
    assert "Kept, older than the original" in client.get(f"/servers/{server.pk}/own-copies").content.decode()
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
    now = timezone.now().timestamp()
    copies.set_aside(directory, [STOCK], now=now - 7 * 24 * HOUR + 60)
    tasks.tidy()
    assert copies.aside(directory) is not None
    directory.aside.rename(directory.path / "before")
    write(upper(server) / STOCK, "mine", age=20)
    copies.set_aside(directory, [STOCK], now=now - 7 * 24 * HOUR - 60)
    tasks.tidy()
    assert copies.aside(directory) is None


def test_nothing_that_is_set_aside_is_lost_when_its_place_is_taken(server: Server):
    directory = this_host.storage().of(server.pk)
    write(upper(server) / STOCK, "first", age=20)
    copies.set_aside(directory, [STOCK], now=1.0)
    write(upper(server) / STOCK, "second", age=20)
    assert copies.put_back(directory) == copies.PutBack(done=0, left=1)
    copies.set_aside(directory, [STOCK], now=2.0)
    assert copies.aside(directory) == copies.Aside(files=2, at=2.0)
    assert copies.put_back(directory) == copies.PutBack(done=1, left=1)
    assert (upper(server) / STOCK).read_text() == "second"
    (upper(server) / STOCK).unlink()
    assert copies.put_back(directory) == copies.PutBack(done=1, left=0)
    assert (upper(server) / STOCK).read_text() == "first"
    assert not list(directory.aside.iterdir())


def test_what_is_put_back_into_a_folder_that_is_gone_makes_it_again(server: Server):
    directory = this_host.storage().of(server.pk)
    write(upper(server) / STOCK, "mine", age=20)
    (upper(server) / "left4dead2/cfg").chmod(0o751)
    copies.set_aside(directory, [STOCK], now=1.0)
    (upper(server) / "left4dead2/cfg").rmdir()
    assert copies.put_back(directory) == copies.PutBack(done=1, left=0)
    assert (upper(server) / "left4dead2/cfg").stat().st_mode & 0o777 == 0o751
    copies.set_aside(directory, [STOCK], now=2.0)
    (upper(server) / "left4dead2/cfg").rmdir()
    (upper(server) / "left4dead2/cfg").symlink_to(directory.path)
    assert copies.put_back(directory) == copies.PutBack(done=0, left=1)


def test_what_is_set_aside_is_bounded(server: Server, monkeypatch):
    directory = this_host.storage().of(server.pk)
    monkeypatch.setattr(copies, "MOST_BATCHES", 2)
    for number in range(4):
        write(upper(server) / STOCK, f"{number}", age=20)
        copies.set_aside(directory, [STOCK], now=float(number))
    assert sorted(float(batch.name) for batch in directory.aside.iterdir()) == [2.0, 3.0]
    monkeypatch.setattr(copies, "MOST_KEPT", 1)
    write(upper(server) / STOCK, "last", age=20)
    copies.set_aside(directory, [STOCK], now=9.0)
    assert [float(batch.name) for batch in directory.aside.iterdir()] == [9.0]


def test_a_mark_of_a_deleted_folder_is_told_as_a_folder(server: Server):
    with walk.folder(upper(server), ()) as handle:
        walk.mark_deleted("left4dead2", at=handle)
    assert states(server) == {"left4dead2/": State.DELETED}
    copies.set_aside(this_host.storage().of(server.pk), ["left4dead2/"], now=1.0)
    assert states(server) == {}


def test_a_game_cannot_make_the_search_expensive_or_fail(server: Server, cast: Cast, client: Client, monkeypatch):
    game = this_host.games().current().path
    for name in ("a", "b", "c", "fi\udcffle"):
        write(game / name, "game", age=5)
        write(upper(server) / name, "mine", age=9)
    os.utime(upper(server) / "a", (10**11, 10**11))
    monkeypatch.setattr(own_copies, "MOST_SHOWN", 2)
    client.force_login(cast.owner)
    found = client.get(f"/api/v1/servers/{server.pk}/own-copies").json()
    assert ([each["path"] for each in found["files"]], found["more"]) == (["b", "c"], 1)
    assert "1 more is not listed." in client.get(f"/servers/{server.pk}/own-copies").content.decode()
    monkeypatch.setattr(shadows, "MOST_FOUND", 1)
    assert len(states(server)) == 1
    monkeypatch.setattr(shadows, "_MOST_LOOKED_AT", 0)
    assert states(server) == {}


def test_beyond_a_bound_contents_are_not_compared(server: Server, monkeypatch):
    write(upper(server) / STOCK, "one", age=1)
    assert states(server) == {STOCK: State.SAME}
    monkeypatch.setattr(shadows, "_MOST_COMPARED", 2)
    assert states(server) == {STOCK: State.CHANGED}


@pytest.mark.parametrize("files", [["a"] * 501, ["a" * 5_000], ["a\0b"], []])
def test_requests_for_files_that_cannot_be_are_refused(server: Server, cast: Cast, client: Client, files: list[str]):
    client.force_login(cast.owner)
    given = {"operation": "use_originals", "files": files}
    response = client.post(f"/api/v1/servers/{server.pk}/own-copies", given, content_type="application/json")
    assert 400 <= response.status_code < 500
    client.post(f"/servers/{server.pk}/own-copies/change", {"operation": "use_originals", "file": files})
    assert not Job.objects.exists()


def test_a_copy_that_is_kept_beside_a_changed_file_stays_kept_though_it_is_of_the_version_before(
    server: Server, cast: Cast, client: Client
):
    write(upper(server) / STOCK, "one", age=10)
    release(STOCK, "two", age=5)
    assert states(server) == {STOCK: State.OUTDATED}
    client.force_login(cast.owner)
    request(server, client, "keep_copies", file=[STOCK])
    assert states(server) == {STOCK: State.KEPT}
    release(STOCK, "two", age=0)
    assert states(server) == {STOCK: State.KEPT}, "it was only installed again"
    release(STOCK, "three", age=-1)
    assert states(server) == {STOCK: State.OUTDATED}


def test_a_change_that_fails_half_way_leaves_a_true_number(server: Server, cast: Cast, client: Client, monkeypatch):
    write(upper(server) / STOCK, "mine", age=20)
    own_copies.note(server)

    def fail(_directory: object) -> None:
        raise OSError("the disk is broken")

    monkeypatch.setattr(copies, "_bound", fail)
    client.force_login(cast.owner)
    assert request(server, client, "use_originals", file=[STOCK]).state == Job.State.FAILED
    server.refresh_from_db()
    assert server.outdated_files == 0


def test_the_api_puts_back_only_what_it_is_told(server: Server, cast: Cast, client: Client):
    for name in (STOCK, "left4dead2/plugin.cfg"):
        write(upper(server) / name, "mine", age=20)
    client.force_login(cast.owner)
    address = f"/api/v1/servers/{server.pk}/own-copies"
    client.post(address, {"operation": "use_originals"}, content_type="application/json")
    drain(host="local")
    given = {"operation": "put_back_copies", "files": [STOCK]}
    assert client.post(address, given, content_type="application/json").status_code == 202
    drain(host="local")
    assert states(server) == {STOCK: State.OUTDATED}
    found = client.get(address).json()["aside"]
    assert found["files"] == 1


def test_a_file_is_put_back_without_the_mark_of_its_folder(server: Server):
    directory = this_host.storage().of(server.pk)
    write(upper(server) / STOCK, "mine", age=20)
    write(this_host.games().current().path / "left4dead2/cfg/other.cfg", "game", age=5)
    folder = upper(server) / "left4dead2/cfg"
    os.setxattr(folder, "user.overlay.opaque", b"y")
    assert states(server) == {STOCK: State.OUTDATED, "left4dead2/cfg/": State.FOLDER}
    assert copies.set_aside(directory, [STOCK, "left4dead2/cfg/"], now=1.0) == 2
    assert states(server) == {}
    assert copies.aside(directory) == copies.Aside(files=2, at=1.0)
    assert copies.put_back(directory, only=[STOCK]) == copies.PutBack(done=1, left=0)
    assert states(server) == {STOCK: State.OUTDATED}
    assert copies.put_back(directory, only=["left4dead2/cfg/"]) == copies.PutBack(done=1, left=0)
    assert states(server) == {STOCK: State.OUTDATED, "left4dead2/cfg/": State.FOLDER}
    assert copies.aside(directory) is None
