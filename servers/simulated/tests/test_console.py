"""Start order, cfg files and variables, as a server shows them to RCON."""

import pytest

from servers.simulated import harness


def value(sim: harness.Sim, name: str) -> str:
    return sim.rcon(name).split('"')[3]


def test_the_last_assignment_wins_across_autoexec_command_line_and_server_cfg(start):
    files = {"cfg/autoexec.cfg": b"hostname first\nsv_contact first\nsv_tags first\n"}
    sim = start("+sv_contact", "second", "+hostname", "second", server_cfg="hostname third", files=files)
    assert [value(sim, name) for name in ("sv_tags", "sv_contact", "hostname")] == ["first", "second", "third"]


def test_exec_runs_the_file_in_its_place_so_that_later_lines_override_it(start):
    files = {
        "cfg/server_overlay_1.cfg": b"hostname bottom\nsv_contact bottom\n",
        "cfg/server_overlay_2.cfg": b"hostname top",
    }
    lines = "exec server_overlay_1\nexec server_overlay_2.cfg; sv_tags last // comment"
    sim = start(server_cfg=lines, files=files)
    assert [value(sim, name) for name in ("hostname", "sv_contact", "sv_tags")] == ["top", "bottom", "last"]


def test_server_cfg_runs_again_at_every_map_load_and_autoexec_does_not(start):
    sim = start(server_cfg="hostname configured", files={"cfg/autoexec.cfg": b"sv_contact once\n"})
    sim.rcon("hostname changed; sv_contact changed")
    sim.send("changelevel c1m2_streets")
    sim.wait_for_line('Started map "c1m2_streets"')
    assert value(sim, "hostname") == "configured"
    assert value(sim, "sv_contact") == "changed"


def test_a_map_has_a_cfg_of_its_own_that_runs_after_server_cfg(start):
    sim = start(server_cfg="hostname general", files={"cfg/c1m1_hotel.cfg": b"hostname hotel\n"})
    assert value(sim, "hostname") == "hotel"


def test_an_alias_can_shadow_nothing_but_unknown_names(start):
    sim = start(server_cfg='alias hello "echo hi; echo there"\nalias hostname "echo no"')
    assert sim.rcon("hello") == "hi \nthere \n"


def test_files_that_exec_each_other_end(start):
    sim = start(files={"cfg/loop.cfg": b"exec loop\n" * 4})
    assert "too deep" in sim.rcon("exec loop")
    sim.rcon('alias again "again; again; again; again"')
    assert sim.rcon("again") == ""


def test_exec_reads_nothing_outside_the_cfg_directory(shared):
    assert "invalid path" in shared.rcon("exec ../../../etc/passwd")
    assert "invalid path" in shared.rcon("exec /etc/passwd")


def test_an_overlong_line_is_skipped_as_a_whole(shared):
    assert "overflows the tokenizer buffer" in shared.rcon(f"hostname {'x' * 600}")
    assert value(shared, "hostname") == "Left 4 Dead 2"


def test_an_unknown_command_is_named(shared):
    assert shared.rcon("no_such_thing 1") == 'Unknown command "no_such_thing"\n'


def test_cvarlist_and_find_choose_by_name(shared):
    listed = shared.rcon("cvarlist sv_rcon")
    assert "sv_rcon_banpenalty" in listed
    assert "hostname" not in listed
    assert '"sv_rcon_log" = "1"' in shared.rcon("find sv_rcon_log")


def test_variables_tell_value_and_default(start):
    sim = start(server_cfg="z_difficulty Hard")
    assert sim.rcon("z_difficulty").startswith('"z_difficulty" = "Hard" ( def. "Normal" )\n')
    assert sim.rcon("sm_cvar mp_gamemode versus") == '[SM] Changed cvar "mp_gamemode" to "versus".\n'
    assert "(8 max)" in sim.rcon("status")


def test_a_missing_valve_rc_leaves_it_asleep_and_refusing_every_login(start):
    sim = start(files={"cfg/valve.rc": None}, wait=False)
    sim.wait_for_line("'valve.rc' not present")
    assert "Server is hibernating" in sim.text
    with pytest.raises(PermissionError):
        sim.rcon("status")
    assert "Started map" not in sim.text


def test_the_texts_for_players_are_read_at_each_map_and_not_if_they_are_too_big(start):
    files = {"motd.txt": b"above", "cfg/motd.txt": b"x" * 2049, "cfg/ours.txt": b"ours", "cfg/host.txt": b"banner"}
    sim = start(server_cfg="motdfile ours.txt", files=files)
    assert [sim.rcon(f"sim_text {name}").strip() for name in ("motd", "hostfile")] == ["", "banner"]
    sim.send("changelevel c1m2_streets")
    sim.wait_for_line('Started map "c1m2_streets"')
    assert sim.rcon("sim_text motd").strip() == "ours"
