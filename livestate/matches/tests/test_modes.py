"""Match modes in the files of a competitive pack."""

from __future__ import annotations

from pathlib import Path

import pytest

from left4me.core.files.tree import Tree
from livestate.matches.tests import factories
from overlays import match_modes
from overlays.models import OverlayMatchModes
from overlays.tests.factories import make_overlay


def record(overlay, tree: Path, paths: list[str]) -> None:
    with Tree(tree) as opened:
        match_modes.record(overlay, paths, tree=opened)


@pytest.fixture
def overlay(db, cast):
    return make_overlay(name="Pack", owner=cast.owner)


def test_modes_have_the_names_and_groups_of_the_pack_and_their_order(overlay, tmp_path: Path):
    record(overlay, tmp_path, factories.lay(tmp_path))
    arena, duel = match_modes.of_layers([overlay.pk])
    assert (arena.code, arena.title, arena.group, arena.game_mode) == ("arena", "Arena 1.0", "Arenas", "versus")
    assert (arena.config, arena.players) == ("Arena v1.0", 8)
    # Set with the pack's own command, with a comment behind it.
    assert (duel.title, duel.config, duel.players) == ("1v1 Arena", "1v1 Arena", 2)


def test_a_mode_without_a_name_is_called_as_it_calls_itself(overlay, tmp_path: Path):
    paths = [path for path in factories.lay(tmp_path) if not path.endswith("matchmodes.txt")]
    (tmp_path / "left4dead2/addons/sourcemod/configs/matchmodes.txt").unlink()
    record(overlay, tmp_path, paths)
    assert {mode.title for mode in match_modes.of_layers([overlay.pk])} == {"Arena v1.0", "1v1 Arena"}


def lay_cfgs(tree: Path, **cfgs: str) -> list[str]:
    """Put cfg files below `cfgogl`, named like `hard__confogl`; returns the paths."""
    paths = [f"left4dead2/cfg/cfgogl/{name.replace('__', '/')}.cfg" for name in cfgs]
    for path, text in zip(paths, cfgs.values(), strict=True):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    return paths


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


@pytest.mark.parametrize(("game_mode", "players"), [("versus", 6), ("mutation12", 6), ("coop", 3), ("community5", 3)])
def test_a_match_without_playable_infected_has_one_team(overlay, tmp_path: Path, game_mode: str, players: int):
    cfg = f"confogl_addcvar mp_gamemode {game_mode}\nconfogl_addcvar survivor_limit 3\n"
    record(overlay, tmp_path, lay_cfgs(tmp_path, m__confogl=cfg))
    assert match_modes.of_layers([overlay.pk])[0].players == players


def test_the_upper_overlay_counts_for_names_and_for_modes(overlay, cast, tmp_path: Path):
    record(overlay, tmp_path / "below", factories.lay(tmp_path / "below"))
    upper = make_overlay(name="Own names", owner=cast.owner)
    names = tmp_path / "above/left4dead2/addons/sourcemod/configs/matchmodes.txt"
    names.parent.mkdir(parents=True)
    names.write_text('"MatchModes" { "League" { "ARENA" { "name" "League Arena" } } }')
    record(upper, tmp_path / "above", ["left4dead2/addons/sourcemod/configs/matchmodes.txt"])
    first, *_others = match_modes.of_layers([upper.pk, overlay.pk])
    assert (first.code, first.title, first.group) == ("arena", "League Arena", "League")


def test_folders_that_cannot_be_named_in_a_command_are_left_out(overlay, tmp_path: Path):
    bad = "left4dead2/cfg/cfgogl/arena; quit/confogl.cfg"
    (tmp_path / bad).parent.mkdir(parents=True)
    (tmp_path / bad).write_text('l4d_ready_cfg_name "x"')
    record(overlay, tmp_path, [bad])
    assert not OverlayMatchModes.objects.exists()
