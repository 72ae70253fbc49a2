"""The parser on the corpus (status_corpus/README.md describes the fields) and on hostile text."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livestate.status import NotStatus, parse_status, steam_id_64

CORPUS = Path(__file__).parent / "status_corpus"
SAMPLES = sorted(path.stem for path in CORPUS.glob("*.txt"))
ABOUT_THE_SAMPLE = {"kind", "game", "expect", "notes", "players_policy"}


def text_of(sample: str) -> str:
    return (CORPUS / f"{sample}.txt").read_bytes().decode(errors="replace")


def test_the_corpus_is_here():
    assert len(SAMPLES) == 41


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_gives_what_its_json_says(sample):
    expected = json.loads((CORPUS / f"{sample}.json").read_text())
    text = text_of(sample)
    if expected["expect"] in ("no_status", "unsupported_format"):
        with pytest.raises(NotStatus):
            parse_status(text)
        return
    seen = json.loads(json.dumps(dataclasses.asdict(parse_status(text))))
    fields = expected.keys() - ABOUT_THE_SAMPLE
    if expected["expect"] == "degraded_no_exception":
        fields = {"complete", "hostname"}
    assert {key: seen[key] for key in fields} == {key: expected[key] for key in fields}


L4D2 = "l4d2_11_32_humans_12_bots_over_4096_bytes"


def test_bots_are_counted_by_their_rows():
    status = parse_status(text_of(L4D2))
    assert (status.bots, status.bots_seen, len(status.people)) == (0, 12, 32)


def test_an_answer_cut_anywhere_is_not_complete():
    whole = text_of(L4D2)
    for length in range(len(whole) - 1):
        try:
            assert not parse_status(whole[:length]).complete or whole[length:].strip() in ("d", "nd")
        except NotStatus:
            assert length < 10


def test_a_row_lost_in_the_middle_makes_the_answer_incomplete():
    lines = text_of(L4D2).split("\n")
    assert not parse_status("\n".join(lines[:10] + lines[11:])).complete


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_character_in_a_name_starts_a_new_row(separator):
    name = f'x" STEAM_1:0:7 00:01 1 0 active{separator}# 9 9 "y" STEAM_1:0:8 00:01 1 0 active 30000'
    text = text_of("l4d2_22_trailing_rcon_log_line").replace('"log"', f'"{name}"')
    players = parse_status(text).players
    assert [(player.userid, player.name, player.uniqueid) for player in players] == [(2, name, "STEAM_1:0:42")]


def test_a_log_line_among_the_rows_is_no_player():
    lines = text_of(L4D2).split("\n")
    lines.insert(12, 'L 01/02/2026 - 03:04:05: "# 1 1 "a" STEAM_1:0:5 00:10 1 0 active" say "#end"')
    assert len(parse_status("\n".join(lines)).players) == 44


@pytest.mark.parametrize(
    ("uniqueid", "expected"),
    [
        ("STEAM_1:1:42424242", "76561198045114213"),
        ("STEAM_0:1:42424242", "76561198045114213"),
        ("[U:1:84848485]", "76561198045114213"),
        ("STEAM_1:0:0", None),
        ("[U:1:0]", None),
        ("STEAM_ID_LAN", None),
        ("BOT", None),
        ("STEAM_1:1:9999999999", None),
        ("STEAM_1:1:٤٢", None),
    ],
)
def test_steam_ids_name_an_account_or_none(uniqueid, expected):
    assert steam_id_64(uniqueid) == expected


HEADER = "hostname: x\nmap     : c2m1_highway\nplayers : {} humans, 0 bots (8 max) (not hibernating) (unreserved)\n\n"
COLUMNS = "# userid name uniqueid connected ping loss state rate adr\n"
ANNA = '#  2 1 "Anna" STEAM_1:0:42 01:23 40 0 active 30000 192.0.2.1:27005\n'


def answer(*rows: str, humans: int) -> str:
    return HEADER.format(humans) + COLUMNS + ANNA + "".join(f"{row}\n" for row in rows) + "#end\n"


@pytest.mark.parametrize(
    ("row", "name", "steam_id"),
    [
        ('#  5 2 "Loading" STEAM_ID_PENDING connecting', "Loading", None),
        ('#  5 2 "a "b" #end" STEAM_ID_PENDING challenging', 'a "b" #end', None),
        ('# 5 2 "known" STEAM_1:1:42 connecting', "known", "76561197960265813"),
        ('#5 "no slot" UNKNOWN connecting', "no slot", None),
        ('#  5 2 "with figures" STEAM_ID_PENDING 00:04 0 0 connecting 30000 192.0.2.7:27005', "with figures", None),
        ('#  5 2 "no time" [U:1:85] spawning', "no time", "76561197960265813"),
    ],
)
def test_a_player_who_is_still_connecting_does_not_blind_the_view(row, name, steam_id):
    status = parse_status(answer(row, humans=2))
    assert status.complete
    assert [(p.name, p.is_connecting, p.steamid64) for p in status.people] == [
        ("Anna", False, "76561197960265812"),
        (name, True, steam_id),
    ]


@pytest.mark.parametrize(
    "row",
    ['#  5 2 "half" STEAM_1:0:7 ??? 5 active', '#  5 2 "one quote STEAM_1:0:7', '# 5 2 "x" STEAM_1:0:7 what is this'],
)
def test_a_row_of_an_unknown_form_is_somebody(row):
    status = parse_status(answer(row, humans=2))
    assert (status.complete, len(status.people), status.unreadable_rows) == (True, 1, 1)
    assert not parse_status(answer(row, humans=2).removesuffix("#end\n")).complete


@pytest.mark.parametrize(
    "row", ['# 9 "SourceTV" BOT active', '#  9 1 "SourceTV" HLTV active', '#  9 "x" BOT active 64']
)
def test_source_tv_is_no_person(row):
    status = parse_status(answer(row, humans=1))
    assert (status.complete, len(status.people), status.bots_seen) == (True, 1, 1)


HEADINGS = ["hostname: ", "players : ", "# userid name uniqueid ", "#end", "(reserved ", "(public ip", "[ public "]
ROWS = ["# 1 2 ", '"', "STEAM_1:0:", "[U:1:", " BOT active", "1:2:3", " max)", "4 humans, 0 bots (", "L 01/02/2026 - "]
FOUND = sorted((Path(__file__).parents[2] / "bench" / "corpus" / "status").iterdir())


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_what_the_fuzzer_found_is_read_or_refused(path):
    with contextlib.suppress(NotStatus):
        assert parse_status(path.read_bytes().decode(errors="replace")).players is not None


fragments = st.sampled_from([*HEADINGS, *ROWS, "\n", "\r\n", " ", "9" * 30, ":"])


@given(st.lists(fragments | st.text(max_size=8), max_size=60).map("".join))
def test_nothing_but_not_status_is_ever_raised(text):
    try:
        parse_status(text)
    except NotStatus:
        return


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(fragments, min_size=1, max_size=6).map("".join))
def test_hostile_text_costs_time_in_proportion_to_its_length(unit):
    def seconds(length: int) -> float:
        text = (unit * (length // len(unit) + 1))[:length]
        best = float("inf")
        for _ in range(2):
            start = time.process_time()
            with contextlib.suppress(NotStatus):
                parse_status(text)
            best = min(best, time.process_time() - start)
        return best

    # Quadratic time would be 64 times as slow, not 8; the constant allows for a loaded machine.
    assert seconds(400_000) < 24 * seconds(50_000) + 0.25
