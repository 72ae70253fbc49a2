"""What the doctor finds about an installation: units, release, settings, backups, certificate and firewall."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from deploy.doctor import installation
from deploy.doctor.findings import Finding
from deploy.ops import application, backup
from deploy.ops.layout import Layout
from deploy.ops.machine import flood_rules, services
from left4me.core import machine_backups
from left4me.core.files import room
from left4me.core.processes import commands

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an installation is examined by root")

RELEASE = "20261101-abc1234"
RUNNING = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "UnitFileState": "enabled",
    "NRestarts": "0",
    "MainPID": "0",
}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    tree = layout.releases / RELEASE
    (tree / ".venv/bin").mkdir(parents=True)
    for name in ("RELEASE", "manage.py"):
        (tree / name).touch()
    layout.current.symlink_to(f"releases/{RELEASE}")
    layout.settings.mkdir(parents=True)
    layout.units.mkdir(parents=True)
    (layout.units / services.WEB).touch()
    layout.backups.mkdir(parents=True)
    return layout


class Units:
    """What systemd says of each unit; all run unless a test changes it."""

    def __init__(self) -> None:
        self.changed: dict[str, dict[str, str]] = {}

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        return {name: value for name, value in {**RUNNING, **self.changed.get(unit, {})}.items() if name in names}


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> Units:
    units = Units()
    monkeypatch.setattr(services, "properties", units.properties)
    return units


def shown(found: Iterable[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.check, finding.level, finding.message) for finding in found]


def finished(output: str) -> commands.Finished:
    return commands.Finished(status=0, output=output, seconds=0)


def answering(output: str) -> Callable[..., commands.Finished]:
    return lambda *_, **__: finished(output)


@pytest.mark.parametrize(
    ("changed", "level", "message"),
    [
        ({"LoadState": "not-found", "ActiveState": "inactive"}, "fault", "not installed"),
        ({"ActiveState": "failed", "Result": "oom-kill"}, "fault", "is failed (oom-kill)"),
        ({"UnitFileState": "disabled"}, "warning", "running, but does not start at boot"),
        ({"UnitFileState": "static"}, "ok", "running, starts at boot"),
        ({"NRestarts": "2"}, "ok", "running, starts at boot"),
        ({"NRestarts": ""}, "ok", "running, starts at boot"),
        ({"NRestarts": "3"}, "warning", "running, but was restarted 3 times"),
    ],
)
def test_of_each_unit_the_worst_is_told(
    layout: Layout, units: Units, changed: dict[str, str], level: str, message: str
):
    units.changed[services.WEB] = changed
    found = shown(installation._units(layout))
    assert [check for check, _level, _message in found] == list(services.of_this_machine(layout))
    assert found[2] == (services.WEB, level, message)
    assert {each[1] for each in found if each[0] != services.WEB} == {"ok"}


def test_the_findings_of_the_application_are_those_of_its_user(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    said = [{"check": "disk", "level": "warning", "message": "small", "cure": "Free some."}]
    monkeypatch.setattr(application, "manage", answering("A line of a library\n" + json.dumps(said, indent=2)))
    assert installation._application(layout) == [Finding("disk", "warning", "small", "Free some.")]
    for output, reason in (("Traceback\nImportError: no module\n", "ImportError: no module"), ("", "no output")):
        monkeypatch.setattr(application, "manage", answering(output))
        (finding,) = installation._application(layout)
        assert (finding.level, finding.message) == ("fault", f"`manage.py doctor` failed: {reason}")
        assert "left4mectl rollback" in finding.cure


def test_a_release_has_to_be_whole_and_of_root(layout: Layout, units: Units):
    assert shown(installation._release(layout)) == [("release", "ok", f"{RELEASE} is running")]
    os.chown(layout.current.resolve() / "manage.py", 64123, 0)
    first, second = shown(installation._release(layout))
    assert first[1] == "fault" and "manage.py is not owned by root" in first[2]
    assert second[1] == "ok"
    (layout.current.resolve() / "RELEASE").unlink()
    assert shown(installation._release(layout)) == [("release", "fault", f"{RELEASE} is incomplete")]


def test_a_unit_that_still_runs_another_release_is_named(layout: Layout, units: Units, tmp_path: Path):
    units.changed[services.WORKER] = {"MainPID": str(os.getpid())}
    name = Path.cwd().name
    (finding,) = installation._release(layout)
    assert (finding.level, finding.message) == ("warning", f"{services.WORKER} still runs {name}")
    units.changed[services.WORKER] = {"MainPID": "4194305"}
    assert shown(installation._release(layout)) == [("release", "ok", f"{RELEASE} is running")]


def test_what_was_interrupted_is_named(layout: Layout):
    assert list(installation._interrupted(layout)) == []
    (layout.program / "restore.json").touch()
    (finding,) = installation._interrupted(layout)
    assert (finding.check, finding.level) == ("restore", "fault")
    assert "left4mectl recover" in finding.cure
    (layout.program / "upgrade.json").touch()
    assert [finding.check for finding in installation._interrupted(layout)] == ["upgrade", "restore"]


@pytest.mark.parametrize(
    ("name", "mode", "uid", "gid", "is_open"),
    [
        ("left4me.env", 0o640, 0, 7, False),
        ("left4me.env", 0o640, 0, 8, True),
        ("left4me.env", 0o600, 0, 8, False),
        ("left4me.env", 0o640, 64123, 7, True),
        ("left4me.env", 0o660, 0, 7, True),
        ("left4me.env", 0o644, 0, 7, True),
        ("left4me.env", 0o641, 0, 7, True),
        ("ca.pem", 0o644, 0, 8, False),
        ("ca.pem", 0o646, 0, 8, True),
        ("allowed_signers", 0o644, 0, 8, False),
    ],
)
def test_settings_are_readable_for_root_and_the_application_only(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, name: str, mode: int, uid: int, gid: int, is_open: bool
):
    monkeypatch.setattr(application, "owner", lambda: (6, 7))
    file = layout.settings / name
    file.touch()
    file.chmod(mode)
    os.chown(file, uid, gid)
    (finding,) = installation._settings(layout)
    assert finding.level == ("fault" if is_open else "ok")
    assert (str(file) in finding.cure) is is_open


HOUR = 3600


@pytest.mark.parametrize(
    ("age", "free", "level", "message"),
    [
        (HOUR, 1_200_000, "ok", "last backup 1 h ago, 1.0 MB; 1.2 MB free"),
        (36 * HOUR - 60, 1_200_000, "ok", "last backup 36 h ago, 1.0 MB; 1.2 MB free"),
        (36 * HOUR + 60, 1_200_000, "warning", "last backup 36 h ago, 1.0 MB; 1.2 MB free"),
        (HOUR, 1_199_999, "warning", "last backup 1 h ago, 1.0 MB; 1.2 MB free: too little for the next backup"),
        # Of a clock that was set back.
        (-5 * HOUR, 1_200_000, "ok", "last backup 0 h ago, 1.0 MB; 1.2 MB free"),
    ],
)
def test_a_backup_is_new_and_there_is_room_for_the_next(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, age: float, free: int, level: str, message: str
):
    assert machine_backups.LATE_AFTER.total_seconds() == 36 * HOUR
    assert [finding.message for finding in installation._backups(layout)] == ["no backup yet"]
    newest = layout.backups / "newest.tar"
    newest.write_bytes(b"x" * 1_000_000)
    written = time.time() - age
    os.utime(newest, (written, written))
    monkeypatch.setattr(backup, "latest", lambda layout: newest)
    monkeypatch.setattr(room, "free", lambda path: free)
    assert shown(installation._backups(layout)) == [("backup", level, message)]


def untrusted(name: str) -> float:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_message = "self-signed certificate"
    raise error


def broken(name: str) -> float:
    raise http.client.BadStatusLine("nonsense")


@pytest.mark.parametrize(
    ("days", "level", "part"),
    [
        (lambda name: 9.9, "warning", "expires in 10 days and was not renewed"),
        (lambda name: 10.0, "ok", "responds, certificate valid for 10 days"),
        (untrusted, "warning", "browsers do not trust the certificate: self-signed certificate"),
        (broken, "fault", "does not respond on this machine: nonsense"),
    ],
)
def test_the_certificate_is_looked_at(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, days: Callable[[str], float], level: str, part: str
):
    assert shown(installation._proxy(layout)) == [
        ("proxy", "ok", "no proxy: the web is only reachable from this machine")
    ]
    layout.settings_file.write_text("LEFT4ME_ALLOWED_HOSTS=a.example.org\nLEFT4ME_BEHIND_TLS=true\n")
    monkeypatch.setattr(installation, "_days_of_certificate", days)
    ((_check, found, message),) = shown(installation._proxy(layout))
    assert found == level
    assert part in message and "a.example.org" in message


class Firewall:
    def __init__(self, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = layout
        self.listed: str | None = ""
        self.are_counters_read = True
        monkeypatch.setattr(commands, "run", self._run)
        monkeypatch.setattr(services, "are_active", lambda units: self.are_counters_read and len(units) == 1)

    def _run(self, argv: list[str], *, timeout: float) -> commands.Finished:
        assert argv == ["nft", "--terse", "list", "ruleset"]
        if self.listed is None:
            raise commands.CommandError("nft is missing")
        return finished(self.listed)

    def load(self, settings: dict[str, str]) -> None:
        self.listed = f'table inet left4me {{\n\tcomment "left4me {flood_rules.of(settings).digest}"\n'

    def found(self) -> list[tuple[str, str]]:
        return [(finding.level, finding.message) for finding in installation._firewall(self.layout)]


def test_the_firewall_holds_the_rules_of_this_release(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    firewall = Firewall(layout, monkeypatch)
    may_be_open = "the games' RCON ports (TCP) may be open to the internet"
    assert firewall.found() == [("warning", f"no nftables rules: {may_be_open}")]
    firewall.listed = None
    assert firewall.found() == [("warning", f"can't read the nftables rules: {may_be_open}")]
    firewall.listed = "table inet filter {\n\tchain input { policy drop; }\n}\n"
    assert firewall.found()[0][0] == "ok" and "rules of your own" in firewall.found()[0][1]
    firewall.listed += "table inet left4me {\n}\n"
    assert firewall.found() == [("warning", "the loaded rules are those of an older release or of other settings")]
    firewall.load({})
    assert firewall.found()[0][0] == "ok" and "left4me's rules are loaded" in firewall.found()[0][1]
    firewall.are_counters_read = False
    assert firewall.found()[0][0] == "warning" and "nobody reads what they drop" in firewall.found()[0][1]


def test_switched_off_limits_and_settings_that_are_not_understood_are_told(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
):
    firewall = Firewall(layout, monkeypatch)
    layout.settings_file.write_text("LEFT4ME_FLOOD_LIMITS=no\nLEFT4ME_PORTS=none\n")
    firewall.load({"LEFT4ME_FLOOD_LIMITS": "no"})
    problem, limits = installation._firewall(layout)
    assert problem.level == "warning" and "LEFT4ME_PORTS='none'" in problem.message
    assert problem.cure == f"Correct it in {layout.settings_file}."
    assert limits.level == "ok" and "floods are not limited" in limits.message


def test_the_clock_is_synchronised(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    for output, level in (("yes\n", "ok"), ("no\n", "warning")):
        monkeypatch.setattr(commands, "run", answering(output))
        assert [finding.level for finding in installation._time(layout)] == [level]

    def missing(*_: object, **__: object) -> None:
        raise commands.CommandError("timedatectl is missing")

    monkeypatch.setattr(commands, "run", missing)
    assert shown(installation._time(layout)) == [("time", "warning", "unknown whether the clock is synchronised")]


def test_a_web_is_examined_for_more_than_a_worker_host(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    checked: list[str] = []
    for name in ("application", "units", "release", "interrupted", "settings", "backups", "proxy", "workshop"):
        _note(monkeypatch, name, checked)
    for name in ("firewall", "time"):
        _note(monkeypatch, name, checked)
    installation.examine(layout)
    of_web = list(checked)
    assert of_web[5:] == ["backups", "proxy", "workshop", "firewall", "time"]
    checked.clear()
    (layout.units / services.WEB).unlink()
    installation.examine(layout)
    assert checked == [name for name in of_web if name not in ("backups", "proxy", "workshop")]


def _note(monkeypatch: pytest.MonkeyPatch, name: str, checked: list[str]) -> None:
    def check(layout: Layout) -> list[Finding]:
        checked.append(name)
        return []

    check.__name__ = f"_{name}"
    monkeypatch.setattr(installation, f"_{name}", check)
