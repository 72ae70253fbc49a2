"""The operations on a host's game, with a SteamCMD that plays what real runs printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from left4me.core.concurrency import Cancelled
from left4me.jobs import operations
from left4me.jobs.models import Job
from left4me.jobs.operations import Failed
from left4me.testing.recorded_run import RecordedRun
from servers import tasks
from servers.gamehost.steamcmd import install as steam
from servers.gamehost.steamcmd.session import SteamCmd
from servers.gamehost.tests import fake_steamcmd
from servers.hosts import installs, this_host
from servers.models import Host
from servers.tests.factories import install_game, make_host

pytestmark = pytest.mark.django_db
INVALID_PLATFORM = {"says": "ERROR! Failed to install app '222860' (Invalid platform)\n", "exit": 8}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, settings) -> Path:
    settings.LEFT4ME_ROOT = tmp_path
    settings.LEFT4ME_GAME = "simulated"
    make_host()
    return tmp_path


@pytest.fixture
def plays(root: Path, settings, monkeypatch) -> Callable[..., None]:
    """`plays({...}, …)` says what SteamCMD prints and does, one play for each of its starts."""
    settings.LEFT4ME_GAME = "steam"
    directory = root / "steamcmd"
    directory.mkdir()
    program = directory / "steamcmd.sh"
    program.write_text(f"#!{sys.executable} -S\n" + Path(fake_steamcmd.__file__).read_text())
    program.chmod(0o755)
    monkeypatch.setattr(this_host, "steamcmd", lambda watch: SteamCmd(program=program, home=directory / "home"))
    monkeypatch.setattr(steam, "FIRST_INSTALL_BYTES", 1)
    monkeypatch.setattr(steam, "UPDATE_BYTES", 1)
    monkeypatch.setitem(steam.install.__kwdefaults__, "pauses", (0.0,))

    def write(*each: dict[str, Any]) -> None:
        (directory / "plays.json").write_text(json.dumps(each))

    return write


def _calls(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "steamcmd" / "calls.jsonl").read_text().splitlines()]


def test_the_simulated_game_is_installed_once(root: Path):
    installs.install(RecordedRun("game"))
    first = Host.objects.get().game_version
    assert first == this_host.games().current().id
    run = RecordedRun("game")
    installs.install(run)
    assert "The simulated game is the newest already." in run.lines
    assert Host.objects.get().game_version == first
    assert [version["id"] for version in Host.objects.get().facts["versions"]] == [first]


def test_a_repair_makes_a_new_version_and_rolling_back_returns_to_the_one_before(root: Path):
    installs.install(RecordedRun("game"))
    first = this_host.game_version()
    installs.install(RecordedRun("game", repair=True))
    second = this_host.game_version()
    assert second != first
    installs.roll_back(RecordedRun("game", **{"from": second}))
    assert Host.objects.get().game_version == first


def test_rolling_back_twice_for_one_request_goes_back_once(root: Path):
    install_game(root)
    middle, newest = install_game(root), install_game(root)
    for _ in range(2):
        installs.roll_back(RecordedRun("game", **{"from": newest.id}))
    assert this_host.game_version() == middle.id


def test_without_an_older_version_rolling_back_says_so(root: Path):
    with pytest.raises(Failed, match="The game is not installed"):
        installs.roll_back(RecordedRun("game"))
    install_game(root)
    with pytest.raises(Failed, match="There is no older version"):
        installs.roll_back(RecordedRun("game"))


def test_steam_installs_the_game_and_tells_bytes(root: Path, plays):
    plays({"downloads": 2, "build": "100"})
    run = RecordedRun("game")
    installs.install(run)
    assert this_host.games().current().build == "100"
    assert "downloading" in run.phases
    assert run.lines[-1] == f"Current version: {this_host.game_version()}."


def test_what_steam_refuses_is_said_in_words_and_leaves_the_present_version(root: Path, plays):
    plays(INVALID_PLATFORM, INVALID_PLATFORM)
    with pytest.raises(Failed, match=r"to a Steam account that owns the game\.$"):
        installs.install(RecordedRun("game"))
    assert this_host.game_version() == ""


def test_the_account_comes_last_and_its_password_is_in_no_argument(root: Path, plays, settings):
    settings.LEFT4ME_STEAM_USERNAME, settings.LEFT4ME_STEAM_PASSWORD = "gordon", "black mesa"
    plays(INVALID_PLATFORM, INVALID_PLATFORM, {"downloads": 1, "build": "100", "echo_login": True})
    run = RecordedRun("game")
    installs.install(run)
    calls = _calls(root)
    assert ["gordon" in call["script"] for call in calls] == [False, False, True]
    assert not any("black mesa" in " ".join(call["argv"]) for call in calls)
    assert not any("black mesa" in line for line in run.lines)
    assert list(operations.get("install").secrets(Job())) == ["black mesa"]


def test_an_account_that_no_script_can_hold_is_refused_in_words(root: Path, plays, settings):
    settings.LEFT4ME_STEAM_USERNAME, settings.LEFT4ME_STEAM_PASSWORD = "gordon", 'a"b'
    plays()
    with pytest.raises(Failed, match="LEFT4ME_STEAM_PASSWORD are not valid"):
        installs.install(RecordedRun("game"))


def test_a_cancelled_install_is_gone_on_with(root: Path, plays):
    plays({"downloads": 1, "hang": True})
    run = RecordedRun("game")
    run.cancelled = lambda: "downloading" in run.phases
    with pytest.raises(Cancelled):
        installs.install(run)
    (this_host.games().staging / "half.bin").write_text("kept")
    plays({"downloads": 2, "build": "100"})
    installs.install(RecordedRun("game"))
    assert (this_host.games().current().path / "half.bin").read_text() == "kept"


def test_unused_versions_are_removed_by_a_job_and_used_ones_stay(root: Path, monkeypatch):
    used, unused, previous, current = (install_game(root) for _ in range(4))
    monkeypatch.setattr(type(this_host.storage()), "layers_in_use", lambda self: {used.path})
    tasks.tidy()
    job = Job.objects.get()
    assert (job.operation, job.resource, job.user) == ("clean_game", "game", None)
    run = RecordedRun("game")
    installs.clean(run)
    assert run.lines == [f"Removed unused version {unused.id}."]
    assert [version.id for version in this_host.games().all()] == [used.id, previous.id, current.id]
    Job.objects.all().delete()
    tasks.tidy()
    assert not Job.objects.exists()


def test_archives_of_deleted_servers_are_kept_for_seven_days(root: Path):
    deleted = root / "deleted"
    deleted.mkdir()
    now = datetime.now(UTC)
    for days, name in ((8, "1"), (6, "2")):
        (deleted / f"{name}-{now - timedelta(days=days):%Y%m%dT%H%M%SZ}.tar.gz").touch()
    tasks.tidy()
    assert [path.name[0] for path in deleted.iterdir()] == ["2"]
