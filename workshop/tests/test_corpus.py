"""The corpus of the fuzzer: no input makes a reader crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from workshop import inspection, missions

CORPUS = Path(__file__).parents[2] / "bench" / "corpus"


@pytest.mark.parametrize("path", sorted(CORPUS.glob("vpk/*")), ids=lambda path: path.name)
def test_a_vpk_is_read_or_refused(path: Path):
    found = inspection.inspect(path)
    assert found.valid or found.reason


@pytest.mark.parametrize("path", sorted(CORPUS.glob("missions/*")), ids=lambda path: path.name)
def test_a_mission_is_read_as_far_as_it_goes(path: Path):
    assert all(campaign.modes for campaign in missions.read(path.read_bytes()))
