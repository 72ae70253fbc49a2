"""What depends on the role of a machine: its files, the steps of its installation and upgrades, its doctor."""

from __future__ import annotations

import json
import os
import shutil
from io import StringIO
from pathlib import Path

import pytest

from deploy import installer
from deploy.doctor import installation as doctor
from deploy.doctor.findings import Finding
from deploy.ops import application, installation, releases, restore, upgrade
from deploy.ops.installation import CHECKOUT, Choices, Installation
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import firewall, packages, services, system_files
from deploy.ops.progress import Progress
from deploy.tests.test_hosts import INVITATION
from left4me.core.processes import commands

OLD, NEW = "20261101-0123456789", "20261102-0123456789"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


class WorkerHost:
    """A worker host in a directory. The answers of systemctl and of manage.py are made up."""

    def __init__(self, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = layout
        self.commands: list[str] = []
        self.broken: set[str] = set()  # releases whose worker ends at once
        self.lacks_migrations = False
        for name in (OLD, NEW):
            tree = layout.releases / name
            shutil.copytree(
                CHECKOUT / "deploy", tree / "deploy", ignore=shutil.ignore_patterns("__pycache__", "tests")
            )
            (tree / "RELEASE").write_text(name)
        releases.switch(layout, OLD)
        system_files.lay_out(layout, layout.releases / OLD, role=Role.WORKER_HOST)
        monkeypatch.setattr(services, "systemctl", self._systemctl)
        monkeypatch.setattr(application, "manage", self._manage)
        monkeypatch.setattr(application, "owner", lambda: (0, 0))
        monkeypatch.setattr(application, "_WATCH_WORKER_SECONDS", 0.1)
        monkeypatch.setattr(releases, "fetch", lambda layout: None)
        monkeypatch.setattr(releases, "resolve", lambda layout, ref: NEW)
        monkeypatch.setattr(releases, "news", lambda layout, old, new: [])
        monkeypatch.setattr(releases, "build", lambda layout, release: layout.releases / release)

    def _systemctl(self, *arguments: str, check: bool = True) -> str:
        self.commands.append(" ".join(arguments))
        if arguments[0] == "is-active":
            return "failed" if releases.running(self.layout) in self.broken else "active"
        return ""

    def _manage(self, layout: Layout, *arguments: str, **options: object) -> commands.Finished:
        missing = self.lacks_migrations and arguments[:2] == ("migrate", "--check")
        return commands.Finished(status=int(missing), output="", seconds=0)

    def upgrade(self) -> str:
        return upgrade.upgrade(self.layout, upgrade.Wanted(), ready_seconds=5, progress=Progress(StringIO()))

    def rollback(self) -> str:
        return upgrade.rollback(self.layout, with_database=False, ready_seconds=5, progress=Progress(StringIO()))


@pytest.fixture
def worker_host(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> WorkerHost:
    if os.geteuid() != 0:
        pytest.skip("a machine is upgraded by root")
    return WorkerHost(layout, monkeypatch)


def test_a_worker_host_gets_neither_web_nor_database(layout: Layout):
    titles = [step.title for step in Installation(layout, Choices(game="simulated"), invitation=INVITATION).steps()]
    assert not [title for title in titles if "PostgreSQL" in title or "the database is at" in title]
    assert titles.index("check that the database accepts this host") < titles.index(
        "start the application now and at every boot"
    )
    units = {path.name for path in system_files.files(layout, CHECKOUT, role=Role.WORKER_HOST).values()}
    assert "left4me-worker.service" in units
    assert not units & {"left4me-web.service", "left4me-beat.service", "left4me-redis.service"}
    of_worker_host = packages.needed(Role.WORKER_HOST, game="steam", postgres=False, proxy=False)
    assert set(packages.needed(Role.WEB, game="steam", postgres=False, proxy=False)) - set(of_worker_host) == {
        "redis-server"
    }


def test_an_installation_that_is_run_again_on_a_worker_host_keeps_its_role(worker_host: WorkerHost):
    titles = [step.title for step in Installation(worker_host.layout, Choices()).steps()]
    assert not [title for title in titles if "PostgreSQL" in title or "the database" in title or "ready" in title]
    assert "start the application now and at every boot" in titles


def test_a_worker_host_refuses_options_of_a_web_and_names_what_it_lacks(worker_host: WorkerHost, capsys):
    for options, reason in ((["--database", "postgres"], "is a worker host"), ([], "has not joined a web yet")):
        assert installer.main(["--dry-run", *options], layout=worker_host.layout) == 1
        assert reason in capsys.readouterr().err


def test_the_doctor_lets_everybody_read_certificates_and_names_every_open_secret(
    worker_host: WorkerHost, monkeypatch: pytest.MonkeyPatch
):
    hosts = worker_host.layout.settings / "hosts"
    hosts.mkdir(parents=True)
    for name, mode in (
        ("ca.pem", 0o644),
        ("ca.srl", 0o644),
        ("allowed_signers", 0o644),
        ("ca.key", 0o600),
        ("server.key", 0o644),
        ("x.env", 0o666),
    ):
        (hosts / name).touch()
        (hosts / name).chmod(mode)
    (finding,) = doctor._settings(worker_host.layout)
    assert finding.level == "fault"
    assert f"chmod 0640 {hosts}/server.key {hosts}/x.env`" in finding.cure


def test_uninstalling_removes_rules_that_earlier_documents_had_included(layout: Layout):
    configuration, copy = layout.root / "etc/nftables.conf", layout.root / "etc/nftables.d/left4me.nft"
    copy.parent.mkdir(parents=True)
    copy.touch()
    configuration.write_text('flush ruleset\ninclude "/etc/nftables.d/left4me.nft"\ntable inet mine {}\n')
    assert firewall.is_included(layout)
    firewall.exclude(layout)
    assert not firewall.is_included(layout)
    assert configuration.read_text() == "flush ruleset\ntable inet mine {}\n"
    assert not copy.exists()


def test_settings_of_a_worker_host_name_it_and_leave_redis_to_its_secrets(layout: Layout):
    values = Installation(layout, Choices(game="simulated"), invitation=INVITATION)._settings()
    assert values["LEFT4ME_HOST"] == "two"
    assert "REDIS_URL" not in values


def test_an_upgraded_worker_host_has_the_units_of_the_new_release_and_a_way_back(worker_host: WorkerHost):
    layout = worker_host.layout
    unit = layout.releases / NEW / "deploy/systemd/left4me-worker.service"
    unit.write_text(unit.read_text() + "# new\n")
    assert worker_host.upgrade() == NEW == releases.running(layout)
    assert (layout.units / "left4me-worker.service").read_text().endswith("# new\n")
    assert not (layout.units / "left4me-web.service").exists()
    assert not (layout.program / "upgrade.json").exists()
    assert worker_host.rollback() == OLD == releases.running(layout)
    assert not (layout.units / "left4me-worker.service").read_text().endswith("# new\n")


def _add_unit(worker_host: WorkerHost, name: str, verb: str) -> None:
    deploy = worker_host.layout.releases / NEW / "deploy"
    (deploy / "systemd" / name).write_text("[Service]\nExecStart=true\n[Install]\nWantedBy=multi-user.target\n")
    with (deploy / "presets/worker-host.preset").open("a") as preset:
        preset.write(f"{verb} {name}\n")


def test_an_upgrade_enables_and_starts_the_units_that_it_adds_and_a_rollback_takes_them_away(worker_host: WorkerHost):
    layout = worker_host.layout
    _add_unit(worker_host, "left4me-extra.service", "enable")
    _add_unit(worker_host, "left4me-choice.timer", "disable")
    (layout.units / "left4me-extra.service.d").mkdir()
    (layout.units / "left4me-custom.service").touch()
    worker_host.upgrade()
    assert [command for command in worker_host.commands if "extra" in command] == [
        "enable --quiet left4me-extra.service",
        "start left4me-extra.service",
    ]
    assert (layout.units / "left4me-choice.timer").exists()
    assert not [command for command in worker_host.commands if "choice" in command]
    worker_host.commands.clear()
    worker_host.rollback()
    assert "disable --now --quiet left4me-choice.timer left4me-extra.service" in worker_host.commands
    left = {path.name for path in layout.units.iterdir()}
    assert not left & {"left4me-extra.service", "left4me-choice.timer"}
    assert left >= {"left4me-extra.service.d", "left4me-custom.service"}, "what an operator made stays"


def test_an_added_unit_that_does_not_start_takes_the_upgrade_back(
    worker_host: WorkerHost, monkeypatch: pytest.MonkeyPatch
):
    _add_unit(worker_host, "left4me-extra.service", "enable")
    systemctl = services.systemctl

    def refuse(*arguments: str, check: bool = True) -> str:
        if arguments == ("start", "left4me-extra.service"):
            raise commands.CommandError("left4me-extra.service failed")
        return systemctl(*arguments, check=check)

    monkeypatch.setattr(services, "systemctl", refuse)
    with pytest.raises(upgrade.UpgradeFault, match=r"left4me-extra\.service failed"):
        worker_host.upgrade()
    assert releases.running(worker_host.layout) == OLD
    assert not (worker_host.layout.units / "left4me-extra.service").exists()


def test_an_upgrade_that_was_interrupted_stops_nothing_at_boot(worker_host: WorkerHost):
    _add_unit(worker_host, "left4me-extra.service", "enable")
    layout = worker_host.layout
    attempt = {"phase": "starting", "old": OLD, "new": NEW, "at": "20261102T000000Z", "copy": ""}
    (layout.program / "upgrade.json").write_text(json.dumps(attempt))
    releases.switch(layout, NEW)
    (layout.units / "left4me-extra.service").touch()
    assert upgrade.recover(layout, progress=Progress(StringIO()), at_boot=True)
    assert "disable --quiet left4me-extra.service" in worker_host.commands
    assert not [command for command in worker_host.commands if command.startswith(("start", "stop"))]
    assert not (layout.units / "left4me-extra.service").exists()


def test_a_release_without_presets_is_followed_and_left_as_ever(worker_host: WorkerHost):
    shutil.rmtree(worker_host.layout.releases / OLD / "deploy/presets")
    worker_host.upgrade()
    worker_host.rollback()
    assert not [command for command in worker_host.commands if command.startswith(("enable", "disable"))]


@pytest.mark.parametrize("role", Role)
def test_presets_name_every_unit_and_enable_what_an_installation_does(layout: Layout, role: Role):
    preset = system_files.preset(CHECKOUT, role)
    assert {unit for unit, starts in preset.items() if starts} == {
        *services.INSTALLED[role],
        *installation._AT_BOOT[role],
    }
    units = {path.name for path in (CHECKOUT / "deploy/systemd").iterdir()}
    assert preset.keys() <= units
    if role is Role.WEB:
        assert preset.keys() == units


def test_a_worker_that_ends_takes_the_upgrade_back(worker_host: WorkerHost):
    worker_host.broken = {NEW}
    with pytest.raises(upgrade.UpgradeFault, match="the worker is not running"):
        worker_host.upgrade()
    assert releases.running(worker_host.layout) == OLD
    assert worker_host.commands[-1] == "is-active left4me-worker.service"
    assert not (worker_host.layout.program / "upgrade.json").exists()


def test_a_worker_host_is_not_upgraded_before_the_web(worker_host: WorkerHost):
    worker_host.lacks_migrations = True
    with pytest.raises(upgrade.UpgradeFault, match="Upgrade the machine of the web first"):
        worker_host.upgrade()
    assert worker_host.commands == [], "nothing was stopped"


def test_an_upgrade_of_a_worker_host_that_was_interrupted_is_taken_back(worker_host: WorkerHost):
    attempt = {"phase": "starting", "old": OLD, "new": NEW, "at": "20261102T000000Z", "copy": ""}
    (worker_host.layout.program / "upgrade.json").write_text(json.dumps(attempt))
    releases.switch(worker_host.layout, NEW)
    assert upgrade.recover(worker_host.layout, progress=Progress(StringIO()))
    assert releases.running(worker_host.layout) == OLD
    assert worker_host.commands[-1] == "start left4me-worker.service"


def test_nothing_is_restored_on_a_worker_host(worker_host: WorkerHost, tmp_path: Path):
    with pytest.raises(restore.RestoreFault, match="the machine that runs the web"):
        restore.restore(worker_host.layout, tmp_path / "a.tar", ready_seconds=5, progress=Progress(StringIO()))


def test_the_doctor_of_a_worker_host_misses_no_web(worker_host: WorkerHost, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(application, "manage", lambda *_, **__: commands.Finished(status=0, output="[\n]", seconds=0))
    properties = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNRestarts=0\nMainPID=0\n"
    monkeypatch.setattr(services, "systemctl", lambda *_, **__: properties)
    worker_host.layout.settings.mkdir(parents=True)
    checks = {finding.check: finding for finding in doctor.examine(worker_host.layout)}
    assert checks["left4me-worker.service"] == Finding("left4me-worker.service", "ok", "running, starts at boot")
    assert not checks.keys() & {"left4me-web.service", "backup", "proxy"}
    assert "release" in checks


def test_an_answer_that_comes_too_late_does_not_count(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    layout.units.mkdir(parents=True)
    (layout.units / "left4me-web.service").touch()
    monkeypatch.setattr(application, "unready", lambda layout: "")
    assert application.wait_until_ready(layout, seconds=60) == ""
    assert application.wait_until_ready(layout, seconds=0) == "it was not ready in time"
