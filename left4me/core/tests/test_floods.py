"""The counters of the flood rules, as the application reads them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from django.conf import settings

from left4me.core import floods


def test_the_packets_of_each_counter_are_read_with_their_time(tmp_path: Path):
    file = tmp_path / "counters.json"
    listed = [
        {"metainfo": {}},
        {"counter": {"name": "requests", "packets": 7}},
        {"counter": {"name": 8, "packets": "9"}},
    ]
    file.write_text(json.dumps({"nftables": listed}))
    os.utime(file, (1_000_000, 1_000_000))
    assert floods.read(file) == ({"requests": 7, "8": 9}, 1_000_000)


def test_a_file_without_counters_has_its_time(tmp_path: Path):
    file = tmp_path / "counters.json"
    for content in ("", "{}"):
        file.write_text(content)
        os.utime(file, (5, 5))
        assert floods.read(file) == ({}, 5)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "7",
        '{"nftables": 7}',
        '{"nftables": [7]}',
        '{"nftables": [{"counter": {"name": "a"}}]}',
        '{"nftables": [{"counter": 7}]}',
        '{"nftables": [{"counter": {"name": "a", "packets": Infinity}}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_list_of_counters_is_empty(tmp_path: Path, content: str):
    (tmp_path / "counters.json").write_text(content)
    assert floods.read(tmp_path / "counters.json") == ({}, 0.0)


def test_a_machine_without_flood_rules_has_no_counters(tmp_path: Path):
    assert floods.read(tmp_path / "missing.json") == ({}, 0.0)


def test_a_limit_says_its_bounds():
    for number in (floods.REQUESTS, floods.REQUESTS_IN_ALL, floods.PACKETS):
        assert number.bounds == {"default": number.default, "least": number.least, "most": number.most}
        assert number.least <= number.default <= number.most


def test_the_documents_name_the_limits():
    documented = Path(settings.BASE_DIR, "docs/floods.md").read_text()
    for number in (floods.REQUESTS, floods.REQUESTS_IN_ALL, floods.PACKETS):
        assert f"| `{number.setting}` | {number.default} |" in documented


@pytest.mark.parametrize(
    ("number", "least", "most"),
    [(floods.REQUESTS, 1, 10_000), (floods.REQUESTS_IN_ALL, 10, 100_000), (floods.PACKETS, 200, 100_000)],
)
def test_a_limit_that_would_keep_players_out_is_not_taken(number: floods.Number, least: int, most: int):
    assert (number.least, number.most) == (least, most)
