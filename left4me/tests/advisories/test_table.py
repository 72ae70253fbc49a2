"""The page of advisories and the tests of this folder name each other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(__file__).parent
_NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
_ID = re.compile(r"\[(GHSA(?:-[0-9a-z]{4}){3}|CVE-\d{4}-\d{4,}|[\w/-]+#\d+)\]\(https://")
ROWS = [line for line in (ROOT / "docs/advisories.md").read_text().splitlines() if line.startswith("| [")]


def names_of_tests(path: Path) -> set[str]:
    names = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
    return {name for name in names if name.startswith("test_")}


def prefix_of(advisory: str) -> str:
    return f"test_{re.sub('[-/#]', '_', advisory.lower())}_"


OWN = {
    (str(path.relative_to(ROOT)), name)
    for path in FOLDER.glob("test_*.py")
    if path != Path(__file__)
    for name in names_of_tests(path)
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: _ID.search(row)[1])
def test_every_row_names_tests_that_exist(row: str) -> None:
    named = _NAMED.findall(row)
    assert named
    for path, name in named:
        assert name in names_of_tests(ROOT / path), f"{path}::{name}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: _ID.search(row)[1])
def test_tests_of_this_folder_stand_in_the_row_of_the_advisory_in_their_name(row: str) -> None:
    prefixes = tuple(prefix_of(advisory) for advisory in _ID.findall(row))
    named = {(path, name) for path, name in _NAMED.findall(row) if (path, name) in OWN}
    assert named == {(path, name) for path, name in OWN if name.startswith(prefixes)}


def test_every_test_of_this_folder_is_in_a_row() -> None:
    assert {named for row in ROWS for named in _NAMED.findall(row)} >= OWN


def test_every_advisory_stands_in_one_row() -> None:
    found = [advisory for row in ROWS for advisory in _ID.findall(row)]
    assert len(found) == len(set(found))
