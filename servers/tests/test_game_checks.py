"""Updates of the game that hosts notice: when they ask, what is stored, and who is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from left4me.alerts.events import Event
from left4me.alerts.models import Delivery
from left4me.alerts.tests.factories import make_channel
from left4me.audit.models import AuditEntry
from left4me.jobs.models import Job
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from left4me.testing.recorded_run import RecordedRun
from servers import overview
from servers.gamehost.steamcmd.session import LookupFailed
from servers.hosts import game_checks, installs, this_host
from servers.models import GameCheck, Host, Server
from servers.simulated import releases
from servers.state import attention
from servers.tests.factories import make_host, make_server
from servers.tests.fake_runtime import EPOCH, FakeRuntime

pytestmark = pytest.mark.django_db
NOW = EPOCH + timedelta(days=1)
HTMX = {"HX-Request": "true"}
CANNOT_JOIN = "Players with the current game cannot join"


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    fake = FakeRuntime()
    monkeypatch.setattr(this_host, "runtime", lambda: fake)
    return fake


@pytest.fixture
def host(tmp_path: Path, settings: Any, runtime: FakeRuntime) -> Host:
    """A host with the simulated game as it was released first."""
    settings.LEFT4ME_ROOT = tmp_path
    settings.LEFT4ME_GAME = "simulated"
    make_host(last_seen_at=timezone.now())
    installs.install(RecordedRun("game"))
    return Host.objects.get()


def check(*, at: datetime = NOW) -> bool:
    return game_checks.check_when_due(lambda: at)


def release(name: str = "2", **how: Any) -> str:
    return releases.publish(this_host.root() / "game", name, **how).build


def fails(monkeypatch: pytest.MonkeyPatch, words: str = "Steam did not respond.") -> None:
    def ask() -> str:
        raise LookupFailed(words)

    monkeypatch.setattr(releases, "newest_build", ask)


def told() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("event", flat=True))


def host_reasons(cast: Cast) -> list[str]:
    hosts = list(Host.objects.select_related("game_check"))
    [reasons] = attention.of_hosts(hosts, user=cast.admin, now=timezone.now()).values()
    return [reason.kind for reason in reasons]


def server_reasons(cast: Cast, server: Server) -> list[tuple[str, str]]:
    subjects = overview.needing_attention(cast.owner, now=timezone.now())
    return [(reason.kind, reason.text) for each in subjects if each.id == server.pk for reason in each.reasons]


def test_a_new_build_is_noticed_once_and_admins_are_told(host: Host, cast: Cast):
    make_channel(cast.admin)
    make_channel(cast.owner)
    assert check()
    known = GameCheck.objects.get()
    assert (known.checked_at, known.source, known.error) == (NOW, "simulated", "")
    assert not Host.objects.get().update_is_wanted
    build = release()
    assert not check(at=NOW + timedelta(minutes=59))
    assert check(at=NOW + timedelta(minutes=60))
    assert check(at=NOW + timedelta(minutes=120))
    known = GameCheck.objects.get()
    assert (known.newest_build, known.noticed_at) == (build, NOW + timedelta(minutes=60))
    assert Host.objects.get().update_is_wanted
    assert host_reasons(cast) == ["update_available"]
    assert told() == [Event.GAME_UPDATE_AVAILABLE]


def test_an_installed_update_is_told_and_its_servers_say_who_cannot_join(host: Host, cast: Cast):
    make_channel(cast.admin)
    server = make_server(
        cast.owner, host=host, game_version=host.game_version, actual_state="running", desired_state="running"
    )
    release()
    check()
    [(kind, text)] = server_reasons(cast, server)
    assert kind == "game_outdated"
    assert CANNOT_JOIN in text
    installs.install(RecordedRun("game"))
    assert host_reasons(cast) == []
    [(kind, text)] = server_reasons(cast, server)
    assert kind == "game_update"
    assert text.startswith("Players with the current game cannot join until it restarts")
    Server.objects.update(game_version=Host.objects.get().game_version)
    assert server_reasons(cast, server) == []
    assert told() == [Event.GAME_UPDATE_AVAILABLE, Event.GAME_UPDATE_INSTALLED]


def test_a_check_that_fails_says_so_is_retried_ever_later_and_keeps_what_is_known(
    host: Host, cast: Cast, monkeypatch: pytest.MonkeyPatch, client: Client
):
    check()
    fails(monkeypatch)
    at, pauses = NOW + timedelta(hours=1), []
    for _ in range(9):
        assert check(at=at)
        known = GameCheck.objects.get()
        assert known.next_at is not None
        pauses.append(int((known.next_at - at).total_seconds()) // 60)
        at = known.next_at
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 360, 360]
    assert (known.checked_at, known.failures) == (NOW, 9)
    assert host_reasons(cast) == ["update_unknown"]
    client.force_login(cast.admin)
    page = client.get(f"/hosts/{host.pk}").content.decode()
    assert "Steam did not respond." in page
    assert "Up to date" not in page
    monkeypatch.undo()
    monkeypatch.setattr(this_host, "runtime", FakeRuntime)
    assert check(at=at)
    assert (GameCheck.objects.get().failures, GameCheck.objects.get().error) == (0, "")
    assert "Up to date" in client.get(f"/hosts/{host.pk}").content.decode()


def test_a_server_that_steam_tells_to_update_counts_where_the_check_fails(
    host: Host, cast: Cast, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
):
    server = make_server(
        cast.owner, host=host, game_version=host.game_version, actual_state="running", desired_state="running"
    )
    fails(monkeypatch)
    runtime.lines = ["Ellis: MasterRequestRestart", "Connection to Steam servers successful."]
    check()
    assert not Host.objects.get().update_is_wanted
    runtime.lines.append("MasterRequestRestart")
    check(at=NOW + timedelta(hours=1))
    assert Host.objects.get().update_is_wanted
    assert GameCheck.objects.get().source == GameCheck.Source.SERVER
    assert [kind for kind, _text in server_reasons(cast, server)] == ["game_outdated"]


def test_a_build_that_was_rolled_back_is_not_asked_for_again_until_somebody_installs_it(
    host: Host, cast: Cast, client: Client
):
    old = host.game_version
    build = release()
    check()
    installs.install(RecordedRun("game"))
    installs.roll_back(RecordedRun("game", **{"from": Host.objects.get().game_version}))
    check(at=NOW + timedelta(days=1))
    assert Host.objects.get().game_version == old
    assert host_reasons(cast) == []
    client.force_login(cast.admin)
    assert f"{build}, the newest one, was rolled back here" in client.get(f"/hosts/{host.pk}").content.decode()
    installs.install(RecordedRun("game"))
    assert Host.objects.get().game_version.endswith(build)
    assert GameCheck.objects.get().left_build == ""


def test_servers_of_a_newer_version_are_not_called_old_after_a_roll_back(host: Host, cast: Cast):
    release()
    check()
    installs.install(RecordedRun("game"))
    server = make_server(
        cast.owner,
        host=host,
        game_version=Host.objects.get().game_version,
        actual_state="running",
        desired_state="running",
    )
    installs.roll_back(RecordedRun("game"))
    [(kind, text)] = server_reasons(cast, server)
    assert (kind, "rolled back" in text) == ("game_update", True)


def test_nothing_is_asked_while_a_job_works_on_the_game_or_before_it_is_installed(host: Host):
    job = Job.objects.create(operation="install", resource="game", host=host.name)
    assert not check()
    job.delete()
    assert check()
    (this_host.root() / "game" / "current").unlink()
    assert not check(at=NOW + timedelta(days=1))


def test_a_check_can_be_asked_for_on_the_page_and_in_the_api(host: Host, cast: Cast, client: Client, api: Caller):
    check(at=timezone.now())
    assert not check(at=timezone.now())
    client.force_login(cast.admin)
    part = client.post(f"/hosts/{host.pk}/game-check", headers=HTMX).content.decode()
    assert "Looking for updates…" in part
    assert check(at=timezone.now())
    assert "Looking for updates…" not in client.get(f"/hosts/{host.pk}").content.decode()
    status, row = api.by(cast.admin).post(f"/hosts/{host.pk}/game-check")
    assert (status, row["game_update"]["is_available"], row["game_update"]["error"]) == (202, False, "")
    assert AuditEntry.objects.filter(action="host.check_game").count() == 2
    Host.objects.update(last_seen_at=None)
    assert api.by(cast.admin).post(f"/hosts/{host.pk}/game-check")[0] == 409


def test_what_happens_by_itself_is_chosen_per_host(host: Host, cast: Cast, client: Client, api: Caller):
    client.force_login(cast.admin)
    address = f"/hosts/{host.pk}/game-updates"
    assert "Only tell me" in client.get(address).content.decode()
    given = {"update_policy": "at_time", "update_time": "04:30", "update_zone": "Europe/Berlin", "update_at_once": 3}
    assert client.post(address, given).status_code == 302
    assert "04:30 Europe/Berlin" in client.get(f"/hosts/{host.pk}").content.decode()
    for wrong in ({"update_at_once": 0}, {"update_zone": "Mars/Olympus"}, {"update_policy": "always"}):
        assert client.post(address, {**given, **wrong}).status_code == 422
        assert api.by(cast.admin).patch(f"/hosts/{host.pk}", wrong)[0] == 422
    status, row = api.by(cast.admin).patch(f"/hosts/{host.pk}", {"update_policy": "tell"})
    assert (status, row["update_policy"], row["update_time"]) == (200, "tell", "04:30:00")
    client.force_login(cast.owner)
    assert client.get(address).status_code == 403
