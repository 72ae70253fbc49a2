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


def test_without_systemd_nothing_starts_at_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert services.enabled(["on.service"]) == []


def test_what_systemd_refuses_is_a_fault_unless_it_may_be(systemctl: None) -> None:
    with pytest.raises(commands.CommandFailed, match=r"Unit gone\.service not found"):
        services.systemctl("start", "gone.service")
    assert "not found" in services.systemctl("start", "gone.service", check=False)


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
