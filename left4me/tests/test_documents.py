"""The documents name only files, folders and functions that exist."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.gamehost.tests.contract import HostileGame

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/advisories.md",
    *(
        f"docs/{name}.md"
        for name in ("architecture", "frontend", "interop", "jobs", "licences", "livestate", "performance")
    ),
    *(
        f"docs/{name}.md"
        for name in ("operations", "permissions", "real-game", "runtime", "security", "servers", "simulated-game")
    ),
)
# Folders that the tree of docs/architecture.md leaves out.
CONVENTIONAL = {"tests", "migrations", "management"}

# `servers/tasks.py` or `servers/tasks.py:refresh`; the name may be one of a class, as in `Tailers.ensure`.
_MODULE = re.compile(r"(?<![\w./<>*-])((?:[\w.-]+/)*[\w-]+\.py)(?::([A-Za-z_][\w.]*\w))?")
# Any other path, which counts when its first part is a folder of the checkout.
_PATH = re.compile(r"(?<![\w./:<>*-])([\w.-]+(?:/[\w.@-]+)+)")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@functools.cache
def tracked() -> frozenset[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return frozenset(listed.stdout.splitlines())


@functools.cache
def names_in(path: str) -> frozenset[str]:
    """The names that a module defines at its top level, and those in its classes as `Class.name`."""
    return frozenset(_names(ast.parse((ROOT / path).read_text()).body))


def _names(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.ClassDef():
                yield node.name
                yield from (f"{node.name}.{name}" for name in _names(node.body))
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                yield name


def faults(text: str, *, folder: Path = ROOT) -> list[str]:
    """What a document names that does not exist. `folder` is the document's own, where its links begin."""
    missing = [link for link in _LINK.findall(text) if "://" not in link and not (folder / link).exists()]
    text = _LINK.sub("]", text)
    for path, name in _MODULE.findall(text):
        if "/" not in path:
            # A name alone, such as operations.py, stands for any file of that name.
            if not any(file.rpartition("/")[2] == path for file in tracked()):
                missing.append(path)
        elif not (ROOT / path).is_file():
            missing.append(path)
        elif name and name not in names_in(path):
            missing.append(f"{path}:{name}")
    for path in _PATH.findall(text):
        is_ours = (ROOT / path.partition("/")[0]).is_dir() and not path.endswith(".py")
        if is_ours and not (ROOT / path.rstrip(".")).exists():
            missing.append(path)
    return missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_everything_that_a_document_names_exists(document: str):
    path = ROOT / document
    assert faults(path.read_text(), folder=path.parent) == []


@pytest.mark.parametrize(
    "text",
    [
        "see `servers/gone.py`",
        "see `gone_for_good.py`",
        "see `servers/tasks.py:gone`",
        "see `servers/logs/publisher.py:Tailers.gone`",
        "see `left4me/gone`",
        "see `deploy/gone/left4me.conf`",
        "see [that](gone.md)",
    ],
)
def test_a_name_of_something_that_is_gone_is_found(text: str):
    assert len(faults(text)) == 1


def test_names_that_exist_are_no_faults():
    text = "`servers/tasks.py:refresh`, `servers/logs/publisher.py:Tailers.ensure`, `bin/up`, [it](docs/jobs.md#logs)"
    assert faults(text) == []


def test_the_tree_lists_every_folder_with_modules():
    text = (ROOT / "docs/architecture.md").read_text()
    listed = set(re.findall(r"^([\w/]+)/ {2,}\S", text, re.MULTILINE))
    folders = {file.rpartition("/")[0] for file in tracked() if file.endswith(".py")}
    assert listed >= {folder for folder in folders if folder and not CONVENTIONAL & set(folder.split("/"))}


def test_the_table_of_a_hostile_game_names_every_attempt_of_the_contract_and_no_other():
    text = (ROOT / "docs/security.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| [^|]+ \| [^|]+ \| `(test_\w+)` \|$", text, re.MULTILINE)
    tests = [name for name in vars(HostileGame) if name.startswith("test_")]
    assert rows == tests
