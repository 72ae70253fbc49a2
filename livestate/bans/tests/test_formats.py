from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from livestate.bans import formats
from livestate.bans.tests.factories import make_ban, make_list

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ZOEY, BILL = "76561197960265829", "76561197960265930"
START = int(NOW.timestamp()) - 3600
SOURCEBANS = (
    "bid,ip,authid,name,created,ends,length,reason,aid,adminIp,sid,country,RemovedBy,RemoveType,RemovedOn,type,ureason\n"
    f'1,192.0.2.1,STEAM_0:1:50,"Zoey, the ""one""",{START},{START},0,Cheating,1,,0,,,,,0,\n'
    f"2,203.0.113.7,STEAM_0:0:1,Louis,{START},{START + 7200},7200,Spam,1,,0,,,,,1,\n"
    f"3,,STEAM_0:0:101,Bill,{START},{START + 60},60,Short,1,,0,,,,,0,\n"
    f"4,,STEAM_0:0:2,Francis,{START},{START},0,Mistake,1,,0,,1,U,{START},0,sorry\n"
    "5,,STEAM_ID_LAN,Nobody,0,0,0,,1,,0,,,,,0,\n"
)


def targets(reading: formats.Reading) -> dict[str, datetime | None]:
    return {entry.target: entry.expires_at for entry in reading.entries}


def test_the_files_of_a_game_are_read():
    reading = formats.read(b"\xef\xbb\xbf// mine\nbanid 0 STEAM_1:1:50\r\naddip 30 203.0.113.0\r\nsay hi\r\n", now=NOW)
    assert targets(reading) == {ZOEY: None, "203.0.113.0/24": NOW + timedelta(minutes=30)}
    assert (reading.faults, reading.fault_count) == (["say hi"], 1)


def test_a_plain_list_of_players_is_read():
    assert set(targets(formats.read(f"{ZOEY}\n[U:1:202]\n\n# the rest\n", now=NOW))) == {ZOEY, BILL}


def test_a_table_of_sourcebans_is_read_without_what_has_ended():
    reading = formats.read(SOURCEBANS, now=NOW)
    assert targets(reading) == {ZOEY: None, "203.0.113.7": NOW + timedelta(hours=1)}
    assert (reading.ended, reading.fault_count) == (2, 1)
    zoey = reading.entries[0]
    assert (zoey.name, zoey.reason, zoey.created_at) == ('Zoey, the "one"', "Cheating", NOW - timedelta(hours=1))


def test_the_same_table_with_tabs_or_semicolons_is_read():
    row = f"authid;name;created;ends;length\nSTEAM_0:1:50;Zoey;{START};0;0\n"
    assert (
        targets(formats.read(row, now=NOW)) == targets(formats.read(row.replace(";", "\t"), now=NOW)) == {ZOEY: None}
    )


@pytest.mark.parametrize("columns", ["", " (`bid`, `ip`, `authid`, `name`, `created`, `ends`, `length`, `reason`)"])
def test_a_dump_of_the_database_of_sourcebans_is_read(columns):
    rest = "" if columns else ", 1, '', 0, NULL, NULL, NULL, NULL, 0, NULL"
    dump = (
        "-- dump\nCREATE TABLE `sb_bans` (x);\n"
        f"INSERT INTO `sb_bans`{columns} VALUES "
        f"(1, NULL, 'STEAM_0:1:50', 'O\\'Zoey (1)', {START}, {START}, 0, 'It''s; bad'{rest}),\n"
        f"(2, NULL, 'STEAM_0:0:101', 'Bill', {START}, {START + 7200}, 7200, 'x'{rest});\nDROP TABLE sb_bans;\n"
    )
    reading = formats.read(dump, now=NOW)
    assert targets(reading) == {ZOEY: None, BILL: NOW + timedelta(hours=1)}
    assert (reading.entries[0].name, reading.entries[0].reason) == ("O'Zoey (1)", "It's; bad")


@pytest.mark.parametrize("text", ["", "\n\n", "authid\n", "INSERT INTO sb_bans VALUES ('", '"', "a,b\n1,2\n", "\0"])
def test_a_file_of_something_else_contains_no_ban(text):
    assert formats.read(text, now=NOW).entries == []


@pytest.mark.django_db
def test_what_is_exported_is_read_back_as_it_was(cast):
    bans = make_list(cast.owner)
    make_ban(bans, 101, name="=Zoey", reason="-x", evidence="https://example.org/1")
    make_ban(bans, 202, name="Bill", expires_at=datetime(2100, 1, 1, tzinfo=UTC))
    make_ban(bans, target="203.0.113.0/24", name="")
    rows = list(bans.bans.order_by("pk"))
    reading = formats.read(formats.write_csv(rows).encode(), now=datetime(2090, 1, 1, tzinfo=UTC))
    expected = [(row.target, row.name, row.reason, row.evidence, row.created_at, row.expires_at) for row in rows]
    assert [(e.target, e.name, e.reason, e.evidence, e.created_at, e.expires_at) for e in reading.entries] == expected
    assert formats.write_cfg(rows, name="banned_user.cfg") == "banid 0 STEAM_1:1:50\n"
    assert formats.write_cfg(rows, name="banned_ip.cfg") == "addip 0 203.0.113.0\n"
