"""What is asked of systemd, and of the web that it has started."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.ops import application
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from left4me.core.processes import commands

SYSTEMCTL = """#!/bin/sh
shift  # --no-ask-password
case "$1 $2" in
"is-enabled on.service") echo enabled ;;
"is-enabled off.service") echo disabled; exit 1 ;;
*) echo "Unit $2 not found." >&2; exit 5 ;;
esac
"""


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that knows two units."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_what_starts_at_boot_is_what_systemd_calls_enabled(systemctl: None) -> None:
    assert services.enabled(["on.service", "off.service", "gone.service"]) == ["on.service"]
    assert services.are_enabled(["on.service"])
    assert not services.are_enabled(["off.service"])


def test_without_systemd_nothing_starts_at_boot_or_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert services.enabled(["on.service"]) == []
    assert not services.are_active(["on.service"])


def test_what_systemd_refuses_is_a_fault_unless_it_may_be(systemctl: None) -> None:
    with pytest.raises(commands.CommandFailed, match=r"Unit gone\.service not found"):
        services.systemctl("start", "gone.service")
    assert "not found" in services.systemctl("start", "gone.service", check=False)


class Systemd:
    """Notes what systemctl is asked, and answers that the units in `active` are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.unchecked: list[str] = []
        self.active: set[str] = set()
        monkeypatch.setattr(services, "systemctl", self._systemctl)

    def _systemctl(self, *arguments: str, check: bool = True) -> str:
        call = " ".join(arguments)
        self.calls.append(call)
        if not check:
            self.unchecked.append(call)
        if arguments[0] == "is-active":
            return "".join(f"{'active' if unit in self.active else 'failed'}\n" for unit in arguments[1:])
        return "LoadState=loaded\nExecStart=a=b\n" if arguments[0] == "show" else ""


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Systemd:
    return Systemd(monkeypatch)


@pytest.fixture
def web(tmp_path: Path) -> Layout:
    """The machine of a web."""
    layout = Layout(tmp_path)
    layout.units.mkdir(parents=True)
    (layout.units / services.WEB).touch()
    return layout


@pytest.fixture
def worker_host(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def _add_hosts(layout: Layout) -> None:
    (layout.settings / "hosts").mkdir(parents=True)
    (layout.settings / "hosts/content.env").touch()


def test_the_web_stops_last_and_its_socket_stays(systemd: Systemd, web: Layout) -> None:
    services.stop(web)
    _add_hosts(web)
    services.stop(web)
    assert systemd.calls == [
        f"stop {services.BEAT} {services.WORKER}",
        f"stop {services.WEB}",
        f"stop {services.BEAT} {services.WORKER} {services.CONTENT}",
        f"stop {services.WEB}",
    ]


def test_a_worker_host_stops_its_worker_alone(systemd: Systemd, worker_host: Layout) -> None:
    services.stop(worker_host)
    services.stop_all(worker_host)
    assert systemd.calls == [
        f"stop {services.WORKER}",
        f"stop {services.WORKER}",
        f"stop {services.GAMES}",
    ]


def test_before_data_is_exchanged_the_socket_ends_with_the_web_and_the_games_do_too(
    systemd: Systemd, web: Layout
) -> None:
    services.stop_all(web)
    assert systemd.calls[0] == f"stop {services.SOCKET} {services.WEB}"
    assert systemd.calls[-1] == f"stop {services.GAMES}"


def test_units_that_failed_too_often_are_started_all_the_same(systemd: Systemd, web: Layout) -> None:
    services.start(web)
    units = "left4me-redis.service left4me-web.socket left4me-web.service left4me-worker.service left4me-beat.service"
    assert systemd.calls == [f"reset-failed {units}", f"start {units}"]
    assert systemd.unchecked == [f"reset-failed {units}"]


def test_nothing_is_asked_of_systemd_for_no_units(systemd: Systemd) -> None:
    services.enable_at_boot([])
    services.start_also([])
    services.disable([], stop=True)
    assert systemd.calls == []


def test_units_start_at_boot_at_once_or_both(systemd: Systemd) -> None:
    services.enable(iter(["a.service"]))
    services.enable_at_boot(iter(["a.service"]))
    services.start_also(iter(["a.service"]))
    services.disable(["a.service"], stop=True)
    services.disable(["a.service"], stop=False)
    services.restart(["a.service"])
    assert systemd.calls == [
        "enable --now --quiet a.service",
        "enable --quiet a.service",
        "start a.service",
        "disable --now --quiet a.service",
        "disable --quiet a.service",
        "restart a.service",
    ]
    assert systemd.unchecked == systemd.calls[3:5]


def test_the_firewall_is_renewed_where_it_is_in_use_and_ends_no_upgrade(systemd: Systemd) -> None:
    services.renew_firewall()
    assert systemd.calls == [f"is-active {services.FIREWALL}"]
    systemd.active = {services.FIREWALL}
    systemd.calls.clear()
    services.renew_firewall()
    assert systemd.calls == [
        f"is-active {services.FIREWALL}",
        f"reload {services.FIREWALL}",
        f"start {services.FIREWALL_COUNTERS}",
    ]
    assert set(systemd.calls) <= set(systemd.unchecked)


def test_each_unit_has_its_state_and_all_have_to_be_active(systemd: Systemd, web: Layout) -> None:
    systemd.active = {services.WEB, services.WORKER}
    assert services.states(web) == {
        services.REDIS: "failed",
        services.SOCKET: "failed",
        services.WEB: "active",
        services.WORKER: "active",
        services.BEAT: "failed",
    }
    assert services.are_active([services.WEB, services.WORKER])
    assert not services.are_active([services.WEB, services.BEAT])
    assert services.properties(services.WEB, "LoadState", "ExecStart") == {"LoadState": "loaded", "ExecStart": "a=b"}
    assert systemd.calls[-1] == f"show {services.WEB} --property=LoadState --property=ExecStart"


def test_a_worker_host_is_told_from_a_web_that_lacks_units(worker_host: Layout) -> None:
    layout = worker_host
    assert not services.is_worker_host(layout), "nothing is installed"
    layout.units.mkdir(parents=True)
    (layout.units / services.WORKER).touch()
    assert services.is_worker_host(layout), "its installation was interrupted"
    (layout.units / services.BEAT).touch()
    assert not services.is_worker_host(layout), "a web whose installation was interrupted"
    layout.settings.mkdir(parents=True)
    layout.central_authority.touch()
    assert services.is_worker_host(layout)
    (layout.units / services.WEB).touch()
    assert not services.is_worker_host(layout)


class _Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ready" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def port() -> Iterator[int]:
    """A port at which a web is ready."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_the_web_is_asked_where_the_settings_say_that_it_listens(tmp_path: Path, port: int, address: str) -> None:
    layout = Layout(tmp_path)
    layout.settings.mkdir(parents=True)
    layout.settings_file.write_text(f"LEFT4ME_BIND={address}:{port}\n")
    layout.units.mkdir(parents=True)
    (layout.units / services.WEB).touch()
    assert application.unready(layout) == ""
    layout.settings_file.write_text(f"LEFT4ME_BIND={address}:1\n")
    assert "does not respond" in application.unready(layout)
