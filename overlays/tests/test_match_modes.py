"""Match modes in the files of a competitive pack."""

from __future__ import annotations

from pathlib import Path

import pytest

from left4me.core.files.tree import Tree
from overlays import match_modes
from overlays.models import OverlayMatchModes
from overlays.tests.factories import make_overlay

NAMES = "left4dead2/addons/sourcemod/configs/matchmodes.txt"
MATCH_MODES = """
"MatchModes"
{
    "Arenas" { "arena" { "name" "Arena 1.0" } "arena1v1" { "name" "1v1 Arena" } }
    "Others" { "gone" { "name" "Not in the pack" } }
}
"""
ARENA = """// Settings of the mode
l4d_ready_cfg_name "Arena v1.0"
confogl_addcvar mp_gamemode "versus"
confogl_addcvar survivor_limit 4
"""
DUEL = """confogl_addcvar l4d_ready_cfg_name "1v1 Arena"   // the pack keeps it
confogl_addcvar mp_gamemode versus
confogl_addcvar survivor_limit 1
"""


def lay(tree: Path) -> list[str]:
    """Put a pack with two modes into an overlay's directory; returns the paths."""
    put(tree / NAMES, MATCH_MODES)
    return [*lay_cfgs(tree, arena__confogl=ARENA, arena1v1__confogl=DUEL, shared__plugins="exec x\n"), NAMES]


def lay_cfgs(tree: Path, **cfgs: str) -> list[str]:
    """Put cfg files below `cfgogl`, named like `hard__confogl`; returns the paths."""
    paths = [f"left4dead2/cfg/cfgogl/{name.replace('__', '/')}.cfg" for name in cfgs]
    for path, text in zip(paths, cfgs.values(), strict=True):
        put(tree / path, text)
    return paths


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def record(overlay, tree: Path, paths: list[str]) -> None:
    with Tree(tree) as opened:
        match_modes.record(overlay, paths, tree=opened)


@pytest.fixture
def overlay(db, cast):
    return make_overlay(name="Pack", owner=cast.owner)


def test_modes_have_the_names_and_groups_of_the_pack_and_their_order(overlay, tmp_path: Path):
    record(overlay, tmp_path, lay(tmp_path))
    arena, duel = match_modes.of_layers([overlay.pk])
    assert (arena.code, arena.title, arena.group, arena.game_mode) == ("arena", "Arena 1.0", "Arenas", "versus")
    assert (arena.config, arena.players) == ("Arena v1.0", 8)
    # Set with the pack's own command, with a comment behind it.
    assert (duel.title, duel.config, duel.players) == ("1v1 Arena", "1v1 Arena", 2)


def test_a_mode_without_a_name_is_called_as_it_calls_itself(overlay, tmp_path: Path):
    paths = [path for path in lay(tmp_path) if not path.endswith("matchmodes.txt")]
    (tmp_path / NAMES).unlink()
    record(overlay, tmp_path, paths)
    assert {mode.title for mode in match_modes.of_layers([overlay.pk])} == {"Arena v1.0", "1v1 Arena"}


def test_files_that_a_mode_executes_count_in_their_order(overlay, tmp_path: Path):
    paths = lay_cfgs(
        tmp_path,
        duel__confogl="l4d_ready_cfg_name Duel\nconfogl_addcvar survivor_limit 1\nexec cfgogl/zone/shared.cfg//all\n",
        zone__shared="confogl_addcvar mp_gamemode versus // for all\nconfogl_addcvar survivor_limit 4\n"
        'l4d_ready_cfg_name "Zone"\nexec "cfgogl/zone/more"\nexec ../../server.cfg\nexec cfgogl/gone.cfg\n',
        zone__more="mp_gamemode coop\nexec cfgogl/zone/more.cfg\nl4d_ready_cfg_name Last\n",
    )
    record(overlay, tmp_path, paths)
    (duel,) = match_modes.of_layers([overlay.pk])
    # Of the settings that the pack keeps the first line counts, and it outdoes plain ones; of these the last.
    assert (duel.game_mode, duel.team_size, duel.config) == ("versus", 1, "Last")


@pytest.mark.parametrize(
    ("game_mode", "players"),
    [
        ("versus", 6),
        ("mutation11", 6),
        ("mutation12", 6),
        ("community3", 6),
        ("", 6),
        ("Coop", 3),
        ("mutation1", 3),
        ("mutation10", 3),
        ("mutation20", 3),
        ("community5", 3),
    ],
)
def test_a_match_without_playable_infected_has_one_team(overlay, tmp_path: Path, game_mode: str, players: int):
    cfg = f"confogl_addcvar mp_gamemode {game_mode}\nconfogl_addcvar survivor_limit 3\n"
    record(overlay, tmp_path, lay_cfgs(tmp_path, m__confogl=cfg))
    assert match_modes.of_layers([overlay.pk])[0].players == players


def test_the_upper_overlay_counts_for_names_and_for_modes(overlay, cast, tmp_path: Path):
    record(overlay, tmp_path / "below", lay(tmp_path / "below"))
    upper = make_overlay(name="Own names", owner=cast.owner)
    put(tmp_path / "above" / NAMES, '"MatchModes" { "League" { "ARENA" { "name" "League Arena" } } }')
    paths = lay_cfgs(tmp_path / "above", arena1v1__confogl="survivor_limit 3\n", own9__confogl="", own10__confogl="")
    record(upper, tmp_path / "above", [*paths, NAMES])
    modes = match_modes.of_layers([upper.pk, 0, overlay.pk])
    assert [(mode.code, mode.title, mode.group, mode.team_size) for mode in modes] == [
        ("arena", "League Arena", "League", 4),
        ("arena1v1", "1v1 Arena", "Arenas", 3),
        ("own9", "own9", "", 4),
        ("own10", "own10", "", 4),
    ]
    assert [mode.team_size for mode in match_modes.of_layers([overlay.pk, upper.pk])][:2] == [4, 1]


def test_modes_that_are_gone_are_forgotten(overlay, tmp_path: Path):
    paths = lay(tmp_path)
    record(overlay, tmp_path, paths)
    record(overlay, tmp_path, [])
    assert [row.modes for row in OverlayMatchModes.objects.all()] == [[]], "the names are still there"
    (tmp_path / NAMES).unlink()
    record(overlay, tmp_path, paths)
    assert len(OverlayMatchModes.objects.get().modes) == 2
    record(overlay, tmp_path, [])
    assert not OverlayMatchModes.objects.exists()


@pytest.mark.parametrize(
    ("limit", "size"),
    [("1", 1), ("8", 8), ("9", 4), ("0", 4), ("-1", 4), ("x", 4), ("100", 4), ("007", 4), ("٣", 4), ("", 4)],
)
def test_the_size_of_a_team_is_a_plausible_number(overlay, tmp_path: Path, limit: str, size: int):
    record(overlay, tmp_path, lay_cfgs(tmp_path, m__confogl=f'survivor_limit "{limit}"\n'))
    assert match_modes.of_layers([overlay.pk])[0].team_size == size


def test_what_is_very_long_is_cut_and_one_line(overlay, tmp_path: Path):
    cfg = f'l4d_ready_cfg_name "{"n" * 150}"\nmp_gamemode {"g" * 50}\n'
    paths = lay_cfgs(tmp_path, m__confogl=cfg)
    put(tmp_path / NAMES, f'"MatchModes" {{ "G{"r" * 150}" {{ "m" {{ "name" "a\tb{"t" * 150}" }} }} }}')
    record(overlay, tmp_path, paths)
    [mode] = match_modes.of_layers([overlay.pk])
    assert (mode.config, mode.game_mode) == ("n" * 100, "g" * 32)
    assert (mode.title, mode.group) == ("a b" + "t" * 97, "G" + "r" * 99)


def test_no_more_than_so_many_modes_and_names_are_read(overlay, tmp_path: Path):
    paths = [f"left4dead2/cfg/cfgogl/m{number:03}/confogl.cfg" for number in range(201)]
    names = " ".join(f'"m{number:03}" {{ "name" "Name" }}' for number in range(201))
    put(tmp_path / NAMES, f'"MatchModes" {{ "G" {{ {names} "m000" {{ "name" "Twice" }} "a b" {{ "name" "x" }} }} }}')
    record(overlay, tmp_path, reversed(paths))
    row = OverlayMatchModes.objects.get()
    assert [mode["code"] for mode in row.modes] == [f"m{number:03}" for number in range(200)]
    assert len(row.names) == 200
    assert row.names["m000"] == ["Name", "G"]


def nest(tree: Path, depth: int) -> list[str]:
    """A mode whose files execute one another, the last of which sets the size of the team."""
    cfgs = {f"m__c{number}": f"exec cfgogl/m/c{number + 1}\n" for number in range(1, depth)}
    cfgs[f"m__c{depth}"] = "survivor_limit 2\n"
    return lay_cfgs(tree, m__confogl="exec cfgogl/m/c1\n", **cfgs)


@pytest.mark.parametrize(("depth", "is_read"), [(7, True), (8, False)])
def test_files_are_executed_within_one_another_to_a_depth(overlay, tmp_path: Path, depth: int, is_read: bool):
    record(overlay, tmp_path, nest(tmp_path, depth))
    assert match_modes.of_layers([overlay.pk])[0].team_size == (2 if is_read else 4)


@pytest.mark.parametrize(("count", "is_read"), [(39, True), (40, False)])
def test_no_more_than_so_many_files_are_executed(overlay, tmp_path: Path, count: int, is_read: bool):
    cfg = "exec cfgogl/m/empty\n" * (count - 1) + "execifexists cfgogl/m/last\n"
    paths = lay_cfgs(tmp_path, m__confogl=cfg, m__empty="", m__last="survivor_limit 2\n")
    record(overlay, tmp_path, paths)
    assert match_modes.of_layers([overlay.pk])[0].team_size == (2 if is_read else 4)


@pytest.mark.parametrize(
    "path",
    [
        "left4dead2/cfg/cfgogl/m/sub/confogl.cfg",
        "left4dead2/cfg/cfgogl/confogl.cfg",
        "left4dead2/cfg/cfgogl/m/other.cfg",
        "left4dead2/cfg/other/m/confogl.cfg",
        "other/cfg/cfgogl/m/confogl.cfg",
        f"left4dead2/cfg/cfgogl/{'m' * 33}/confogl.cfg",
    ],
)
def test_other_files_are_no_modes(overlay, tmp_path: Path, path: str):
    put(tmp_path / path, "survivor_limit 2\n")
    record(overlay, tmp_path, [path])
    assert not OverlayMatchModes.objects.exists()


def test_a_large_file_is_read_as_far_as_it_may_be(overlay, tmp_path: Path):
    comment = "// " + "x" * (256 * 1024 - 4) + "\n"
    line = "survivor_limit 2\n"
    first = lay_cfgs(tmp_path, m__confogl=comment[len(line) :] + line, n__confogl=comment + line)
    record(overlay, tmp_path, first)
    assert {mode.code: mode.team_size for mode in match_modes.of_layers([overlay.pk])} == {"m": 2, "n": 4}


def test_folders_that_cannot_be_named_in_a_command_are_left_out(overlay, tmp_path: Path):
    bad = "left4dead2/cfg/cfgogl/arena; quit/confogl.cfg"
    (tmp_path / bad).parent.mkdir(parents=True)
    (tmp_path / bad).write_text('l4d_ready_cfg_name "x"')
    record(overlay, tmp_path, [bad])
    assert not OverlayMatchModes.objects.exists()
