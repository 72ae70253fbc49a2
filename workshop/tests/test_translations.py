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


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b'"lang"', b'"Tokens" { "a" "b" }', b"\x00" * 99])
def test_a_damaged_resource_file_gives_what_it_holds(raw):
    assert translations.read(raw) in ({}, {"a": "b"})
