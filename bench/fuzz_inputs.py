"""What the fuzzer does with what people type, paste and import, and browsers send."""

from __future__ import annotations

from datetime import UTC, datetime

from django.core.exceptions import ValidationError
from django.http import HttpRequest

from left4me.core import names, steam_ids
from left4me.core.net import addresses
from left4me.core.web import ids
from left4me.core.web.sse import events
from livestate.bans import formats, targets
from overlays.files import archive_layout
from servers.actions import blueprint_yaml
from servers.blueprints import checks, shell, translation
from servers.blueprints.checks import console, findings
from servers.game_access import admins_file
from workshop import inputs

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def check_config(data: bytes) -> None:
    text = _text(data)
    count = len(checks.config_lines(text))
    for finding in checks.check_config(text, files={"server.cfg": "one"}):
        assert 1 <= finding.line <= max(count, findings.MOST_LINES + 1) and finding.message
    for line in text.splitlines():
        console.refusal(line)


def check_arguments(data: bytes) -> None:
    assert all(finding.message for finding in checks.check_arguments(_text(data)))


def translate_launch_line(data: bytes) -> None:
    text = _text(data)
    shell.lines(text)
    once = translation.translate(arguments=text, config="")
    assert all(note.message for note in once.notes)
    if any(finding.severity == checks.Severity.REFUSED for finding in checks.check_arguments(once.arguments)):
        return
    again = translation.translate(arguments=once.arguments, config="")
    assert again.arguments == once.arguments


def read_blueprint(data: bytes) -> None:
    try:
        blueprint = blueprint_yaml.read(_text(data))
    except ValidationError as fault:
        assert fault.messages
        return
    assert blueprint.name


def read_bans(data: bytes) -> None:
    reading = formats.read(data, now=_NOW)
    written = formats.write_entries(reading.entries)
    again = formats.read(written, now=_NOW)
    assert [entry.target for entry in again.entries] == [entry.target for entry in reading.entries]


def read_ids(data: bytes) -> None:
    text = _text(data)
    assert all(0 <= number <= ids.LARGEST_ID for number in ids.parse_ids(text.split()))
    position = events.read_position(text)
    assert position is None or events.read_position(events.written(position)) == position
    account = steam_ids.parse(text)
    assert account is None or steam_ids.parse(steam_ids.steam_id_2(account)) == account
    try:
        target = targets.parse(text)
    except targets.NotTarget as fault:
        assert str(fault)
    else:
        assert targets.parse(target) == target and targets.in_game(target)


def read_address(data: bytes) -> None:
    """An address as a proxy forwards it, and the network of its owner."""
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = _text(data)
    if address := addresses.client_address(request):
        assert addresses.network(address)


def read_links(data: bytes) -> None:
    parsed = inputs.parse(_text(data))
    assert all(0 < number <= ids.LARGEST_ID for number in parsed.ids)
    assert all(str(problem) for problem in parsed.problems)


def check_name(data: bytes) -> None:
    text = _text(data)
    try:
        names.is_plain(text)
    except ValidationError:
        return
    assert len(f'hostname "{text}"'.splitlines()) == 1 and '"' not in text


def write_admins(data: bytes) -> None:
    """A name of an account stays within its comment in SourceMod's file."""
    name, _, below = _text(data).partition("\n")
    text = admins_file.render([_Admin(name)], below=below)
    assert text.splitlines()[2] == '"STEAM_1:0:11101" "z"'


class _Admin:
    steam_id = steam_ids.BASE + 22202
    source = "team"
    flags = "z"
    immunity = 0

    def __init__(self, name: str) -> None:
        self.name = name


def plan_archive(data: bytes) -> None:
    """Where the files of an archive go, by their names only: never beyond the overlay."""
    plan = archive_layout.make_plan(_text(data).split("\n"))
    for placement in plan.placements:
        assert placement.target and not {"", ".", ".."}.intersection(placement.target)


TARGETS = {
    "addresses": read_address,
    "admins": write_admins,
    "arguments": check_arguments,
    "bans": read_bans,
    "blueprints": read_blueprint,
    "config": check_config,
    "ids": read_ids,
    "launch-lines": translate_launch_line,
    "links": read_links,
    "names": check_name,
    "plans": plan_archive,
}
