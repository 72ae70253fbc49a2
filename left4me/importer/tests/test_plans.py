"""What an import finds in directories as tools and people leave them, without writing anything."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from left4me.importer import plan as plans
from left4me.importer import report
from left4me.importer.plan import Tree
from left4me.importer.source import BadSource
from left4me.importer.tests import shapes
from left4me.importer.tests.conftest import Read
from left4me.testing.simulated_steam import SimulatedSteam
from servers.tests.factories import install_game

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("steam")]

Old = Callable[[str], Path]


def install_stock(root: Path) -> None:
    shapes.write(install_game(root).path, shapes.stock_files())


def targets(tree: Tree) -> set[str]:
    return set(tree.files.paths)


def left(tree: Tree, reason: str) -> set[str]:
    return set(tree.left[reason].paths) if reason in tree.left else set()


@pytest.mark.parametrize("is_installed", [True, False])
@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_what_the_operator_added_is_taken_and_the_game_is_left(
    shape: str, is_installed: bool, old: Old, read: Read, root: Path
):
    if is_installed:
        install_stock(root)
    reading = read(old(shape))
    (tree,) = reading.plan.trees
    assert reading.plan.kind == shape
    assert {"left4dead2/addons/ours.vpk", "left4dead2/addons/sourcemod/plugins/one.smx"} <= targets(tree)
    assert not {path for path in targets(tree) if path.endswith((".so", ".log", ".dem", "server.cfg", ".bsp"))}
    assert [len(files) for files in reading.files] == [tree.files.count]
    assert json.loads(json.dumps(reading.plan.as_json())) == plans.from_json(reading.plan.as_json()).as_json()
    assert shapes.HIDDEN not in json.dumps(reading.plan.as_json())
    assert list(report.lines(reading.plan))


def test_the_instances_of_linuxgsm_become_servers_with_their_own_settings(old: Old, read: Read, root: Path):
    (tree,) = read(old("linuxgsm")).plan.trees
    first, second = tree.servers
    assert (first.name, first.port) == ("Anna's versus", 27035)
    assert first.arguments.split("\n") == ["+map c2m1_highway", "-maxplayers 12"]
    assert "z_difficulty Hard" in first.config
    assert "hostname" not in first.config
    assert first.config_from == "serverfiles/left4dead2/cfg/l4d2server.cfg"
    assert (second.name, second.port, second.config) == ("Second", 27045, "mp_gamemode coop")
    assert second.arguments.startswith("+map c5m1_waterfront")
    assert "left4dead2/cfg/extra.cfg" in targets(tree)
    assert left(tree, "config") == {
        "serverfiles/left4dead2/cfg/l4d2server.cfg",
        "serverfiles/left4dead2/cfg/l4d2server-2.cfg",
    }
    assert left(tree, "outside") == {"l4d2server", "lgsm", "log"}


def test_an_exported_egg_and_its_variables_are_the_launch_line(old: Old, read: Read):
    (tree,) = read(old("pterodactyl")).plan.trees
    (server,) = tree.servers
    assert (server.port, server.arguments) == (27055, "+map c8m1_apartment")
    assert server.origin == "egg-left-4-dead2.json"


def test_a_compose_file_names_the_port_the_map_and_what_is_mounted(old: Old, read: Read):
    (tree,) = read(old("docker")).plan.trees
    (server,) = tree.servers
    assert (server.name, server.port) == ("Docked", 27017)
    assert server.arguments == "+map c1m1_hotel versus"
    assert server.config.split("\n") == ["sv_gametypes versus", 'sv_region "3"', 'sv_alltalk "1"']
    assert targets(tree) == {"left4dead2/addons/ours.vpk", "left4dead2/addons/sourcemod/plugins/one.smx"}
    assert "/elsewhere/cfg is mounted from elsewhere" in tree.notes[0]


def test_each_start_script_and_unit_becomes_a_server(old: Old, read: Read):
    (tree,) = read(old("plain")).plan.trees
    script, unit = tree.servers
    assert (script.port, script.arguments) == (27018, "+map c3m1_plankcountry\n-tickrate 60")
    assert (unit.port, unit.arguments) == (27019, "+map c4m1_milltown_a")
    assert unit.config.endswith("exec versus.cfg")
    assert "left4dead2/cfg/versus.cfg" in targets(tree)


def test_links_are_not_followed_out_of_the_directory(old: Old, read: Read):
    reading = read(old("plain"))
    (tree,) = reading.plan.trees
    assert left(tree, "link_out") == {"left4dead2/cfg/passwd.cfg", "left4dead2/addons/out"}
    assert left(tree, "link") == {"left4dead2/addons/circle"}
    shared = next(file for file in reading.files[0] if file.target == "left4dead2/addons/shared.vpk")
    assert shared.source == "shared/maps.vpk"


def test_admins_and_bans_become_rows_and_the_rest_of_the_file_stays(old: Old, read: Read):
    reading = read(old("plain"))
    (tree,) = reading.plan.trees
    assert [(admin.flags, admin.immunity, admin.name) for admin in tree.admins] == [("z", 99, "Anna"), ("bce", 0, "")]
    rest = next(file for file in reading.files[0] if file.target.endswith("admins_simple.ini"))
    assert rest.text is not None
    assert "@Helpers" in rest.text
    assert "STEAM_" not in rest.text
    assert (tree.bans.count, len(tree.bans.paths)) == (3, 3)
    assert left(tree, "bans") == {"left4dead2/cfg/banned_user.cfg", "left4dead2/cfg/banned_ip.cfg"}


def test_workshop_items_are_recognised_by_their_number(old: Old, read: Read, steam: SimulatedSteam):
    path = f"left4dead2/addons/workshop/{shapes.ITEM}.vpk"
    (tree,) = read(old("pterodactyl")).plan.trees
    assert (tree.items, path in targets(tree)) == ([], True)
    steam.add(shapes.ITEM, title="Anna's pack")
    (tree,) = read(old("plain")).plan.trees
    (item,) = tree.items
    assert (item.steam_id, item.title, item.found_by, item.is_current) == (shapes.ITEM, "Anna's pack", "steam", False)
    assert path not in targets(tree)


def test_without_steam_addons_with_unknown_numbers_are_taken_as_files(old: Old, read: Read, settings):
    settings.LEFT4ME_STEAM_API_URL = "http://127.0.0.1:1"
    (tree,) = read(old("plain")).plan.trees
    assert f"left4dead2/addons/workshop/{shapes.ITEM}.vpk" in targets(tree)
    assert any("Steam could not be asked" in note for note in tree.notes)


def test_texts_of_the_game_that_were_edited_are_taken_and_maps_of_another_version_are_left(
    old: Old, read: Read, root: Path
):
    install_stock(root)
    top = old("plain")
    (top / "left4dead2/maps/c1m1_hotel.bsp").write_text("VBSP of another version\n")
    (tree,) = read(top).plan.trees
    assert "left4dead2/motd.txt" in targets(tree)
    assert left(tree, "game_other") == {"left4dead2/maps/c1m1_hotel.bsp", "left4dead2/pak01_dir.vpk"}
    assert tree.left["game"].count > 20


def test_a_launch_line_that_the_user_knows_replaces_those_that_are_found(old: Old, read: Read):
    (tree,) = read(old("plain"), launch_text="-port 27077 +map c6m1_riverbank").plan.trees
    (server,) = tree.servers
    assert (server.port, server.arguments) == (27077, "+map c6m1_riverbank")


def test_units_of_the_machine_are_read_where_the_directory_has_no_launch_line(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    top = shapes.write(tmp_path / "old", shapes.game())
    line = f"ExecStart={top}/srcds_run -game left4dead2 -port 27088 +map c7m1_docks\n"
    units = shapes.write(
        tmp_path / "units",
        {
            "l4d2.service": f"[Service]\n{line}",
            "other.service": "[Service]\nExecStart=/x/srcds_run -game left4dead2\n",
        },
    )
    monkeypatch.setattr("left4me.importer.launch.UNITS", units)
    (tree,) = read(top).plan.trees
    assert [(server.port, server.origin) for server in tree.servers] == [(27088, f"{units}/l4d2.service")]


def test_two_installations_become_two_overlays_with_their_own_servers(read: Read, tmp_path: Path):
    top = tmp_path / "old"
    for name, port in (("coop", 27021), ("versus", 27022)):
        shapes.write(top / name, shapes.game())
        shapes.write(top / name, {"run.sh": f"./srcds_run -game left4dead2 -port {port} +map c1m1_hotel\n"})
    plan = read(top).plan
    assert [(tree.name, tree.game, [s.port for s in tree.servers]) for tree in plan.trees] == [
        ("coop", "coop/left4dead2", [27021]),
        ("versus", "versus/left4dead2", [27022]),
    ]


def test_lines_that_a_blueprint_cannot_have_are_left_out_and_named(read: Read, tmp_path: Path):
    shapes.write(tmp_path / "old", shapes.game())
    (tmp_path / "old/left4dead2/cfg/server.cfg").write_text(f"sv_region 3\necho {'x' * 600}\nmp_gamemode coop\n")
    (tree,) = read(tmp_path / "old").plan.trees
    assert tree.servers[0].config == "sv_region 3\nmp_gamemode coop"
    assert any("line 2: left out" in note for note in tree.servers[0].notes)


def test_names_that_no_overlay_can_have_are_left(read: Read, tmp_path: Path):
    top = shapes.write(tmp_path / "old", shapes.game())
    (top / "left4dead2/addons/a\nb.vpk").write_text("x")
    os.mkfifo(top / "left4dead2/addons/pipe")
    Path(os.fsdecode(os.fsencode(top) + b"/left4dead2/addons/\xff.vpk")).write_text("x")
    (tree,) = read(top).plan.trees
    assert left(tree, "bad_name") == {"left4dead2/addons/a\\nb.vpk", "left4dead2/addons/\\udcff.vpk"}
    assert left(tree, "special") == {"left4dead2/addons/pipe"}


def test_a_directory_without_a_game_is_refused(read: Read, tmp_path: Path):
    (tmp_path / "old").mkdir()
    with pytest.raises(BadSource, match="No folder left4dead2"):
        read(tmp_path / "old")


def test_texts_that_no_database_can_store_are_mended(read: Read, tmp_path: Path):
    egg = '{"startup": "./srcds_run -game left4dead2 +sv_tags \\ud800x +map c1m1_hotel"}'
    top = shapes.write(tmp_path / "old", {**shapes.game(), "egg.json": egg})
    plan = read(top).plan.as_json()
    assert "\\ud800" not in json.dumps(plan)
    assert plan["trees"][0]["servers"][0]["arguments"].endswith("+map c1m1_hotel")


def test_nothing_of_the_source_changes(old: Old, read: Read, root: Path):
    top = old("linuxgsm")

    def state() -> list[tuple[str, int, int]]:
        return sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_size) for path in top.rglob("*"))

    before = state()
    read(top)
    assert state() == before
    assert not any(path.is_file() for path in root.rglob("*"))


def test_a_compose_file_whose_aliases_multiply_is_not_read(read: Read, tmp_path: Path):
    lines = ["a0: &a0 [l4d2, l4d2]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 30)]
    top = shapes.write(tmp_path / "old", {"compose.yml": "\n".join([*lines, "services: {l4d2: {image: *a29}}"])})
    with pytest.raises(BadSource):
        read(top)
