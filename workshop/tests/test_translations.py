"""Titles that are tokens, from resource files of a VPK and of the game."""

from __future__ import annotations

from pathlib import Path

import pytest

from left4me.testing import vpk_files
from workshop import inspection, translations
from workshop.translations import Translations

MISSION = (
    b'"mission" { "Name" "w" "DisplayTitle" "#w_title" "modes" { "coop" { "1" { "Map" "a" "DisplayName" "#L1" } } } }'
)


def resource(**texts: str) -> str:
    entries = "\n".join(f'"{token}"\t"{text}"' for token, text in texts.items())
    return f'"lang"\n{{\n"Language" "English"\n"Tokens"\n{{\n{entries}\n}}\n}}\n'


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8", "utf-16-le"])
def test_the_texts_of_a_resource_file_are_read_whatever_its_encoding(encoding):
    raw = resource(W_Title="The Wälls", quoted=r"Say \"hi\"", other="#w_title").encode(encoding)
    words = Translations([raw])
    assert words("#quoted") == "Say 'hi'"
    assert words("#w_title") == "The Wälls"
    assert words("#other") is None
    assert words("#missing") is None


def test_a_vpk_names_its_campaign_by_its_own_texts_then_by_those_of_the_game(tmp_path: Path):
    path, game = tmp_path / "a.vpk", tmp_path / "game"
    (game / "left4dead2" / "resource").mkdir(parents=True)
    own = resource(w_title="Walls").encode("utf-16")
    vpk_files.write(path, {"missions/w.txt": MISSION, "resource/w_english.txt": own, "resource/w_german.txt": b"x"})
    assert inspection.inspect(path).campaigns[0].modes["coop"][0].title == "a"
    (game / "left4dead2" / "resource" / "left4dead2_english.txt").write_text(resource(l1="Game's"), encoding="utf-16")
    [campaign] = inspection.inspect(path, game=game).campaigns
    assert (campaign.title, campaign.modes["coop"][0].title) == ("Walls", "Game's")


def test_the_texts_of_the_game_are_found_in_a_pak_of_several_files_and_read_anew_after_an_update(tmp_path: Path):
    folder = tmp_path / "left4dead2"
    folder.mkdir()
    files = {"resource/l4d360ui_english.txt": resource(l1="First").encode("utf-16")}
    vpk_files.write(folder / "pak01_dir.vpk", files, part=folder / "pak01_000.vpk")
    assert translations.of_game(tmp_path)["l1"] == "First"
    files = {"resource/l4d360ui_english.txt": resource(l1="Another one").encode("utf-16"), "x.txt": b""}
    vpk_files.write(folder / "pak01_dir.vpk", files, part=folder / "pak01_000.vpk")
    assert translations.of_game(tmp_path)["l1"] == "Another one"
    assert translations._texts_of.cache_info().currsize == 1, "those of before are not kept"


def test_the_first_text_of_a_token_counts_and_those_of_another_platform_do_not():
    raw = b'"lang" { "Tokens" { "#A" "" "a" "one" [$X360] "A" "two" "a" "three" } "Tokens" { "a" "four" "b" "five" } }'
    assert translations.read(raw) == {"a": "two", "b": "five"}
    words = Translations([raw, b'"lang" { "Tokens" { "a" "six" "c" "seven" } }'])
    assert [words(token) for token in ("#A", "b", "c", "")] == ["two", "five", "seven", None]
    assert translations.read(f'"lang" {{ "Tokens" {{ a "{"x" * 501}" }} }}'.encode()) == {"a": "x" * 500}


@pytest.mark.parametrize(
    ("path", "is_source"),
    [
        ("resource/a_english.txt", True),
        ("Resource/A_English.TXT", True),
        ("resource/closecaption_english.txt", False),
        ("resource/subtitles_english.txt", False),
        ("resource/a_german.txt", False),
        ("other/a_english.txt", False),
        ("left4dead2/resource/a_english.txt", False),
    ],
)
def test_the_files_of_texts_are_known_by_their_path(path, is_source):
    assert translations.is_source(path) is is_source


@pytest.mark.parametrize(("count", "last"), [(32, "31"), (33, None)])
def test_of_very_many_files_of_texts_the_first_are_read(tmp_path: Path, count, last):
    folder = tmp_path / "game" / "left4dead2"
    folder.mkdir(parents=True)
    files = {f"resource/{n:02}_english.txt": resource(**{f"t{n}": str(n)}).encode() for n in range(count)}
    vpk_files.write(folder / "pak01_dir.vpk", files)
    assert translations.of_game(tmp_path / "game").get(f"t{count - 1}") == last
    mission = MISSION.replace(b"#w_title", f"#t{count - 1}".encode())
    vpk_files.write(tmp_path / "a.vpk", files | {"missions/w.txt": mission})
    assert inspection.inspect(tmp_path / "a.vpk").campaigns[0].title == (last or "w")


def test_what_cannot_be_read_of_the_game_costs_only_itself(tmp_path: Path):
    folder = tmp_path / "left4dead2"
    (folder / "resource").mkdir(parents=True)
    (folder / "pak01_dir.vpk").write_bytes(b"broken")
    (folder / "resource" / "a_english.txt").symlink_to("nothing")
    (folder / "resource" / "b_english.txt").mkdir()
    (folder / "resource" / "closecaption_english.txt").write_text(resource(c="c"))
    (folder / "resource" / "d_english.txt").write_text(resource(d="d"))
    (folder / "resource" / "e_english.txt").write_text(resource(d="e"))
    assert translations.of_game(tmp_path) == {"d": "d"}
    assert translations.of_game(tmp_path / "missing") == {}


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b'"lang"', b'"Tokens" { "a" "b" }', b"\x00" * 99])
def test_a_damaged_resource_file_gives_what_it_holds(raw):
    assert translations.read(raw) in ({}, {"a": "b"})
