"""What the fuzzer does with what games, SteamCMD and Steam answer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from left4me.core import lines
from livestate import reconcile, status
from livestate.bans import game_list
from overlays.plugins import cfg
from overlays.replication import manifest
from servers.gamehost import a2s, rcon
from servers.gamehost.rcon.conversation import LARGEST_ANSWER, Conversation
from servers.gamehost.steamcmd import output
from servers.plugins import console, errors
from workshop import steam

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def read_status(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        found = status.parse_status(text)
    except status.NotStatus as reason:
        assert str(reason)
        return
    known = reconcile.Known(stays={7: reconcile.Stay(1, _NOW, None, None, None)}, seen_at=_NOW)
    changes = reconcile.changes(known, found, _NOW, earlier={}, gap=timedelta(seconds=60))
    assert len(changes.opened) <= len(found.people)
    assert all(0 <= joined.steam_id_64 < 2**63 and joined.joined_at <= _NOW for joined in changes.opened)
    if found.end_marker:
        # What the game prints after its answer changes nothing about who is there.
        after = status.parse_status(text + '\n# 1 1 "x" STEAM_1:0:5 00:10 1 0 active 30000\n')
        assert (after.players, after.complete) == (found.players, found.complete)


def read_rcon(data: bytes) -> None:
    """A login and a question, answered by the data in pieces whose size its first byte gives."""
    conversation = Conversation()
    conversation.login("secret")
    size = data[0] + 1 if data else 1
    with contextlib.suppress(rcon.RconError):
        for start in range(1, len(data), size):
            if conversation.receive(data[start : start + size]) and conversation.idle:
                conversation.ask("status")
    assert len(conversation.text) <= LARGEST_ANSWER


def read_info(data: bytes) -> None:
    try:
        info = a2s.parse(data)
    except a2s.NoAnswer:
        return
    assert 0 <= info.players <= 255


def read_ban_list(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    list(game_list.parse_file(text))
    try:
        listed = game_list.parse(text)
    except game_list.NotList:
        return
    changes = game_list.compare(listed, {}, dict.fromkeys(listed), now=_NOW)
    assert all("\n" not in line and line.isprintable() for line in game_list.commands(changes))


def clean_line(data: bytes) -> None:
    """The first line is a secret, the rest what a game printed."""
    secret, _, text = data.decode("utf-8", "replace").partition("\n")
    cleaned = lines.clean(text, lines.Masker([secret]))
    assert "\n" not in cleaned and len(cleaned) <= lines.LONGEST_LINE
    if len(secret) >= 3 and secret.isprintable() and not set(secret) & set(f"{lines.MASK}… (characters)0123456789"):
        assert secret not in cleaned
    assert len(lines.Masker([secret]).in_place(data)) == len(data) if secret.isascii() else True


def read_steamcmd(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    reading = output.Reading()
    for line in text.splitlines():
        progress = reading.take(output.clean(line))
        assert progress is None or progress.done >= 0
    for status_ in (None, 0, 8, -11):
        problem = reading.verdict(status_)
        assert problem is None or problem.message
    build = output.public_build(text)
    assert build is None or build.isdigit()


def read_steam(data: bytes) -> None:
    """Every question to Steam, answered with the data; their results fit into rows."""
    api = steam.Steam(
        base_url="https://steam.invalid",
        client=_Answering(data),  # type: ignore[arg-type]
        api_key="key",
        pause=lambda _seconds: None,
    )
    with contextlib.suppress(steam.SteamError):
        for item in api.items([1, 2]).values():
            assert 0 <= item.file_size < 2**63 and len(item.title) <= 200
            assert item.problem or item.consumer_app_id == steam.LEFT_4_DEAD_2
    with contextlib.suppress(steam.SteamError):
        assert all(0 < item < 2**63 for item in api.collection(1).items)
    with contextlib.suppress(steam.SteamError):
        assert all(len(player.persona_name) <= 128 for player in api.players([1]))


class _Answering:
    """A client of which every request is answered with the same bytes; the first one says the status."""

    def __init__(self, data: bytes) -> None:
        self.status = {0: 429, 1: 500, 2: 404}.get(data[0] if data else 3, 200)
        self.headers = {"Retry-After": data[1:6].decode("latin-1")}
        self._body = data[1:]

    @contextlib.contextmanager
    def _answered(self, *_: Any) -> Iterator[_Answering]:
        yield self

    get = post_form = _answered

    def body(self, **_: Any) -> bytes:
        return self._body


def read_manifest(data: bytes) -> None:
    """What the web tells another host about the files of an overlay."""
    reader = manifest.Reader()
    with contextlib.suppress(manifest.Malformed, manifest.Changing):
        for line in data.split(b"\n"):
            reader.take(line)
        for entry in reader.done.entries if reader.done else ():
            assert not {"", ".", ".."}.intersection(entry.path.split("/"))


def read_plugin_list(data: bytes) -> None:
    """What SourceMod prints of its plugins."""
    try:
        entries, problems = console.parse(data.decode("utf-8", "replace"))
    except console.NoSourceMod:
        return
    assert all(0 <= entry.number < 100_000 and entry.text for entry in entries)
    assert all(len(problem) <= 300 for problem in problems.values())


def read_plugin_errors(data: bytes) -> None:
    found = errors.parse(data.decode("utf-8", "replace").splitlines(), since=_NOW - timedelta(days=9000))
    assert len(found) <= 10 * errors.MOST
    assert all(problem.detail.isprintable() and seen.count for problem, seen in found.items())


def read_plugin_settings(data: bytes) -> None:
    """New values leave a cfg file with the cvars that it had."""
    text = data.decode("utf-8", "replace")
    settings = cfg.read(text)
    again = cfg.read(cfg.render(text, dict.fromkeys(settings, "7")))
    assert list(again) == list(settings) and all(setting.value == "7" for setting in again.values())


TARGETS = {
    "bans-of-games": read_ban_list,
    "info": read_info,
    "lines": clean_line,
    "manifests": read_manifest,
    "plugin-errors": read_plugin_errors,
    "plugin-lists": read_plugin_list,
    "plugin-settings": read_plugin_settings,
    "rcon": read_rcon,
    "status": read_status,
    "steam": read_steam,
    "steamcmd": read_steamcmd,
}
