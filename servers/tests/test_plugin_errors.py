"""What SourceMod's error log says that plugins lack."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from left4me.core import moments
from servers.plugins import errors
from servers.plugins.errors import Kind, Problem

STARTED = datetime(2026, 11, 30, 1, 2, 3, 400_000, tzinfo=UTC)
AT = "L 11/30/2026 - 01:02:03"
SESSION = f"""\
{AT}: SourceMod error session started
{AT}: Info (map "c2m1_highway") (file "errors_20261130.log")
"""
LOG = f"""\
L 11/30/2026 - 01:02:02: [SM] Unable to load plugin "old.smx": Native "Gone" was not found
{SESSION}{AT}: [SM] Unable to load plugin "a.smx": Native "L4D_GetTeam" was not found
{AT}: [SM] Unable to load plugin "b.smx": Required extension "DHooks" file("dhooks.ext") not running
{AT}: [SM] Unable to load plugin "sub/c.smx": Could not find required plugin "left4dhooks"
{AT}: [SM] Failed to load plugin "d.smx": Unable to load plugin (unrecognized file format).
{AT}: [SM] Unable to load extension "sourcescramble.ext": Could not find interface: IPluginManager
{AT}: [SM] Exception reported: Invalid timer handle 42f00ac1 (error 1)
{AT}: [SM] Blaming: My spawner.smx
{AT}: [SM] Call stack trace:
{AT}: [SM]   [0] KillTimer
{AT}: [heal.smx] Failed to find signature: "IsVisible"
L 11/30/2026 - 02:02:03: Error log file session closed.
L 11/30/2026 - 02:02:03: SourceMod error session started
L 11/30/2026 - 02:02:03: Info (map "c2m2_fairgrounds") (file "errors_20261130.log")
L 11/30/2026 - 02:02:03: [SM] Exception reported: Invalid timer handle 42f00ac1 (error 1)
L 11/30/2026 - 02:02:03: [SM] Blaming: My spawner.smx
"""


@pytest.fixture(autouse=True)
def machine_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "machine_zone", lambda: UTC)


def put(upper: Path, name: str, text: str) -> None:
    path = upper.joinpath(*errors.LOGS, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_was_logged_since_the_start_counts_at_all_maps():
    assert list(errors.parse(LOG.splitlines(), since=STARTED)) == [
        Problem("a.smx", Kind.NATIVE, "L4D_GetTeam"),
        Problem("b.smx", Kind.EXTENSION, "dhooks.ext"),
        Problem("sub/c.smx", Kind.PLUGIN, "left4dhooks"),
        Problem("d.smx", Kind.FAILED, "Unable to load plugin (unrecognized file format)."),
        Problem("sourcescramble.ext", Kind.FAILED, "Could not find interface: IPluginManager"),
        Problem("heal.smx", Kind.LOGGED, 'Failed to find signature: "IsVisible"'),
        Problem("My spawner.smx", Kind.EXCEPTION, "Invalid timer handle 42f00ac1 (error 1)"),
    ]


def test_what_was_not_loaded_comes_before_what_fails_all_the_time(tmp_path: Path):
    put(tmp_path, "errors_20261130.log", LOG)
    put(tmp_path, "L20261201.log", LOG)
    found = errors.read(tmp_path, since=STARTED)
    assert [each["name"] for each in found[:2]] == ["sourcescramble.ext", "d.smx"]
    assert found[5] == {
        "name": "My spawner.smx",
        "kind": "exception",
        "detail": "Invalid timer handle 42f00ac1 (error 1)",
        "count": 2,
        "at": "11/30/2026 - 02:02:03",
    }


def test_the_files_of_all_days_since_the_start_count(tmp_path: Path):
    put(tmp_path, "errors_20261129.log", LOG.replace("a.smx", "earlier.smx").replace("11/30", "11/29"))
    put(tmp_path, "errors_20261130.log", LOG)
    put(tmp_path, "errors_20261201.log", "L 12/01/2026 - 00:00:09: [new.smx] Something\n")
    names = {each["name"] for each in errors.read(tmp_path, since=STARTED)}
    assert {"a.smx", "new.smx"} <= names and not {"earlier.smx", "old.smx"} & names


def test_the_clock_of_the_log_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(moments, "machine_zone", lambda: timezone(timedelta(hours=-5)))
    line = "L 11/29/2026 - 20:02:03: [heal.smx] Something"
    assert errors.parse([line], since=STARTED)
    assert not errors.parse([line], since=STARTED + timedelta(seconds=1))


def test_a_server_without_a_log_or_without_a_start_has_no_errors(tmp_path: Path):
    assert errors.read(tmp_path, since=STARTED) == []
    put(tmp_path, "errors_20261130.log", LOG)
    assert errors.read(tmp_path, since=None) == []


def test_a_huge_hostile_log_costs_a_bounded_answer(tmp_path: Path):
    line = f'{AT}: [SM] Unable to load plugin "%d.smx": Native "\x1b[31m{"x" * 5000}" was not found\n'
    put(tmp_path, "errors_20261130.log", "".join(line % number for number in range(2000)))
    found = errors.read(tmp_path, since=STARTED)
    assert len(found) <= errors.MOST
    assert all(len(each["detail"]) <= 300 and each["detail"].isprintable() for each in found)
