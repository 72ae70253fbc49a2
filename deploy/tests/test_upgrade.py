"""Upgrades and rollbacks of the machine of the web: its database, its journal, and what stops when.

Those of worker hosts are in test_roles.py. On real machines, acceptance.py upgrades with users and games.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest

from deploy.ops import application, releases, upgrade
from deploy.ops.layout import Layout
from deploy.ops.machine import services, system_files
from deploy.ops.progress import Progress
from left4me.core.files import room
from left4me.core.processes import commands

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a machine is upgraded by root")

OLD, NEW = "20261101-0123456789", "20261102-0123456789"
# Of earlier upgrades. The order of the releases' names is not that of the upgrades: one went back.
COPIES = [
    "before-20261001-0000000-20261009T000000Z.database",
    "before-20261009-0000000-20261001T000000Z.database",
    "before-20261005-0000000-20261005T000000Z.database",
]


class Web:
    """The machine of the web in a directory. The answers of systemctl, of manage.py and of `/ready` are made up."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = Layout(root)
        self.calls: list[str] = []
        self.out = StringIO()
        self.new_migrates = True
        self.at: dict[str, Callable[[], object]] = {}  # what happens when a call starts with this
        self.why_not_ready: dict[str, str] = {}  # of each release
        self.waited: list[float] = []
        self.phases: list[str] = []
        for name in (OLD, NEW):
            self._make_release(name)
        migrations = self.layout.releases / NEW / "servers/migrations"
        (migrations / "0002_more.py").touch()
        releases.switch(self.layout, OLD)
        system_files.lay_out(self.layout, self.layout.releases / OLD)
        self.layout.settings.mkdir(parents=True)
        self.layout.settings_file.write_text("LEFT4ME_HOST=local\n")
        self.layout.data.mkdir(parents=True)
        self.run("CREATE TABLE django_migrations (app, name)")
        self.run("INSERT INTO django_migrations VALUES ('servers', '0001_servers')")
        monkeypatch.setattr(services, "systemctl", self._systemctl)
        monkeypatch.setattr(application, "manage", self._manage)
        monkeypatch.setattr(application, "wait_until_ready", self._wait_until_ready)
        monkeypatch.setattr(application, "forget_pulse", lambda layout: self._call("forget pulse"))
        monkeypatch.setattr(releases, "fetch", lambda layout: self._call("fetch"))
        monkeypatch.setattr(releases, "resolve", lambda layout, ref: ref or NEW)
        monkeypatch.setattr(releases, "follow", lambda layout, url, ref: self._call(f"follow {url} {ref}"))
        monkeypatch.setattr(releases, "build", lambda layout, release: layout.releases / release)

    def _make_release(self, name: str) -> None:
        tree = self.layout.releases / name
        (tree / "RELEASE").parent.mkdir(parents=True)
        (tree / "RELEASE").write_text(f"{name}\n")
        (tree / "CHANGELOG.md").write_text(f"# Changelog\n- Entry of {name}.\n")
        for file in (*("systemd/left4me-web.service", "systemd/left4me-web.socket"), "sysusers.d/left4me.conf"):
            (tree / "deploy" / file).parent.mkdir(parents=True, exist_ok=True)
            (tree / "deploy" / file).write_text(f"# of {name}\n")
        for file in ("tmpfiles.d/left4me.conf", "polkit/50-left4me.rules", "deploy/presets/web.preset"):
            (tree / "deploy" / file).parent.mkdir(parents=True, exist_ok=True)
            (tree / "deploy" / file).touch()
        (tree / "servers/migrations").mkdir(parents=True)
        (tree / "servers/migrations/0001_servers.py").touch()

    def run(self, sql: str, *values: str) -> list[str]:
        with closing(sqlite3.connect(self.layout.data / "left4me.sqlite3", isolation_level=None)) as db:
            return [value for (value,) in db.execute(sql, values)]

    def _call(self, call: str) -> None:
        self.calls.append(call)
        journal = self.layout.program / "upgrade.json"
        self.phases.append(json.loads(journal.read_text())["phase"] if journal.exists() else "")
        for start, act in self.at.items():
            if call.startswith(start):
                act()

    def _systemctl(self, *arguments: str, check: bool = True) -> str:
        self._call(" ".join(arguments))
        return ""

    def _manage(
        self, layout: Layout, *arguments: str, release: Path, timeout: float = 600, check: bool = True
    ) -> commands.Finished:
        self._call(f"{' '.join(arguments)} of {release.name}")
        pending = release.name == NEW and self.new_migrates
        if arguments[:2] == ("migrate", "--no-input"):
            self.run("INSERT INTO django_migrations VALUES ('servers', '0002_more')")
        status = int(pending) if "--check" in arguments else 0
        return commands.Finished(status=status, output="servers.0002_more is not applied", seconds=0)

    def _wait_until_ready(self, layout: Layout, *, seconds: float) -> str:
        self.waited.append(seconds)
        self._call("ready?")
        return self.why_not_ready.get(releases.running(layout), "")

    def upgrade(self, **wanted: object) -> str:
        progress = Progress(self.out)
        return upgrade.upgrade(self.layout, upgrade.Wanted(**wanted), ready_seconds=5, progress=progress)  # type: ignore[arg-type]

    def rollback(self, *, with_database: bool = False) -> str:
        return upgrade.rollback(self.layout, with_database=with_database, ready_seconds=5, progress=Progress(self.out))

    def recover(self, *, at_boot: bool = False) -> bool:
        return upgrade.recover(self.layout, progress=Progress(self.out), at_boot=at_boot)

    def expect_old(self) -> None:
        """The old release runs with its database and its units, and no upgrade is under way."""
        assert releases.running(self.layout) == OLD
        assert self.run("SELECT name FROM django_migrations") == ["0001_servers"]
        assert (self.layout.units / services.WEB).read_text() == f"# of {OLD}\n"
        assert not (self.layout.program / "upgrade.json").exists()
        assert not self.is_held(), "the web may start"

    def is_held(self) -> bool:
        """Whether a web that starts would wait."""
        return subprocess.run(["flock", "-n", self.layout.program / "web.hold", "true"], check=False).returncode != 0


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Web:
    return Web(tmp_path, monkeypatch)


def test_an_upgrade_stops_copies_migrates_and_starts_in_this_order(web: Web):
    held: list[bool] = []
    web.at = {"migrate --no-input": lambda: held.append(web.is_held()), "start": lambda: held.append(web.is_held())}
    assert web.upgrade() == NEW == releases.running(web.layout)
    # What is asked for with `is-active` changes nothing.
    steps = zip(web.calls, web.phases, strict=True)
    assert [step for step in steps if not step[0].startswith("is-active")] == [
        ("fetch", ""),
        (f"check --fail-level=ERROR of {NEW}", ""),
        (f"migrate --check --skip-checks of {NEW}", ""),
        ("stop left4me-beat.service left4me-worker.service", "stopping"),
        ("stop left4me-web.service", "stopping"),
        (f"migrate --no-input --verbosity=0 --skip-checks of {NEW}", "changing"),
        ("forget pulse", "starting"),
        (f"reset-failed {' '.join(services.of_this_machine(web.layout))}", "starting"),
        (f"start {' '.join(services.of_this_machine(web.layout))}", "starting"),
        ("ready?", "starting"),
    ]
    assert held == [True, False], "visitors wait while the database changes, and no longer"
    assert web.waited == [5]
    assert (web.layout.units / services.WEB).read_text() == f"# of {NEW}\n"
    assert f"  - Entry of {NEW}." in web.out.getvalue().splitlines()
    assert not (web.layout.program / "upgrade.json").exists()


def test_a_release_that_runs_already_stops_nothing(web: Web):
    assert web.upgrade(ref=OLD) == OLD
    assert web.calls == ["fetch"]
    assert web.out.getvalue().endswith(f"{OLD} is already running\n")


def test_the_repository_to_follow_is_set_before_it_is_asked(web: Web):
    web.upgrade(repository="https://example.org/fork", ref=NEW)
    assert web.calls[:2] == [f"follow https://example.org/fork {NEW}", "fetch"]


@pytest.mark.parametrize(("wanted", "refused"), [({}, True), ({"may_be_older": True}, False), ({"ref": OLD}, False)])
def test_an_older_release_is_taken_only_when_it_was_asked_for(web: Web, monkeypatch, wanted, refused):
    monkeypatch.setattr(releases, "resolve", lambda layout, ref: OLD)
    web.new_migrates = False
    releases.switch(web.layout, NEW)
    if refused:
        with pytest.raises(
            upgrade.UpgradeFault, match=rf"^{OLD} is older than {NEW}, which is running.*--allow-older"
        ):
            web.upgrade(**wanted)
        assert releases.running(web.layout) == NEW
    else:
        assert web.upgrade(**wanted) == OLD == releases.running(web.layout)


def test_a_release_that_changes_no_database_copies_none(web: Web):
    web.new_migrates = False
    web.upgrade()
    assert not [call for call in web.calls if call.startswith("migrate --no-input")]
    assert set(web.phases) == {"", "stopping", "starting"}
    assert list(web.layout.backups.iterdir()) == []
    assert web.rollback() == OLD
    web.expect_old()


def test_of_the_copies_of_the_database_the_newest_three_stay(web: Web):
    web.layout.backups.mkdir(parents=True)
    for name in (*COPIES, "left4me-20261001T000000Z.tar"):
        (web.layout.backups / name).touch()
    web.upgrade()
    left = {path.name for path in web.layout.backups.iterdir()}
    assert len(left) == 1 + upgrade.COPIES_KEPT == 4
    assert COPIES[1] not in left, "the oldest"
    assert left > {COPIES[0], COPIES[2], "left4me-20261001T000000Z.tar"}


def test_the_way_back_is_the_release_before_and_needs_consent_to_lose_changes(web: Web):
    web.upgrade()
    web.run("INSERT INTO django_migrations VALUES ('later', 'row')")
    with pytest.raises(upgrade.UpgradeFault, match=rf"{OLD} does not know .*later\.row, servers\.0002_more.*loses"):
        web.rollback()
    assert releases.running(web.layout) == NEW
    assert web.rollback(with_database=True) == OLD
    web.expect_old()
    assert web.waited == [5, 5]
    with pytest.raises(upgrade.UpgradeFault, match="no release to roll back to"):
        web.rollback(with_database=True)


def test_there_is_no_way_back_after_another_upgrade_or_without_the_release(web: Web):
    web.upgrade()
    releases.switch(web.layout, OLD)
    with pytest.raises(upgrade.UpgradeFault, match="no release to roll back to"):
        web.rollback(with_database=True)
    releases.switch(web.layout, NEW)
    (web.layout.releases / OLD).rename(web.layout.releases / "gone")
    with pytest.raises(upgrade.UpgradeFault, match="no release to roll back to"):
        web.rollback(with_database=True)


def test_a_rollback_without_its_copy_of_the_database_is_refused(web: Web):
    web.upgrade()
    for copy in web.layout.backups.iterdir():
        copy.unlink()
    with pytest.raises(upgrade.UpgradeFault, match=f"from before {NEW} no longer exists"):
        web.rollback(with_database=True)
    assert releases.running(web.layout) == NEW


def test_a_rollback_to_a_release_that_is_not_ready_says_so_and_can_be_repeated(web: Web):
    web.new_migrates = False
    web.upgrade()
    web.why_not_ready = {OLD: "the database is away"}
    with pytest.raises(upgrade.UpgradeFault, match=f"Rolled back to {OLD}, but it is not ready: the database is away"):
        web.rollback()
    assert (web.layout.program / "last-upgrade.json").exists()


def test_a_release_that_is_not_ready_is_taken_back_with_the_database(web: Web):
    web.why_not_ready = {NEW: "the worker is away"}
    with pytest.raises(
        upgrade.UpgradeFault,
        match=rf"^{NEW} failed, and {OLD} runs again .*: it was not ready within 5 s: the worker is away",
    ):
        web.upgrade()
    web.expect_old()
    assert web.waited == [5, upgrade.READY_SECONDS], "the old one is given its own time"
    assert not (web.layout.program / "last-upgrade.json").exists()
    assert f"{NEW}: it was not ready within 5 s" in web.out.getvalue()


def test_an_old_release_that_is_not_ready_either_is_told(web: Web):
    web.why_not_ready = {NEW: "the worker is away", OLD: "the disk is full"}
    with pytest.raises(upgrade.UpgradeFault, match=rf"{OLD} is back, but is not ready: the disk is full.*doctor"):
        web.upgrade()
    web.expect_old()


@pytest.mark.parametrize("call", ["stop left4me-web", "migrate --no-input", "forget pulse", "start left4me", "ready?"])
def test_a_signal_takes_the_upgrade_back_wherever_it_comes(web: Web, call: str):
    web.at = {call: lambda: (web.at.clear(), signal.raise_signal(signal.SIGTERM))}
    with pytest.raises(upgrade.UpgradeFault, match="interrupted by SIGTERM"):
        web.upgrade()
    web.expect_old()


@pytest.mark.parametrize("at_boot", [False, True])
@pytest.mark.parametrize("call", ["stop left4me-web", "migrate --no-input", "forget pulse", "ready?"])
def test_after_a_power_cut_the_old_release_is_back(web: Web, monkeypatch, call: str, at_boot: bool):
    """What was journalled and written until then is all that is left."""

    class PowerCut(BaseException):
        pass

    def cut() -> None:
        web.at.clear()
        monkeypatch.setattr(upgrade, "_take_back", lambda *_, **__: None)
        raise PowerCut

    take_back = upgrade._take_back
    web.at = {call: cut}
    with pytest.raises(upgrade.UpgradeFault):
        web.upgrade()
    monkeypatch.setattr(upgrade, "_take_back", take_back)
    web.calls.clear()
    assert web.recover(at_boot=at_boot) is True
    web.expect_old()
    assert bool([each for each in web.calls if each.startswith(("start", "stop"))]) is not at_boot
    assert f"the upgrade to {NEW} was interrupted" in web.out.getvalue()
    assert web.recover() is False


def test_an_interrupted_upgrade_is_taken_back_before_the_next(web: Web):
    attempt = {"phase": "starting", "old": OLD, "new": NEW, "at": "20261102T000000Z", "copy": ""}
    (web.layout.program / "upgrade.json").write_text(json.dumps(attempt))
    releases.switch(web.layout, NEW)
    assert web.upgrade() == NEW
    assert f"going back to {OLD}" in web.out.getvalue()
    assert web.calls.index("stop left4me-web.service") < web.calls.index("fetch")


def test_units_that_cannot_be_written_do_not_keep_the_old_release_from_running(web: Web, monkeypatch):
    web.why_not_ready = {NEW: "the worker is away"}
    exchange = system_files.exchange_units

    def refuse(layout: Layout, old: Path, new: Path, **options: object) -> list[str]:
        if new.name == OLD:
            raise OSError("read-only")
        return exchange(layout, old, new, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(system_files, "exchange_units", refuse)
    with pytest.raises(upgrade.UpgradeFault, match=f"{OLD} runs again"):
        web.upgrade()
    assert releases.running(web.layout) == OLD
    assert f"could not write the units of {OLD}: read-only" in web.out.getvalue()
    assert web.calls[-2].startswith("start ")


def refuse_settings() -> None:
    raise commands.CommandError("LEFT4ME_PORTS is not a range")


def test_settings_that_the_new_release_refuses_stop_nothing(web: Web):
    web.at = {"check": refuse_settings}
    with pytest.raises(upgrade.UpgradeFault, match=f"{NEW} does not accept this machine's settings: LEFT4ME_PORTS"):
        web.upgrade()
    assert not [call for call in web.calls if call.startswith("stop")]
    web.expect_old()


def test_a_release_that_does_not_know_the_database_stops_nothing(web: Web):
    for name in ("0005", "0003", "0004", "0006"):
        web.run("INSERT INTO django_migrations VALUES ('servers', ?)", name)
    with pytest.raises(upgrade.UpgradeFault, match=r"does not know servers\.0003, servers\.0004, servers\.0005\. To"):
        web.upgrade()
    assert web.calls == ["fetch"]


@pytest.mark.parametrize("missing", [0, 1])
def test_a_disk_without_room_for_the_copy_stops_nothing(web: Web, monkeypatch, missing: int):
    size = (web.layout.data / "left4me.sqlite3").stat().st_size
    kept: list[int] = []

    def left(path: Path, *, keep: int) -> int:
        kept.append(keep)
        return 2 * size - missing

    monkeypatch.setattr(room, "left", left)
    if missing:
        with pytest.raises(upgrade.UpgradeFault, match=r"The disk is too full .* has .* free, 268\.5 MB are needed"):
            web.upgrade()
        assert not [call for call in web.calls if call.startswith("stop")]
    else:
        assert web.upgrade() == NEW
    assert kept == [256 * 1024**2]
    assert web.layout.backups.stat().st_mode & 0o777 == 0o710
