"""What SourceMod's error log says that plugins lack."""

from __future__ import annotations

from pathlib import Path

from servers.plugins import errors
from servers.plugins.errors import Kind, Problem

AT = "L 11/30/2026 - 01:02:03"
LOG = f"""\
{AT}: SourceMod error session started
{AT}: Info (map "c1m1_hotel") (file "errors_20261130.log")
{AT}: [SM] Unable to load plugin "old.smx": Native "Gone" was not found
{AT}: SourceMod error session started
{AT}: Info (map "c2m1_highway") (file "errors_20261130.log")
{AT}: [SM] Unable to load plugin "a.smx": Native "L4D_GetTeam" was not found
{AT}: [SM] Unable to load plugin "b.smx": Required extension "DHooks" file("dhooks.ext") not running
{AT}: [SM] Unable to load plugin "sub/c.smx": Could not find required plugin "left4dhooks"
{AT}: [SM] Failed to load plugin "d.smx": Unable to load plugin (unrecognized file format).
{AT}: [SM] Unable to load extension "sourcescramble.ext": Could not find interface: IPluginManager
{AT}: [SM] Exception reported: Invalid timer handle 42f00ac1 (error 1)
{AT}: [SM] Blaming: spawner.smx
{AT}: [SM] Call stack trace:
{AT}: [SM]   [0] KillTimer
L 11/30/2026 - 02:02:03: [SM] Exception reported: Invalid timer handle 42f00ac1 (error 1)
L 11/30/2026 - 02:02:03: [SM] Blaming: spawner.smx
{AT}: [heal.smx] something that a plugin logged
"""


def put(upper: Path, name: str, text: str) -> None:
    path = upper.joinpath(*errors.LOGS, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_plugins_lack_is_named_from_the_last_session():
    assert list(errors.parse(LOG)) == [
        Problem("a.smx", Kind.NATIVE, "L4D_GetTeam"),
        Problem("b.smx", Kind.EXTENSION, "dhooks.ext"),
        Problem("sub/c.smx", Kind.PLUGIN, "left4dhooks"),
        Problem("d.smx", Kind.FAILED, "Unable to load plugin (unrecognized file format)."),
        Problem("sourcescramble.ext", Kind.FAILED, "Could not find interface: IPluginManager"),
        Problem("spawner.smx", Kind.EXCEPTION, "Invalid timer handle 42f00ac1 (error 1)"),
    ]


def test_repeated_errors_are_counted_and_the_newest_file_counts(tmp_path: Path):
    put(tmp_path, "errors_20261130.log", LOG)
    put(tmp_path, "errors_20261129.log", LOG.replace("a.smx", "yesterday.smx"))
    put(tmp_path, "L20261201.log", LOG)
    found = errors.read(tmp_path)
    assert found[0] == {
        "name": "spawner.smx",
        "kind": "exception",
        "detail": "Invalid timer handle 42f00ac1 (error 1)",
        "count": 2,
        "at": "11/30/2026 - 02:02:03",
    }
    assert "yesterday.smx" not in {each["name"] for each in found}


def test_a_server_without_a_log_has_no_errors(tmp_path: Path):
    assert errors.read(tmp_path) == []


def test_a_huge_hostile_log_costs_a_bounded_answer(tmp_path: Path):
    line = f'{AT}: [SM] Unable to load plugin "%d.smx": Native "\x1b[31m{"x" * 5000}" was not found\n'
    put(tmp_path, "errors_20261130.log", "".join(line % number for number in range(2000)))
    found = errors.read(tmp_path)
    assert len(found) <= errors.MOST
    assert all(len(each["detail"]) <= 300 and each["detail"].isprintable() for each in found)
