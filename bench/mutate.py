"""Change one thing in a module and see whether a test notices.

    bench/mutate left4me/jobs servers/permissions.py --count 20 --seed 1

Takes `--count` places of the modules by chance, changes each in one way (a comparison, a number, `and`, `not`, a loop
that never runs …), and runs the tests of the nearest `tests` folder in a copy of the checkout. Prints each change that
no test noticed, and how many were. The tests that touch the changed line come first; only a change that they do not
notice needs the whole folder.

The changes are made by cosmic-ray (`pip install cosmic-ray`, in COSMIC_RAY if it is not beside Django; it is not
locked, because only this benchmark uses it). What `bin/check types` holds does not count (annotations, names of
arguments, records that nobody may change), nor what is listed in bench/mutate_equivalent.txt with the reason why
nothing can notice it.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

sys.path.append(os.environ.get("COSMIC_RAY", ""))

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

HERE: Final = Path(__file__).resolve().parent
REPOSITORY: Final = HERE.parent
EQUIVALENT: Final = HERE / "mutate_equivalent.txt"
# They take names as arguments, or replace what most often means the same.
_LEFT_OUT: Final = ("VariableReplacer", "VariableInserter", "_Is", "_Eq_IsNot", "RemoveDecorator")
_COMMIT: Final = ("-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "--quiet", "--message=Copy")
_LONGEST_SECONDS: Final = 900
_NOT_HERE: Final = "not machine and not testhost and not browser"


@dataclass(frozen=True)
class Mutation:
    """One change: the module's path, the line that changes, and what the module becomes."""

    module: str
    line: int
    code: str
    difference: str


def mutations(module: str, *, chance: random.Random) -> Iterator[Mutation]:
    """One change for each place of the module, in random order."""
    source = (REPOSITORY / module).read_text()
    tree = get_ast(source)
    ways: dict[int, list[tuple[Any, int]]] = {}
    for name in cosmic_ray.plugins.operator_names():
        if any(part in name for part in _LEFT_OUT):
            continue
        operator = cosmic_ray.plugins.get_operator(name)()
        places = [place for node in ast_nodes(tree) for place in operator.mutation_positions(node)]
        for occurrence, (start, _end) in enumerate(places):
            ways.setdefault(start[0], []).append((operator, occurrence))
    lines = sorted(ways)
    chance.shuffle(lines)
    plain = _meaning(source)
    known = {entry.partition(" # ")[0] for entry in EQUIVALENT.read_text().splitlines()}
    for line in lines:
        operator, occurrence = chance.choice(ways[line])
        try:
            code = mutate_code(source, operator, occurrence)
            is_change = code is not None and _meaning(code) != plain
        except (SyntaxError, AttributeError):
            # cosmic-ray stumbles over exceptions that are named with their module in a tuple.
            continue
        difference = _difference(source, code or "")
        if is_change and not any(
            entry and f"{module}: {difference}".startswith(entry.split(" # ")[0]) for entry in known
        ):
            yield Mutation(module, line, code or "", difference)


def _meaning(source: str) -> str:
    """The code without what the types hold and no test needs to notice.

    These are annotations, whether arguments must be given by their names, and that records do not change.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
            given = node.args
            given.args = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            given.defaults = [*given.defaults, *filter(None, given.kw_defaults)]
            given.posonlyargs, given.kwonlyargs, given.kw_defaults = [], [], []
        elif isinstance(node, ast.ClassDef):
            node.decorator_list = [_without_limits(decorator) for decorator in node.decorator_list]
            # Which fields a TypedDict must have.
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "total"]
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return ast.dump(tree)


def _without_limits(decorator: ast.expr) -> ast.expr:
    if isinstance(decorator, ast.Call):
        decorator.keywords = [keyword for keyword in decorator.keywords if keyword.arg not in ("frozen", "slots")]
    return decorator


def _difference(before: str, after: str) -> str:
    changed = [
        line[0] + " " + line[1:].strip()
        for line in difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    return " ⇒ ".join(changed)


class Copy:
    """A copy of the checkout in which modules are changed and tests run."""

    def __init__(self, directory: Path, tests: Sequence[str]) -> None:
        self.directory, self._tests = directory, tests
        self.printed = ""
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True, text=True
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (REPOSITORY / name).is_file():
                (directory / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, directory / name)
        # Some tests install the checkout that they are in.
        for command in (["init", "--quiet", "--initial-branch=main"], ["add", "--all"], _COMMIT):
            subprocess.run(["git", *command], cwd=directory, check=True)
        (directory / ".venv").symlink_to(REPOSITORY / ".venv")

    def prove(self) -> None:
        """Run all tests unchanged, and note which of them run which lines. Ends the program if one fails."""
        arguments = ["--cov=.", "--cov-context=test", "--cov-report=", "--cov-branch", "--cov-fail-under=0"]
        if not self._run([*self._tests, *arguments, "-n", "2"], stop=False):
            sys.exit(f"bench/mutate: the tests fail without a change\n{self.printed[-3000:]}")

    def tests_of(self, mutation: Mutation) -> list[str]:
        """The tests that run the changed line or one beside it, without their parameters' doubles."""
        database = sqlite3.connect(self.directory / ".coverage")
        rows = database.execute(
            "SELECT context.context, arc.fromno, arc.tono FROM arc JOIN context ON context.id = arc.context_id"
            " JOIN file ON file.id = arc.file_id WHERE file.path LIKE ?",
            [f"%{mutation.module}"],
        )
        found = {context.partition("|")[0] for context, *between in rows if mutation.line in map(abs, between)}
        return sorted(filter(None, found))

    def notices(self, mutation: Mutation) -> bool:
        """Whether a test fails with the change."""
        path = self.directory / mutation.module
        before = path.read_text()
        path.write_text(mutation.code)
        try:
            near = self.tests_of(mutation)
            if near and not self._run([*near[:200], "-n", "0"]):
                return True
            return not self._run([*self._tests, "-n", "2"])
        finally:
            path.write_text(before)

    def _run(self, arguments: Sequence[str], *, stop: bool = True) -> bool:
        command = [".venv/bin/python", "-m", "pytest", "-q", "-m", _NOT_HERE, *(["-x"] if stop else []), *arguments]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            run = subprocess.run(
                command,
                cwd=self.directory,
                env=environment,
                capture_output=True,
                timeout=_LONGEST_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        self.printed = run.stdout.decode(errors="replace")
        return run.returncode == 0


def tests_of(module: str) -> str:
    """The nearest folder of tests, beside the module or above it."""
    for folder in Path(module).parents:
        if (REPOSITORY / folder / "tests").is_dir():
            return str(folder / "tests")
    sys.exit(f"bench/mutate: no folder of tests for {module}")


def modules_of(places: Sequence[str]) -> list[str]:
    found = []
    for place in places:
        path = REPOSITORY / place
        paths = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        found += [str(each.relative_to(REPOSITORY)) for each in paths]
    return [name for name in found if not {"tests", "migrations"} & set(Path(name).parts)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/mutate")
    parser.add_argument("places", nargs="+", metavar="MODULE")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    modules = modules_of(options.places)
    candidates = [each for module in modules for each in mutations(module, chance=chance)]
    chosen = chance.sample(candidates, min(options.count, len(candidates)))
    print(f"{len(chosen)} of {len(candidates)} places in {len(modules)} modules, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="left4me-mutate-") as folder:
        copy = Copy(Path(folder), sorted({tests_of(each.module) for each in chosen}))
        copy.prove()
        noticed = 0
        for mutation in chosen:
            killed = copy.notices(mutation)
            noticed += killed
            print(
                f"{'noticed' if killed else 'NOT NOTICED'}  {mutation.module}:{mutation.line}: {mutation.difference}",
                flush=True,
            )
    print(f"{noticed} of {len(chosen)} changes were noticed ({100 * noticed / max(1, len(chosen)):.0f} %)")


if __name__ == "__main__":
    main()
