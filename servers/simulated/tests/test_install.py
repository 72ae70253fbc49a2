"""The tree that `install` writes."""

from __future__ import annotations

import os
import re
import sys

import pytest

from left4me.core.processes import commands
from servers.simulated import harness
from servers.simulated.install import install


def snapshot(tree):
    return {
        path.relative_to(tree): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in tree.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_installing_twice_changes_nothing(tmp_path):
    install(tmp_path)
    first = snapshot(tmp_path)
    install(tmp_path)
    assert snapshot(tmp_path) == first


def test_installing_repairs_a_damaged_tree_and_takes_out_what_no_longer_belongs(tmp_path):
    install(tmp_path)
    program = tmp_path / "bin" / "simulated" / "srcds"
    (program / "engine.py").write_text("broken")
    (program / "stale.py").write_text("")
    (tmp_path / "srcds_run").chmod(0o600)
    install(tmp_path)
    assert "class Engine" in (program / "engine.py").read_text()
    assert not (program / "stale.py").exists()
    assert (tmp_path / "srcds_run").stat().st_mode & 0o777 == 0o755


def test_the_tree_has_what_a_game_has_and_any_user_may_read_it(tmp_path):
    install(tmp_path)
    game = tmp_path / "left4dead2"
    assert "stuffcmds" in (game / "cfg" / "valve.rc").read_text()
    assert "appID=550" in (game / "steam.inf").read_text()
    assert len(list((game / "missions").glob("*.txt"))) == 14
    maps = (game / "maplist.txt").read_text().split()
    assert {path.stem for path in (game / "maps").glob("*.bsp")} == set(maps)
    assert not list(game.rglob("server.cfg"))
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o004, path


def test_a_tight_umask_shuts_nobody_out(tmp_path):
    before = os.umask(0o077)
    try:
        install(tmp_path / "game")
    finally:
        os.umask(before)
    for path in (tmp_path / "game").rglob("*"):
        assert path.stat().st_mode & 0o004, path
        assert path.is_file() or path.stat().st_mode & 0o001, path


def test_mission_files_name_their_chapters_in_order(tmp_path):
    install(tmp_path)
    text = (tmp_path / "left4dead2" / "missions" / "campaign2.txt").read_text()
    coop = text.split('"versus"')[0]
    assert '"DisplayTitle"\t"Dark Carnival"' in coop
    assert re.findall(r'"Map"\t\t"(\w+)"', coop)[0] == "c2m1_highway"
    assert len(re.findall(r'"Map"', coop)) == 5


def test_the_program_is_compiled_ahead_so_that_a_start_compiles_nothing(tmp_path):
    install(tmp_path)
    program = tmp_path / "bin" / "simulated" / "srcds"
    assert len(list((program / "__pycache__").glob("*.pyc"))) == len(list(program.glob("*.py")))


def test_another_interpreter_can_be_named_and_a_missing_one_is_reported(tmp_path):
    with harness.running(tmp_path, python=sys.executable) as sim:
        assert "reached" in sim.rcon("echo reached")
    with pytest.raises(commands.CommandMissing):
        install(tmp_path / "other", python="/nonexistent/python3")
    assert not (tmp_path / "other" / "srcds_run").exists()


def test_the_program_runs_from_a_path_with_blanks_and_from_a_relative_call(tmp_path):
    with harness.running(tmp_path / "a b'c") as sim:
        assert "map     : c1m1_hotel" in sim.rcon("status")


def test_srcds_run_splits_its_arguments_again_as_valves_does(tmp_path):
    install(tmp_path, python="/usr/bin/python3")
    main = tmp_path / "bin/simulated/srcds/server.py"
    main.write_text("import sys\ndef main():\n    print(sys.argv[1:])\n")
    for compiled in main.parent.glob("__pycache__/server.*"):
        compiled.unlink()
    output = commands.run([str(tmp_path / "srcds_run"), "+sv_tags", "a b"], timeout=20).output
    assert output.strip() == "['+sv_tags', 'a', 'b']"
