"""Parses the output of the console command `status` in one pass.

Player names, host names and log lines are untrusted: the rules hold for text that imitates the format. Lines are
split at line feeds only, since `str.splitlines` also splits at characters that a player's name may contain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from left4me.core import steam_ids

_KEYS = frozenset({"hostname", "version", "udp/ip", "os", "map", "players"})
_STEAM_2 = re.compile(r"STEAM_[0-9]:([01]):([0-9]{1,10})")
_STEAM_3 = re.compile(r"\[U:[0-9]:([0-9]{1,10})\]")
_CONNECTED = re.compile(r"(?:([0-9]{1,6}):)?([0-9]{1,2}):([0-9]{2})")
_COUNTS = re.compile(r"([0-9]{1,6}) humans, ([0-9]{1,6}) bots \(([0-9]{1,6})(?:/[0-9]{1,6})? max\)")
_OLD_COUNTS = re.compile(r"([0-9]{1,6}) \(([0-9]{1,6}) max\)")
_RESERVED = re.compile(r"\(reserved(?: ([0-9a-f]{1,16}))?\)")
_PUBLIC_BRACKETS = re.compile(r"\[ public (\S+) \]")
_PUBLIC_PARENTHESES = re.compile(r"\(public ip[^:()]*: ?([^ ()]+)\)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,9}")
_SIGNED = re.compile(r"-?[0-9]{1,9}")
_STATES = ("challenging", "connecting", "spawning", "active")
_ROW = re.compile(r"#[ \t]*[0-9]{1,9}[ \t]")
_BOTS = ("BOT", "HLTV")
_CONNECTING = ("connecting", "challenging")
_LOG_LINE = re.compile(r"L [0-9]{2}/[0-9]{2}/[0-9]{4} - ")
_BLANK = " \t\r"

_Details = tuple[int | None, int | None, int | None, str, int | None, str | None]


class NotStatus(Exception):
    """The text is not the output of `status`, or is in a format that does not identify players."""


@dataclass(frozen=True, slots=True)
class Player:
    """One row of the roster. `steamid64` is None for bots, pending and LAN players.

    A client without a network channel has a row of name, id and state only: then the figures are None.
    """

    userid: int
    slot: int | None
    name: str
    bot: bool
    uniqueid: str
    steamid64: str | None
    connected_seconds: int | None
    ping: int | None
    loss: int | None
    state: str
    rate: int | None
    addr: str | None

    @property
    def is_connecting(self) -> bool:
        """Whether a human is still loading, and not in the game yet."""
        return not self.bot and (self.state in _CONNECTING or self.connected_seconds is None)


@dataclass(frozen=True, slots=True)
class Status:
    """A parsed status. `humans`, `bots` and `max` are the server's own counts; `bots_seen` counts the rows of bots.

    Only a `complete` status tells who is online; any other was truncated and must not replace a complete one.
    """

    complete: bool
    end_marker: bool
    hostname: str | None
    version_raw: str | None
    version: str | None
    build: str | None
    secure: bool | None
    udp_local: str | None
    udp_public: str | None
    os: str | None
    map: str | None
    map_pos: str | None
    humans: int | None
    bots: int | None
    max: int | None
    hibernating: bool | None
    reservation: str | None
    players: tuple[Player, ...]
    trailing_log_lines: tuple[str, ...]
    # Rows of an unknown form: somebody is there, but it is not known who.
    unreadable_rows: int = 0

    @property
    def people(self) -> tuple[Player, ...]:
        return tuple(player for player in self.players if not player.bot)

    @property
    def people_seen(self) -> int:
        """Their number; a row of an unknown form counts as somebody."""
        return len(self.people) + self.unreadable_rows

    @property
    def bots_seen(self) -> int:
        """The number of rows of bots: Left 4 Dead 2 reports 0 bots while bots play survivors and infected."""
        return sum(player.bot for player in self.players)


def parse_status(text: str) -> Status:
    """Parse the output of `status`. Raises NotStatus and nothing else."""
    lines = _Lines()
    for line in text.split("\n"):
        lines.take(line)
    return lines.status()


def steam_id_64(uniqueid: str) -> str | None:
    """The 64-bit Steam id of `STEAM_1:1:42`, `STEAM_0:1:42` or `[U:1:85]`, which are one account; None for others."""
    if match := _STEAM_2.fullmatch(uniqueid):
        steam_id = steam_ids.BASE + 2 * int(match[2]) + int(match[1])
    elif match := _STEAM_3.fullmatch(uniqueid):
        steam_id = steam_ids.BASE + int(match[1])
    else:
        return None
    return str(steam_id) if steam_ids.is_account(steam_id) else None


class _Lines:
    """Collects the lines by kind: header fields, the heading and rows of the roster, its end marker, log lines."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.players: list[Player] = []
        self.log_lines: list[str] = []
        self.heading: frozenset[str] | None = None
        self.end_marker = False
        self.unreadable_rows = 0

    def take(self, line: str) -> None:
        line = line.strip(_BLANK)
        if line.startswith("#"):
            self._take_roster_line(line)
        elif _LOG_LINE.match(line):
            if self.heading is not None:
                self.log_lines.append(line)
        elif self.heading is None:
            self._take_header_line(line)

    def _take_header_line(self, line: str) -> None:
        if line.startswith("os/type"):
            raise NotStatus("This is the status of a Source 2 server, which contains no Steam IDs.")
        key, colon, value = line.partition(":")
        key = key.rstrip(_BLANK)
        # The first field of each name wins: a host name is free text, but nothing it contains comes before it.
        if colon and key in _KEYS and key not in self.fields:
            self.fields[key] = value.strip(_BLANK)

    def _take_roster_line(self, line: str) -> None:
        if self.end_marker:
            return
        if line.startswith("#end"):
            self.end_marker = self.heading is not None
        elif (columns := line[1:].split())[:2] == ["userid", "name"]:
            self.heading = frozenset(columns)
        elif (player := _player(line)) is not None:
            self.players.append(player)
        elif _ROW.match(line) and '"' in line:
            self.unreadable_rows += 1

    def status(self) -> Status:
        fields = self.fields
        if not self.players and self.heading is None and not {"hostname", "players"} & fields.keys():
            raise NotStatus("This is not a response to `status`.")
        version, build, secure = _version(fields.get("version"))
        udp_local, udp_public = _addresses(fields.get("udp/ip"))
        map_name, map_pos = _map(fields.get("map"))
        counts = fields.get("players", "")
        humans, bots, most = _counts(counts)
        return Status(
            complete=self._complete(humans),
            end_marker=self.end_marker,
            hostname=fields.get("hostname"),
            version_raw=fields.get("version"),
            version=version,
            build=build,
            secure=secure,
            udp_local=udp_local,
            udp_public=udp_public,
            os=fields.get("os"),
            map=map_name,
            map_pos=map_pos,
            humans=humans,
            bots=bots,
            max=most,
            hibernating=_hibernating(counts),
            reservation=_reservation(counts),
            players=tuple(self.players),
            trailing_log_lines=tuple(self.log_lines),
            unreadable_rows=self.unreadable_rows,
        )

    def _complete(self, humans: int | None) -> bool:
        if humans is None or self.heading is None:
            return False
        # Formats with a rate column end the roster with #end; for the others only the server's count tells.
        closed = self.end_marker or "rate" not in self.heading
        rows = sum(not player.bot for player in self.players)
        if self.end_marker:
            # Everything was received, so a row that cannot be read is a row all the same.
            rows += self.unreadable_rows
        return closed and rows >= humans


def _player(line: str) -> Player | None:
    """A roster row, or None if it is truncated or not a row. The name ends at the last quotation mark of the line."""
    opening, closing = line.find('"'), line.rfind('"')
    if opening == closing:
        return None
    numbers = line[1:opening].split()
    columns = line[closing + 1 :].split()
    if not 1 <= len(numbers) <= 2 or not columns or not all(map(_NUMBER.fullmatch, numbers)):
        return None
    bot = columns[0] in _BOTS
    details = _bot_details(columns) if bot else _human_details(columns)
    if details is None:
        return None
    connected, ping, loss, state, rate, addr = details
    return Player(
        userid=int(numbers[0]),
        slot=int(numbers[1]) if len(numbers) == 2 and not bot else None,
        name=line[opening + 1 : closing],
        bot=bot,
        uniqueid=columns[0],
        steamid64=steam_id_64(columns[0]),
        connected_seconds=connected,
        ping=ping,
        loss=loss,
        state=state,
        rate=rate,
        addr=addr,
    )


def _bot_details(columns: list[str]) -> _Details | None:
    return (None, None, None, columns[1], None, None) if len(columns) > 1 else None


def _human_details(columns: list[str]) -> _Details | None:
    if len(columns) == 2 and columns[1] in _STATES:
        return None, None, None, columns[1], None, None
    if len(columns) < 5:
        return None
    time, ping, loss, state, *rest = columns[1:]
    connected = _CONNECTED.fullmatch(time)
    if connected is None or not _SIGNED.fullmatch(ping) or not _SIGNED.fullmatch(loss):
        return None
    hours, minutes, seconds = connected.groups(default="0")
    rate = int(rest.pop(0)) if rest and _NUMBER.fullmatch(rest[0]) else None
    return (
        int(hours) * 3600 + int(minutes) * 60 + int(seconds),
        max(0, int(ping)),
        max(0, int(loss)),
        state,
        rate,
        rest[0] if rest else None,
    )


def _version(text: str | None) -> tuple[str | None, str | None, bool | None]:
    words = (text or "").split()
    if not words:
        return None, None, None
    for position, word in enumerate(words):
        if word in ("secure", "insecure"):
            return words[0], " ".join(words[1:position]) or None, word == "secure"
    return words[0], " ".join(words[1:]) or None, None


def _addresses(text: str | None) -> tuple[str | None, str | None]:
    words = (text or "").split(None, 1)
    if not words:
        return None, None
    public = _PUBLIC_BRACKETS.search(text or "") or _PUBLIC_PARENTHESES.search(text or "")
    return words[0], public[1] if public else None


def _map(text: str | None) -> tuple[str | None, str | None]:
    words = (text or "").split(None, 2)
    if not words:
        return None, None
    if len(words) == 3 and words[1] in ("at", "at:"):
        return words[0], words[2]
    return words[0], None


def _counts(text: str) -> tuple[int | None, int | None, int | None]:
    if match := _COUNTS.match(text):
        return int(match[1]), int(match[2]), int(match[3])
    if match := _OLD_COUNTS.match(text):
        return int(match[1]), None, int(match[2])
    return None, None, None


def _hibernating(text: str) -> bool | None:
    if "(not hibernating)" in text:
        return False
    return True if "(hibernating)" in text else None


def _reservation(text: str) -> str | None:
    if "(unreserved)" in text:
        return "unreserved"
    match = _RESERVED.search(text)
    return (match[1] or "unknown") if match else None
