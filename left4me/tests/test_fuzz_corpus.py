"""Every input of bench/corpus, the ones that once broke a reader among them, keeps the promises of its target."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.fuzz_targets import TARGETS

CORPUS = Path(__file__).parents[2] / "bench" / "corpus"


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_reader_keeps_its_promises(path: Path):
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_a_corpus_to_start_from():
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
