"""What people do: the seeded history, its record, and moderation."""

from __future__ import annotations

import json
import re


def history(path) -> list[tuple]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    first = rows[0]["at"]
    return [(row["event"], row.get("name") or row.get("map"), round(row["at"] - first, 1)) for row in rows]


def recorded(start, tmp_path, *, name: str, seed: int, count: int = 30) -> list[tuple]:
    path = tmp_path / f"{name}.jsonl"
    sim = start("+sim_seed", str(seed), "+sim_record", str(path), name=name, env={"SIM_PLAYERS": "auto"})
    sim.rcon("sim_speed 3000")
    while path.read_text().count("\n") < count:
        assert sim.process.poll() is None
    sim.process.kill()
    return history(path)[:count]


def test_the_same_seed_gives_the_same_history_and_another_seed_another(start, tmp_path):
    first = recorded(start, tmp_path, name="a", seed=1)
    second = recorded(start, tmp_path, name="b", seed=1)
    other = recorded(start, tmp_path, name="c", seed=2)
    assert [row[:2] for row in first] == [row[:2] for row in second]
    assert [row[2] for row in first] == [row[2] for row in second]
    assert [row[:2] for row in first] != [row[:2] for row in other]
    assert {event for event, _, _ in first} == {"join", "leave", "map"}


def test_log_lines_read_as_srcds_writes_them(start):
    sim = start("+sim_players", "1")
    line = sim.wait_for_line("connected, address")
    assert re.match(
        r'^L \d\d/\d\d/\d{4} - \d\d:\d\d:\d\d: ".+<\d+><STEAM_1:[01]:\d+><>" connected, address "[\d.]+:\d+"\n$', line
    )
    sim.rcon("sim_chat hello there")
    assert '<Survivor>" say "hello there"' in sim.wait_for_line("hello there")
    sim.rcon("sim_players 0")
    assert 'disconnected (reason "Disconnect by user.")' in sim.wait_for_line("disconnected")
    sim.wait_for_line("Server is hibernating")


def test_people_keep_their_number_and_survive_a_changelevel_but_not_a_map(start):
    sim = start("-maxplayers", "8", "+sim_players", "3")
    before = set(re.findall(r"STEAM_1:\d:\d+", sim.rcon("status")))
    sim.send("changelevel c1m2_streets")
    sim.wait_for_line('Started map "c1m2_streets"')
    assert set(re.findall(r"STEAM_1:\d:\d+", sim.rcon("status"))) == before
    sim.send("map c1m3_mall")
    sim.wait_for_line('Started map "c1m3_mall"')
    assert sum('disconnected (reason "Server shutting down")' in line for line in sim.output) == 3


def test_people_walk_through_the_chapters_by_themselves(start):
    sim = start("+sim_players", "2", env={"SIM_CHAPTER_SECONDS": "30"})
    sim.rcon("sim_speed 100")
    for name in ("c1m2_streets", "c1m3_mall", "c1m4_atrium", "c2m1_highway"):
        sim.wait_for_line(f'Started map "{name}"')


def test_named_people_join_and_leave(start):
    sim = start("-maxplayers", "2")
    assert "joined" in sim.rcon('sim_join "Zoë; the 1st"')
    assert '"Zoë; the 1st"' in sim.rcon("status")
    assert "refused" in sim.rcon('sim_join "Zoë; the 1st"')
    assert "joined" in sim.rcon("sim_join second")
    assert "refused" in sim.rcon("sim_join third")
    sim.rcon("sim_leave second")
    assert "1 humans" in sim.rcon("status")


def test_a_kick_takes_the_userid_and_not_the_slot(start):
    sim = start("-maxplayers", "8", "+sim_players", "2")
    userid, name = re.findall(r'^# +(\d+) 2 "(.*)" STEAM', sim.rcon("status"), re.MULTILINE)[0]
    assert "not found" in sim.rcon("kickid 99")
    sim.rcon(f'kickid {userid} "be nice"')
    assert f'"{name}<{userid}>' in sim.wait_for_line('disconnected (reason "be nice")')
    assert "1 humans" in sim.rcon("status")


def test_a_kick_by_name_ignores_case(start):
    sim = start()
    sim.rcon("sim_join Someone")
    assert "name not found" in sim.rcon("kick nobody")
    sim.rcon("kick SOMEONE")
    assert "0 humans" in sim.rcon("status")


def test_a_banned_person_stays_out_until_the_ban_is_lifted(start):
    sim = start()
    sim.rcon("sim_join Troll")
    steam_id = re.search(r"STEAM_1:\d:\d+", sim.rcon("status")).group()
    sim.rcon(f"banid 0 {steam_id} kick")
    assert "0 humans" in sim.rcon("status")
    assert "refused" in sim.rcon("sim_join Troll")
    assert sim.rcon("listid") == f"ID filter list: 1 entry\n1 {steam_id} : permanent\n"
    sim.rcon("writeid")
    assert (sim.tree / "left4dead2/cfg/banned_user.cfg").read_bytes() == f"banid 0 {steam_id}\r\n".encode()
    assert "removed" in sim.rcon(f"removeid {steam_id}")
    assert "joined" in sim.rcon("sim_join Troll")


def test_a_banned_address_throws_out_who_has_it_and_lets_nobody_of_it_in(start):
    sim = start()
    sim.rcon("sim_join Troll")
    sim.rcon("addip 0 192.0.2.0;addip 0 198.51.100.0;addip 30 203.0.113.0")
    assert "0 humans" in sim.rcon("status")
    assert "refused" in sim.rcon("sim_join Troll")
    assert sim.rcon("listip").splitlines() == [
        "IP filter list: 3 entries",
        "1 192.  0.  2.  0 : permanent",
        "2 198. 51.100.  0 : permanent",
        "3 203.  0.113.  0 : 30.000 min",
    ]
    sim.rcon("removeip 192.0.2.0;removeip 198.51.100.0;removeip 203.0.113.0")
    assert "joined" in sim.rcon("sim_join Troll")


def test_a_ban_for_minutes_ends_by_itself(start):
    sim = start()
    sim.rcon("banid 5 STEAM_1:1:7")
    assert "1 STEAM_1:1:7 : 5.000 min" in sim.rcon("listid")
    sim.rcon("sim_speed 10000")
    while "empty" not in sim.rcon("listid"):
        assert sim.process.poll() is None


def test_the_record_tells_the_whole_story(start, tmp_path):
    path = tmp_path / "record.jsonl"
    sim = start("+sim_record", str(path))
    sim.rcon("sim_join Ann")
    sim.rcon("sim_leave Ann")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["event"] for row in rows] == ["map", "join", "leave"]
    assert rows[1]["name"] == "Ann"
    assert rows[1]["steam_id_64"] == rows[2]["steam_id_64"]
    assert int(rows[1]["steam_id_64"]) > 76561197960265728
    assert rows[0]["real_at"] <= rows[1]["real_at"] <= rows[2]["real_at"]


def test_a_clock_driven_faster_than_the_machine_leaves_rcon_its_turn(start):
    # Without map changes, which would lose the requests of their time.
    busy = {"SIM_JOIN_SECONDS": "1", "SIM_CHAT_SECONDS": "1", "SIM_CHAPTER_SECONDS": "1000000000"}
    sim = start("-maxplayers", "32", env={"SIM_PLAYERS": "auto", **busy})
    sim.rcon("sim_speed 1000000")
    for _ in range(5):
        assert "reached" in sim.rcon("echo reached", timeout=20)


def test_everybody_leaves_the_record_when_the_server_ends(start, tmp_path):
    path = tmp_path / "record.jsonl"
    sim = start("+sim_record", str(path), "+sim_players", "2")
    sim.process.terminate()
    sim.process.wait()
    events = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert events == ["map", "join", "join", "leave", "leave"]
