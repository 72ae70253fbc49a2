"""The answer to `status`: the shape is what the panel's parser lives on."""

from __future__ import annotations

import re

import pytest

from servers.simulated.srcds.status import connected

HUMAN = re.compile(
    r'^# [ \d]\d+ (\d+) "(.*)" (STEAM_1:[01]:\d+) ( ?\d+:\d\d:\d\d|\d\d:\d\d) (\d+) (\d+) (active|spawning) (\d+) '
    r"(\d+\.\d+\.\d+\.\d+:\d+)$"
)
BOT = re.compile(r'^#[ \d]\d+ "([A-Z]\w+)" BOT active$')


def test_an_empty_server_answers_in_the_shape_of_the_game(shared):
    assert shared.rcon("status").split("\n") == [
        "hostname: Left 4 Dead 2",
        "version : 2.2.4.3 10097 secure  (unknown)",
        f"udp/ip  : 127.0.0.1:{shared.port} [ public n/a ]",
        "os      : Linux Dedicated",
        "map     : c1m1_hotel",
        "players : 0 humans, 0 bots (8 max) (hibernating) (unreserved)",
        "",
        "# userid name uniqueid connected ping loss state rate adr",
        "#end",
        "",
    ]


def test_people_and_bots_have_rows_and_the_head_counts_people_alone(start):
    text = start("-maxplayers", "4", "+sim_players", "3").rcon("status")
    assert "players : 3 humans, 0 bots (4 max) (not hibernating) (unreserved)" in text
    rows = text.split(" adr\n")[1].split("#end")[0].splitlines()
    assert len([row for row in rows if HUMAN.match(row)]) == 3
    assert len([row for row in rows if BOT.match(row)]) == 1


def test_the_survivors_of_the_first_game_play_its_campaigns(start):
    text = start("+map", "c8m1_apartment", "+sim_players", "1").rcon("status")
    assert set(re.findall(r'"(\w+)" BOT', text)) < {"Bill", "Zoey", "Francis", "Louis"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00"), (59, "00:59"), (3599, "59:59"), (3600, " 1:00:00"), (93787, "26:03:07"), (612059, "170:00:59")],
)
def test_the_time_connected_is_padded_as_in_the_game(seconds, text):
    assert connected(seconds) == text


def test_times_run_on_over_a_map_change_and_the_state_is_spawning_after_it(start):
    sim = start("+sim_players", "1", env={"SIM_CHAPTER_SECONDS": "100000000", "SIM_CHAT_SECONDS": "0"})
    sim.rcon("sim_speed 5000")
    while not re.search(r" +\d+:\d\d:\d\d ", sim.rcon("status")):
        pass
    sim.rcon("sim_speed 1; sim_map_load_seconds 0.1")
    sim.send("changelevel c1m2_streets")
    sim.wait_for_line('Started map "c1m2_streets"')
    row = next(line for line in sim.rcon("status").splitlines() if HUMAN.match(line))
    assert " spawning " in row
    assert re.search(r" +\d+:\d\d:\d\d ", row)


def test_thirty_two_people_with_long_names_need_more_than_one_packet(start):
    sim = start("-maxplayers", "32", "+sim_names", "long", "+sim_players", "32", server_cfg=f"hostname {'x' * 200}")
    text = sim.rcon("status")
    assert len(text.encode()) > 3900
    assert len([line for line in text.splitlines() if HUMAN.match(line)]) == 32
    assert text.endswith("#end\n")


def test_hostile_names_stand_unescaped_in_their_rows(start):
    text = start("-maxplayers", "32", "+sim_names", "hostile", "+sim_players", "17").rcon("status")
    assert '"<script>alert(1)</script>"' in text
    assert '"#end"' in text
    assert '"say "hi" now"' in text


def test_a_file_replaces_the_answer_byte_by_byte_until_taken_back(start, tmp_path):
    sample = tmp_path / "sample.txt"
    data = b'hostname: x\xff\xfe\r\nplayers : 1 humans\n#  2 1 "n'
    sample.write_bytes(data)
    sim = start()
    sim.rcon(f"sim_status_file {sample}")
    assert sim.rcon("status") == data.decode(errors="replace")
    sim.rcon("sim_status_file")
    assert sim.rcon("status").endswith("#end\n")


def test_each_shape_deforms_the_answer_in_its_way(start):
    sim = start("+sim_players", "2")

    def shaped(name: str) -> str:
        sim.rcon(f"sim_status_shape {name}")
        return sim.rcon("status")

    assert shaped("empty") == ""
    assert shaped("unknown") == 'Unknown command "status"\n'
    assert "#end" not in shaped("no_end")
    assert "#end" not in shaped("truncated")
    assert shaped("no_adr").split("\n")[7].endswith("state rate")
    assert "\r\n#end\r\n" in shaped("crlf")
    assert "#end\nL " in shaped("log_line")
    assert shaped("header_only").startswith("] status\nhostname")
    assert shaped('""').endswith("#end\n")


def test_a_lobby_can_reserve_the_server(start):
    assert "(reserved 18600009dfa92fc)" in start("+sim_reserved", "18600009dfa92fc").rcon("status")
