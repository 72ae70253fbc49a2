"""What an uninstallation takes away and what stays, in a directory; container tests uninstall a whole machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy import installer
from deploy.ops import uninstall
from deploy.ops.database import postgres
from deploy.ops.layout import Layout
from deploy.ops.machine import proxy, services
from deploy.ops.plan import CannotGoOn
from deploy.ops.worker_host import database_role, registry
from left4me.core.processes import commands

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root uninstalls")

OURS = "postgres://left4me:x@127.0.0.1:5432/left4me"
LISTED = {
    "list-units": "left4me-web.socket loaded active\nleft4me-web.service loaded active\nleft4me.slice loaded\n\n",
    "list-unit-files": "left4me-backup.timer enabled\nleft4me-server@.service static\nleft4me-web.service enabled\n",
}


class Installed:
    """A machine in a directory with everything that an installation leaves."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = layout = Layout(root)
        self.calls: list[str] = []
        self.accounts = {"left4me", "left4me-redis"}
        self.clusters: list[Cluster] = []
        self.listed = LISTED
        for place in (
            *(layout.program / "releases", layout.redis_data, layout.redis_settings, layout.redis_socket.parent),
            *(layout.firewall_counters, layout.data / "servers/7", layout.settings, layout.backups, layout.units),
        ):
            place.mkdir(parents=True, exist_ok=True)
        (layout.units / services.WEB).touch()
        layout.caddyfile.parent.mkdir(parents=True)
        layout.caddyfile.write_text("import left4me.caddy\nexample.org {\n}\n")
        proxy.site(layout).touch()
        monkeypatch.setattr(services, "systemctl", self._systemctl)
        monkeypatch.setattr(commands, "run", self._run)
        monkeypatch.setattr(database_role, "clusters", lambda: self.clusters)
        monkeypatch.setattr(postgres, "answers", lambda address: "drop" not in self.calls)
        monkeypatch.setattr(postgres, "drop", lambda: self.calls.append("drop"))
        monkeypatch.setattr(database_role, "drop_roles", lambda group: self.calls.append(f"drop {group}"))

    def _systemctl(self, *words: str, check: bool = True) -> str:
        if words[0] in LISTED:
            assert words[1:] == ("--all", "--plain", "--no-legend", "--no-pager", "left4me*")
            return self.listed.get(words[0], "")
        self.calls.append(" ".join(words))
        if words[0] == "stop":
            self.listed = {}
        return ""

    def _run(self, argv: list[str], *, timeout: float, check: bool = True) -> commands.Finished:
        if argv[0] == "getent":
            return commands.Finished(status=0 if argv[2] in self.accounts else 2, output="", seconds=0)
        self.calls.append(" ".join(argv))
        self.accounts -= {argv[1]}
        if argv[0] == "groupdel":
            raise commands.CommandError("it ended with its user")
        return commands.Finished(status=0, output="", seconds=0)

    def uninstall(self, *options: str) -> int:
        return installer.main(["--uninstall", *options], layout=self.layout)


class Cluster:
    def __init__(self, *, is_open: bool) -> None:
        self.directory = Path("/etc/postgresql/15/main")
        self.is_open = is_open
        self.closed = 0

    def is_closed(self) -> bool:
        return not self.is_open

    def close(self) -> None:
        self.closed += 1
        self.is_open = False


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    return Installed(tmp_path, monkeypatch)


def test_the_program_goes_and_what_people_made_stays(machine: Installed, capsys: pytest.CaptureFixture[str]):
    machine.layout.secrets_file.write_text(f"DATABASE_URL={OURS}\n")
    assert machine.uninstall() == 0
    layout = machine.layout
    for gone in (layout.program, layout.redis_data, layout.redis_settings, layout.firewall_counters):
        assert not gone.exists()
    assert not layout.redis_socket.parent.exists() and not (layout.units / services.WEB).exists()
    assert layout.caddyfile.read_text() == "example.org {\n}\n"
    assert (layout.data / "servers/7").exists() and layout.secrets_file.exists() and layout.backups.exists()
    assert machine.accounts == {"left4me"}, "it owns the data"
    assert "drop" not in machine.calls
    assert f"Kept: {layout.data}, {layout.settings}, {layout.backups}." in capsys.readouterr().out
    machine.calls.clear()
    assert machine.uninstall() == 0
    assert machine.calls == []
    assert capsys.readouterr().out == "Nothing to do: left4me is not installed.\n"


def test_sockets_and_timers_stop_first_because_they_start_the_others(machine: Installed):
    machine.uninstall()
    first = machine.calls.index("stop left4me-backup.timer left4me-web.socket")
    assert machine.calls[first - 1] == "disable --quiet left4me-backup.timer left4me-web.socket"
    assert machine.calls[first + 1 : first + 3] == ["disable --quiet left4me-web.service", "stop left4me-web.service"]
    assert "daemon-reload" in machine.calls and "reset-failed left4me*" in machine.calls


def test_a_dry_run_changes_nothing(machine: Installed, capsys: pytest.CaptureFixture[str]):
    assert machine.uninstall("--dry-run") == 0
    assert machine.calls == []
    assert machine.layout.program.exists()
    said = capsys.readouterr().out
    assert said.endswith("No changes made.\n")
    assert f"    {machine.layout.program}\n" in said


def test_a_purge_takes_data_settings_backups_and_the_database(machine: Installed, capsys: pytest.CaptureFixture[str]):
    machine.layout.secrets_file.write_text(f"DATABASE_URL={OURS}\n")
    machine.clusters = [Cluster(is_open=True), Cluster(is_open=False)]
    assert machine.uninstall("--purge") == 0
    for gone in (machine.layout.data, machine.layout.settings, machine.layout.backups):
        assert not gone.exists()
    assert [cluster.closed for cluster in machine.clusters] == [1, 0]
    assert machine.calls[-6:-4] == ["drop", f"drop {registry.GROUP}"]
    assert machine.accounts == set()
    assert "Kept" not in capsys.readouterr().out


@pytest.mark.parametrize("address", ["", "postgres://someone:x@db.example.org/left4me"])
def test_a_database_of_the_operator_s_own_stays(machine: Installed, address: str):
    machine.layout.secrets_file.write_text(f"DATABASE_URL={address}\n")
    machine.clusters = [Cluster(is_open=True)]
    machine.uninstall("--purge")
    assert "drop" not in machine.calls
    assert machine.clusters[0].closed == 0


def test_nothing_is_deleted_inside_what_is_mounted(machine: Installed, monkeypatch: pytest.MonkeyPatch):
    below = machine.layout.data / "servers/7"
    read_text = Path.read_text
    mounts = f"36 35 98:0 / {below} rw - ext4 /dev/x rw\n"
    monkeypatch.setattr(
        Path, "read_text", lambda self: mounts if str(self) == "/proc/self/mountinfo" else read_text(self)
    )
    with pytest.raises(CannotGoOn, match=f"mounted below {machine.layout.data}"):
        uninstall._remove_tree(machine.layout.data)
    assert below.exists()
    uninstall._remove_tree(below)
    assert not below.exists()
