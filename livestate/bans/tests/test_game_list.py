from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from livestate.bans import game_list, targets
from livestate.bans.game_list import Entry
from servers.gamehost.rcon import packets

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ZOEY, BILL = "76561197960265829", "76561197960265930"
LISTED = """\
ID filter list: 2 entries
1 STEAM_1:1:50 : permanent
2 STEAM_1:0:101 : 30.000 min
IP filter list: 1 entry
1 203.  0.113.  7 : permanent
"""


def test_both_lists_are_read_from_one_answer():
    assert game_list.parse(LISTED) == {
        ZOEY: Entry("STEAM_1:1:50", 0),
        BILL: Entry("STEAM_1:0:101", 30),
        "203.0.113.7": Entry("203.0.113.7", 0),
    }
    assert game_list.parse("ID filter list: empty\nIP filter list: empty\n") == {}


@pytest.mark.parametrize(
    "answer", ["", LISTED[:60], LISTED.replace("1 203.  0.113.  7 : permanent\n", ""), 'Unknown command "listid"\n']
)
def test_an_answer_that_was_cut_off_proves_nothing(answer):
    with pytest.raises(game_list.NotList):
        game_list.parse(answer)


def test_lines_of_the_log_within_the_answer_do_not_disturb():
    noise = 'L 03/01/2026 - 12:00:00: rcon from "127.0.0.1:4": command "listid"\n'
    assert game_list.parse(LISTED + noise) == game_list.parse(LISTED)


def test_entries_that_belong_to_no_list_do_not_hide_those_behind_them():
    lan = LISTED.replace("2 entries\n", "3 entries\n1 STEAM_ID_LAN : permanent\n")
    lan = lan.replace("1 entry\n", "2 entries\n1 127.  0.  0.  1 : permanent\n")
    assert game_list.parse(lan) == game_list.parse(LISTED)
    text = "banid 0 STEAM_ID_LAN\nexec x.cfg\naddip 0 999.1.1.1\nbanid 30 STEAM_1:1:50\n"
    assert list(game_list.parse_file(text)) == [(ZOEY, 30.0)]


def changes(listed=(), wanted=(), known=()):
    entries = {target: Entry(targets.in_game(target), minutes) for target, minutes in dict(listed).items()}
    return game_list.compare(entries, dict(wanted), dict(known), now=NOON)


def test_what_is_missing_is_added_with_the_time_that_is_left():
    found = changes(wanted={ZOEY: None, BILL: NOON + timedelta(minutes=90)})
    assert found.add == {ZOEY: 0, BILL: 90}


def test_what_left4me_banned_and_no_longer_wants_is_removed_by_the_listed_text():
    assert changes(listed={ZOEY: 0}, known={ZOEY: None}).remove == {ZOEY: "STEAM_1:1:50"}


def test_what_left4me_never_banned_is_foreign_and_stays():
    found = changes(listed={ZOEY: 0, BILL: 5})
    assert (found.foreign, found.remove) == ({ZOEY: 0, BILL: 5}, {})


def test_a_ban_that_is_there_is_not_sent_again():
    until = NOON + timedelta(minutes=9)
    known = {ZOEY: None, BILL: until.isoformat()}
    assert not changes(listed={ZOEY: 0, BILL: 30}, wanted={ZOEY: None, BILL: until}, known=known).add


def test_a_ban_of_another_length_is_sent_again():
    until = NOON + timedelta(minutes=9)
    assert changes(listed={ZOEY: 0}, wanted={ZOEY: until}, known={ZOEY: None}).add == {ZOEY: 9}
    assert changes(listed={ZOEY: 30}, wanted={ZOEY: None}, known={ZOEY: None}).add == {ZOEY: 0}
    earlier = (NOON + timedelta(minutes=5)).isoformat()
    assert changes(listed={ZOEY: 30}, wanted={ZOEY: until}, known={ZOEY: earlier}).add == {ZOEY: 9}


def test_a_ban_in_its_last_moment_does_not_become_permanent():
    (packet,) = game_list.commands(changes(wanted={ZOEY: NOON + timedelta(milliseconds=1)}))
    assert packet.startswith("banid 0.02 ")


def test_many_commands_share_a_packet_and_none_is_too_long():
    wanted = {str(76561197960265729 + 4_000_000 * number): None for number in range(500)} | {"203.0.113.0/24": None}
    sent = game_list.commands(changes(wanted=wanted))
    assert len(sent) <= 20
    assert max(len(packet) for packet in sent) <= packets.LONGEST_BODY_SENT
    assert sum(packet.count("banid") for packet in sent) == 500
    assert sent[-1].endswith("addip 0 203.0.113.0;writeid;writeip")


def test_lines_of_a_ban_file_are_read_whoever_wrote_them():
    text = 'banid 0 STEAM_1:1:50\r\nBANID 30 "[U:1:202]" kick // troll\naddip 0 203.0.113.7\nexec a.cfg\nbanid x y\n'
    assert dict(game_list.parse_file(text)) == {ZOEY: 0, BILL: 30, "203.0.113.7": 0}
