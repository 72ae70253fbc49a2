"""Ban lists as files: banned_user.cfg and banned_ip.cfg, tables of SourceBans, and the table that left4me writes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from left4me.core import texts
from left4me.core.rows import storable
from livestate.bans import game_list, targets
from livestate.bans.actions import Entry
from livestate.bans.models import LONGEST_REASON, Ban
from livestate.history import csv_cell
from livestate.reconcile import LONGEST_NAME

LARGEST = 2 * 1024 * 1024
COLUMNS = ("target", "name", "reason", "created", "ends", "evidence")
# The columns of SourceBans' table `sb_bans`, as phpMyAdmin, mysql --batch and mysqldump write it.
_SOURCEBANS = (
    *("bid", "ip", "authid", "name", "created", "ends", "length", "reason", "aid", "adminIp", "sid", "country"),
    *("RemovedBy", "RemoveType", "RemovedOn", "type", "ureason"),
)
_INSERT = re.compile(r"INSERT\s+INTO\s+[`\"']?\w*bans[`\"']?\s*(?:\(([^)]*)\))?\s*VALUES\s*", re.IGNORECASE)
_SQL_VALUE = re.compile(r"'((?:[^'\\]|\\.|'')*)'|([^\s,()']+)")
_SHOWN_FAULTS = 20


@dataclass(slots=True)
class Reading:
    """What a file contains. `faults` are lines that name nothing that can be banned; `ended` counts expired ones."""

    entries: list[Entry] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    ended: int = 0

    def refuse(self, line: str) -> None:
        self.fault_count += 1
        if len(self.faults) < _SHOWN_FAULTS:
            self.faults.append(line[:200])


def read(data: bytes | str, *, now: datetime) -> Reading:
    """Read a file of any of the forms; which one it is shows in its content."""
    text = data if isinstance(data, str) else texts.decode(data).text
    reading = Reading()
    try:
        for row in _rows(text, reading, now):
            _take(row, reading, now)
    except csv.Error as fault:
        # What follows cannot be told apart, as after a quotation mark that is never closed.
        reading.refuse(str(fault))
    return reading


def write_cfg(bans: Iterable[Ban], *, name: str) -> str:
    """The text of banned_user.cfg or banned_ip.cfg. Games read only permanent bans from these files."""
    return game_list.files(ban.target for ban in bans if ban.expires_at is None)[name]


def write_csv(bans: Iterable[Ban]) -> str:
    """The table with which a list is copied to another left4me, or looked at."""
    return write_entries(
        Entry(ban.target, ban.name, ban.reason, ban.evidence, ban.created_at, ban.expires_at) for ban in bans
    )


def write_entries(entries: Iterable[Entry]) -> str:
    target = io.StringIO()
    writer = csv.writer(target)
    writer.writerow(COLUMNS)
    for each in entries:
        created, ends = (moment.isoformat() if moment else "" for moment in (each.created_at, each.expires_at))
        writer.writerow(
            [_spelled(each.target), csv_cell(each.name), csv_cell(each.reason), created, ends, csv_cell(each.evidence)]
        )
    return target.getvalue()


def _rows(text: str, reading: Reading, now: datetime) -> Iterator[Mapping[str, str]]:
    """The rows of a table with their columns' names in lower case; for cfg files and plain lists made-up ones."""
    if _INSERT.search(text):
        yield from _sql_rows(text)
        return
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    separator = max(",;\t", key=first.count)
    names = [name.strip().lower() for name in next(csv.reader([first], delimiter=separator), [])]
    if {"target", "authid", "steamid", "ip"} & set(names):
        yield from csv.DictReader(io.StringIO("\n".join(lines)), fieldnames=names, delimiter=separator, restkey="")
        return
    for line in lines:
        stripped = line.strip()
        if not stripped or stripped.startswith(("//", "#")):
            continue
        entry = next(game_list.parse_file(stripped), None)
        if entry is not None:
            target, minutes = entry
            yield {"target": target, "ends": (now + timedelta(minutes=minutes)).isoformat() if minutes else ""}
        else:
            yield {"target": stripped}


def _sql_rows(text: str) -> Iterator[Mapping[str, str]]:
    for insert in _INSERT.finditer(text):
        names = [name.strip(" `\"'").lower() for name in (insert[1] or ",".join(_SOURCEBANS)).split(",")]
        position = insert.end()
        while position < len(text) and text[position] == "(":
            values, position = _sql_values(text, position + 1)
            yield dict(zip(names, values, strict=False))
            position = _skip(text, position, ", \r\n\t")


def _sql_values(text: str, position: int) -> tuple[list[str], int]:
    """The values up to the closing bracket, and the position after it."""
    values: list[str] = []
    while position < len(text):
        position = _skip(text, position, ", \r\n\t")
        if position >= len(text) or text[position] == ")":
            return values, position + 1
        match = _SQL_VALUE.match(text, position)
        if match is None:
            return values, len(text)
        quoted = match[1]
        if quoted is not None:
            values.append(re.sub(r"\\(.)|''", lambda part: part[1] or "'", quoted))
        else:
            values.append("" if match[2].upper() == "NULL" else match[2])
        position = match.end()
    return values, position


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def _take(row: Mapping[str, str | None], reading: Reading, now: datetime) -> None:
    cells = {name: (value or "").strip() for name, value in row.items() if isinstance(value, str)}
    written = cells.get("target") or cells.get("authid") or cells.get("steamid") or ""
    # SourceBans has both columns filled; its type 1 is a ban of the address.
    if cells.get("type") == "1" or not written:
        written = cells.get("ip") or written
    if written.lower() in {"target", "authid", "steamid", "ip"}:
        return
    try:
        target = targets.parse(written.removeprefix("'"))
        created_at, expires_at = _moment(cells.get("created", "")), _moment(cells.get("ends", ""))
    except (ValueError, OverflowError, OSError):
        reading.refuse(", ".join(filter(None, cells.values())))
        return
    # SourceBans writes the moment of its beginning as the end of a permanent ban.
    if cells.get("length") == "0":
        expires_at = None
    if cells.get("removetype") or (expires_at is not None and expires_at <= now):
        reading.ended += 1
        return
    evidence = cells.get("evidence", "").removeprefix("'")
    reading.entries.append(
        Entry(
            target=target,
            name=storable(cells.get("name", "").removeprefix("'"), LONGEST_NAME),
            reason=storable(cells.get("reason", "").removeprefix("'"), LONGEST_REASON),
            evidence=evidence if evidence.startswith(("https://", "http://")) and len(evidence) <= 500 else "",
            created_at=created_at if created_at and created_at <= now else now,
            expires_at=expires_at,
        )
    )


def _moment(text: str) -> datetime | None:
    """A moment from seconds since 1970, as SourceBans counts, or in ISO form.

    Raises ValueError, OverflowError, OSError.
    """
    if not text or text == "0":
        return None
    if text.isascii() and text.isdecimal():
        return datetime.fromtimestamp(int(text), UTC)
    moment = datetime.fromisoformat(text)
    # In UTC, in which it is stored: the first and last days of the calendar may have no such moment.
    return moment.astimezone(UTC) if moment.tzinfo else timezone.make_aware(moment, UTC)


def _spelled(target: str) -> str:
    """The form that other programs read: theirs are STEAM_0 and STEAM_1 as often as numbers, and cut long numbers."""
    return targets.in_game(target) if targets.is_player(target) else target
