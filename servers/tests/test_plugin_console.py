"""What a running game says of its plugins, matched with their files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from overlays.plugins.finder import Plugin
from overlays.plugins.smx import Info
from servers.plugins import console
from servers.plugins.console import Loaded


def plugin(path: str, name: str = "", version: str = "", author: str = "") -> Plugin:
    return Plugin(path=path, layer=0, size=1, info=Info(name=name, version=version, author=author))


def game(answer: str, infos: dict[int, str] | None = None) -> Callable[[str], str]:
    """A game that lists its plugins so, and names the files of some by number."""

    def ask(command: str) -> str:
        if command == "sm plugins list":
            return answer
        numbers = [int(each.removeprefix("sm plugins info ")) for each in command.split(";")]
        return "".join(f"  Filename: {infos[number]}\n  Title: x\n" for number in numbers if infos and number in infos)

    return ask


def read(answer: str, plugins: Sequence[Plugin], infos: dict[int, str] | None = None) -> dict[str, Loaded]:
    return console.read(game(answer, infos), plugins)


def test_running_failed_and_silent_plugins_are_told_apart():
    answer = (
        "[SM] Listing 5 plugins:\n"
        '  01 "Admin File Reader" (1.12.0.7210) by AlliedModders LLC\n'
        '  02 <Failed> "Spawner" (1.0) by Anna\n'
        '  03 Disabled: "Nextmap" (1.12.0.7210) by AlliedModders LLC\n'
        "  04 <Bad Load> broken.smx\n"
        '  05 "untitled.smx"\n'
        "Errors:\n"
        'spawner.smx (Spawner): Could not find required plugin "left4dhooks"\n'
        "broken.smx: Unable to load plugin (unrecognized file format)\n"
    )
    plugins = [
        plugin("admin-flatfile.smx", "Admin File Reader", "1.12.0.7210", "AlliedModders LLC"),
        plugin("spawner.smx", "Spawner", "1.0", "Anna"),
        plugin("nextmap.smx", "Nextmap", "1.12.0.7210", "AlliedModders LLC"),
        plugin("broken.smx"),
        plugin("untitled.smx"),
        plugin("disabled/other.smx", "Other"),
    ]
    assert read(answer, plugins) == {
        "admin-flatfile.smx": Loaded(1),
        "spawner.smx": Loaded(2, "Failed", 'Could not find required plugin "left4dhooks"'),
        "nextmap.smx": Loaded(3, "Disabled"),
        "broken.smx": Loaded(4, "Bad Load", "Unable to load plugin (unrecognized file format)"),
        "untitled.smx": Loaded(5),
    }


def test_the_game_is_asked_for_the_file_where_titles_are_the_same_or_unknown():
    answer = '[SM] Listing 3 plugins:\n  01 "Same"\n  02 "Same"\n  03 "Old" (0.9)\n'
    plugins = [plugin("a.smx", "Same"), plugin("b.smx", "Same"), plugin("new.smx", "Old", "1.0")]
    found = read(answer, plugins, {1: "b.smx", 2: "a.smx", 3: "new.smx"})
    assert {path: each.number for path, each in found.items()} == {"b.smx": 1, "a.smx": 2, "new.smx": 3}


def test_a_pack_with_a_copy_of_each_plugin_for_each_mode_is_asked_in_few_packets():
    answer = "[SM] Listing 60 plugins:\n" + "".join(f'  {n:02d} "Plugin {n}"\n' for n in range(1, 61))
    plugins = [plugin(f"optional/{mode}/{n}.smx", f"Plugin {n}") for mode in "ab" for n in range(1, 61)]
    asked: list[str] = []
    infos = {n: f"optional/b/{n}.smx" for n in range(1, 61)}

    def ask(command: str) -> str:
        asked.append(command)
        return game(answer, infos)(command)

    assert {path: each.number for path, each in console.read(ask, plugins).items()} == {
        path: number for number, path in infos.items()
    }
    assert len(asked) < 10 and all(len(command) < 500 for command in asked)


def test_an_answer_that_lacks_a_plugin_names_none_wrongly():
    answer = '[SM] Listing 2 plugins:\n  01 "Same"\n  02 "Same"\n'
    plugins = [plugin("a.smx", "Same"), plugin("b.smx", "Same")]
    assert read(answer, plugins, {2: "a.smx"}) == {}


def test_a_line_that_the_game_cut_off_is_matched_by_its_beginning():
    name = "Long " * 70
    answer = f'[SM] Listing 1 plugin:\n  01 "{name}'[:300] + "\n"
    assert read(answer, [plugin("long.smx", name.strip()), plugin("b.smx", "Short")]) == {"long.smx": Loaded(1)}


def test_names_with_quotes_brackets_and_line_ends_are_matched():
    answer = '[SM] Listing 2 plugins:\r\n  01 "[L4D2] "Heal" (x)" (1.0) by A (b)\r\n  02 "<b> by" by C\r\n'
    plugins = [plugin("a.smx", '[L4D2] "Heal" (x)', "1.0", "A (b)"), plugin("b.smx", "<b> by", "", "C")]
    assert set(read(answer, plugins)) == {"a.smx", "b.smx"}


def test_no_plugins_and_no_sourcemod_are_different():
    assert read("[SM] No plugins loaded\n", []) == {}
    with pytest.raises(console.NoSourceMod):
        read('Unknown command "sm"\n', [])


def test_hostile_lists_cost_a_bounded_number_of_questions():
    asked: list[str] = []

    def ask(command: str) -> str:
        asked.append(command)
        if command == "sm plugins list":
            return "[SM] Listing 9999 plugins:\n" + "".join(f'  {n:04d} "x{n}"\n' for n in range(1, 9999))
        return "nothing"

    assert console.read(ask, []) == {}
    assert len(asked) < 50
