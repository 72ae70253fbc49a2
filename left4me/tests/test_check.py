"""Each rule of the house, broken once on purpose in a copy of the checkout: bin/check must see it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy for many tests, because copying takes longer than most checks. What it holds is committed."""
    house = _copy(tmp_path_factory.mktemp("shared") / "house")
    _git(house, "add", "--all")
    _git(house, "-c", "user.name=left4me", "-c", "user.email=left4me@localhost", "commit", "-q", "-m", "As it is")
    return house


@pytest.fixture
def house(shared_house: Path) -> Iterator[Path]:
    """The shared copy, as it is again after each test."""
    yield shared_house
    _git(shared_house, "reset", "-q", "--hard")
    _git(shared_house, "clean", "-q", "-d", "--force")


def _copy(copy: Path) -> Path:
    """A copy of the files that git knows, with this checkout's .venv."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=_REPOSITORY,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        source, target = _REPOSITORY / name, copy / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    (copy / ".venv").symlink_to((_REPOSITORY / ".venv").resolve())
    # The template check asks git which files there are.
    _git(copy, "init", "-q")
    return copy


def _git(house: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=house, check=True)


def _check(house: Path, name: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("LEFT4ME_")}
    return subprocess.run(
        ["bin/check", name], cwd=house, env=env, capture_output=True, text=True, timeout=280, check=False
    )


def _append(path: str, text: str) -> Callable[[Path], None]:
    def apply(house: Path) -> None:
        with (house / path).open("a") as file:
            file.write(text)

    return apply


def _drop_line(path: str, start: str) -> Callable[[Path], None]:
    def apply(house: Path) -> None:
        file = house / path
        lines = file.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(start)]
        assert len(kept) < len(lines)
        file.write_text("".join(kept))

    return apply


_BREAKS = {
    "an import against the direction": (
        "imports",
        _append("accounts/models.py", "\nimport servers.models  # noqa\n"),
        "accounts.models -> servers.models",
    ),
    "the runtime importing Django": (
        "imports",
        _append("servers/gamehost/spec.py", "\nimport django.db  # noqa\n"),
        "servers.gamehost.spec -> django",
    ),
    "an app importing the root": (
        "imports",
        _append("accounts/models.py", "\nimport left4me.settings  # noqa\n"),
        "accounts.models -> left4me.settings",
    ),
    "the game host importing a leaf that it does not need": (
        "imports",
        _append("servers/gamehost/spec.py", "\nimport left4me.core.redis.pubsub  # noqa\n"),
        "servers.gamehost.spec -> left4me.core.redis.pubsub",
    ),
    "the game host importing another part of servers": (
        "imports",
        _append("servers/gamehost/spec.py", "\nimport servers.permissions  # noqa\n"),
        "servers.gamehost.spec -> servers.permissions",
    ),
    "a part of servers that is on no floor": (
        "imports",
        _append("servers/unlisted.py", "NUMBER = 1\n"),
        "servers.unlisted",
    ),
    "a leaf importing what installs it": (
        "imports",
        _append("left4me/core/net/ports.py", "\nimport deploy.ops.layout  # noqa\n"),
        "left4me.core.net.ports -> deploy.ops.layout",
    ),
    "something beside the root importing the site": (
        "imports",
        _append("left4me/worker.py", "\nimport left4me.site.pulse  # noqa\n"),
        "left4me.worker -> left4me.site.pulse",
    ),
    "the product importing a tool for tests": (
        "imports",
        _append("left4me/worker.py", "\nimport left4me.testing.cast  # noqa\n"),
        "left4me.worker -> left4me.testing.cast",
    ),
    "the installer importing what it installs": (
        "imports",
        _append("deploy/ops/layout.py", "\nimport django.conf  # noqa\n"),
        "deploy.ops.layout -> django",
    ),
    "product code importing the simulated game": (
        "imports",
        _append("servers/hosts/installs.py", "\nfrom servers.simulated import install as game  # noqa\n"),
        "servers.hosts.installs -> servers.simulated.install",
    ),
    "a circle between the parts of an app": (
        "imports",
        _append("servers/state/hangs.py", "\nimport servers.lifecycle.launch_plan  # noqa\n"),
        "No cycles are allowed in servers.",
    ),
    "a circle between two modules, for their types alone": (
        "imports",
        _append(
            "servers/simulated/srcds/grammar.py",
            "\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .console import Console  # noqa\n",
        ),
        "No cycles are allowed in servers.simulated.srcds.",
    ),
    "a text that no catalog has": (
        "translations",
        _append("accounts/permissions.py", '\n_("A text that nobody has translated")\n'),
        "accounts/locale/de/LC_MESSAGES/django.po does not translate “A text that nobody has translated”",
    ),
    "a catalog that was not compiled": (
        "translations",
        lambda house: (house / "accounts/locale/de/LC_MESSAGES/django.mo").unlink(),
        "accounts/locale/de/LC_MESSAGES/django.po is not compiled",
    ),
    "subprocess outside of the one door": (
        "lint",
        _append("accounts/models.py", "\nimport subprocess\n"),
        "TID251",
    ),
    "a missing migration": (
        "migrations",
        _append("left4me/audit/models.py", "\n\nclass Forgotten(models.Model):\n    pass\n"),
        "Create model Forgotten",
    ),
    "a type error": (
        "types",
        _append("left4me/core/redis/broker.py", '\n\ndef wrong() -> int:\n    return "a string"\n'),
        "left4me/core/redis/broker.py",
    ),
    "a template fault": (
        "templates",
        _append("left4me/site/templates/base.html", "<button>left open\n"),
        "base.html",
    ),
    "a setting missing from env.example": (
        "settings",
        _drop_line("deploy/env.example", "# LEFT4ME_PORTS="),
        "LEFT4ME_PORTS",
    ),
    "a documented setting that nothing reads": (
        "settings",
        _append("deploy/env.example", "# LEFT4ME_NOBODY_READS=1\n"),
        "LEFT4ME_NOBODY_READS",
    ),
    "a fault in a shell script": (
        "shell",
        _append("bin/up", "\ncd $unquoted\n"),
        "bin/up",
    ),
    "a fault in the Dockerfile": (
        "containers",
        _append("deploy/container/Dockerfile", "\nRUN cd /tmp && ls | wc -l\nMAINTAINER nobody\n"),
        "DL4000",
    ),
    "a key that stands twice in a YAML file": (
        "containers",
        _append("deploy/container/compose.yaml", "\nname: twice\n"),
        "duplication of key",
    ),
}


# Each of these is seen by its own line, so one copy is broken in all these ways and checked once.
_IMPORTS = {what for what, (name, _break, seen) in _BREAKS.items() if name == "imports" and "->" in seen}


@pytest.fixture(scope="module")
def wrong_imports(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """The check of a house with all _IMPORTS."""
    house = _copy(tmp_path_factory.mktemp("imports") / "house")
    for what in _IMPORTS:
        _BREAKS[what][1](house)
    return _check(house, "imports")


@pytest.mark.parametrize("what", sorted(_IMPORTS))
def test_the_check_fails_on_an_import(what: str, wrong_imports: subprocess.CompletedProcess[str]):
    assert wrong_imports.returncode == 1
    assert "BROKEN" in wrong_imports.stdout
    assert _BREAKS[what][2] in wrong_imports.stdout


@pytest.mark.parametrize("what", [what for what in _BREAKS if what not in _IMPORTS])
def test_the_check_fails_on(what: str, house: Path):
    name, break_it, seen = _BREAKS[what]
    break_it(house)
    if name == "types" and (known := _REPOSITORY / ".mypy_cache").is_dir():
        # What mypy knows of the other modules already; without it the check takes five times as long.
        shutil.copytree(known, house / known.name)
    finished = _check(house, name)
    assert finished.returncode == 1
    assert "BROKEN" in finished.stdout
    assert seen in finished.stdout


@pytest.mark.parametrize(
    "name", ["lint", "imports", "settings", "templates", "migrations", "shell", "containers", "house"]
)
def test_the_check_passes_on_the_house_as_it_is(name: str, house: Path):
    finished = _check(house, name)
    assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize(
    ("start", "fault"),
    [
        ("coverage", "pytest-cov 7.1.0 requires coverage[toml]>=7.10.6, but the lock has no such package"),
        ("celery==", "pyproject.toml requires celery>=5.5, but the lock has no such package"),
    ],
)
def test_a_lock_that_lost_a_package_is_seen_without_an_index(house: Path, start: str, fault: str) -> None:
    _drop_line("requirements-dev.txt", start)(house)
    finished = subprocess.run(
        [".venv/bin/python", "bin/check-lock"], cwd=house, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 1
    assert fault in finished.stdout


def test_a_lock_without_an_extra_is_seen(house: Path) -> None:
    lock = house / "requirements-dev.txt"
    lock.write_text(lock.read_text().replace("\ncoverage[toml]==", "\ncoverage=="))
    finished = subprocess.run(
        [".venv/bin/python", "bin/check-lock"], cwd=house, capture_output=True, text=True, timeout=60, check=False
    )
    assert "without that extra" in finished.stdout


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('"version": "2.0.11"', '"version": "2.0.10"', "sbom.json is not that of the lock files"),
        ('"licence": "0BSD"', '"licence": "MIT"', "sbom.json is not that of the lock files"),
        ('"licence": "0BSD"', '"licence": "MIT"', "docs/licences.md is not that of the lock files"),
    ],
)
def test_a_list_of_parts_that_is_not_of_the_locks_is_seen(before: str, after: str, fault: str, house: Path) -> None:
    vendored = house / "left4me/site/static/vendor/vendor.json"
    vendored.write_text(vendored.read_text().replace(before, after))
    finished = subprocess.run(
        [".venv/bin/python", "bin/sbom", "--check"], cwd=house, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 1
    assert fault in finished.stdout


_AT_HOME = """
import os
import shutil
from pathlib import Path

import redis


def example(path: Path, fd: int) -> None:
    {line}
"""


_SECOND_HOMES = [
    ("path.with_name('new').replace(path)", "publishes a file by renaming it"),
    ("path.rename('old')", "publishes a file by renaming it"),
    ("os.replace('new', path)", "publishes a file by renaming it"),
    ("os.open('name', os.O_RDONLY, dir_fd=fd)", "walks below a directory by handles"),
    ("os.open(path, os.O_RDONLY | os.O_NOFOLLOW)", "walks below a directory by handles"),
    ("redis.Redis()", "makes a Redis client"),
    ("redis.asyncio.Redis.from_url('redis://')", "makes a Redis client"),
    ("from redis import Redis", "makes a Redis client"),
    ("path.read_text().rpartition(')')", "parses /proc/PID/stat"),
    ("class Cancelled(Exception): ...", "defines a second Cancelled"),
    ("shutil.disk_usage(path)", "measures the disk"),
    ("print(['prlimit', '--as=1'])", "limits a program's resources"),
]
_NO_SECOND_HOMES = [
    "'a'.replace('b', 'c')",
    "path.stat().replace(hour=0)",
    "os.open(path, os.O_RDONLY)",
    "redis.RedisError()",
]
_BAD_NAMES_AND_SIZES = [
    ("accounts/sweeping.py", 1, "accounts/sweeping: a module's name is a noun"),
    ("accounts/shared/parts.py", 1, "accounts/shared: a module's name is a noun"),
    ("accounts/large.py", 401, "accounts/large.py: 401 lines, more than 400"),
]


@pytest.fixture(scope="module")
def faulty_house(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """The check of a house with all faults of one module each, and with what only looks like one."""
    house = _copy(tmp_path_factory.mktemp("faulty") / "house")
    lines = {f"second{number}": line for number, (line, _fault) in enumerate(_SECOND_HOMES)}
    lines |= {f"innocent{number}": line for number, line in enumerate(_NO_SECOND_HOMES)}
    for name, line in lines.items():
        (house / f"accounts/{name}.py").write_text(_AT_HOME.format(line=line))
    for path, length, _fault in _BAD_NAMES_AND_SIZES:
        (house / path).parent.mkdir(exist_ok=True)
        (house / path).write_text("NUMBER = 1\n" * length)
    return _check_house(house)


@pytest.mark.parametrize(("number", "line", "fault"), [(n, *each) for n, each in enumerate(_SECOND_HOMES)])
def test_a_second_home_of_a_primitive_is_seen(
    number: int, line: str, fault: str, faulty_house: subprocess.CompletedProcess[str]
) -> None:
    assert faulty_house.returncode == 1
    assert f"accounts/second{number}.py:10 {fault}" in faulty_house.stdout


@pytest.mark.parametrize(("number", "line"), list(enumerate(_NO_SECOND_HOMES)))
def test_what_only_looks_like_a_primitive_is_none(
    number: int, line: str, faulty_house: subprocess.CompletedProcess[str]
) -> None:
    assert f"accounts/innocent{number}.py:" not in faulty_house.stdout


@pytest.mark.parametrize(("path", "lines", "fault"), _BAD_NAMES_AND_SIZES)
def test_a_bad_name_or_size_is_seen(
    path: str, lines: int, fault: str, faulty_house: subprocess.CompletedProcess[str]
) -> None:
    assert faulty_house.returncode == 1
    assert fault in faulty_house.stdout


def test_too_many_files_in_one_place_or_with_too_little_in_them_are_seen(house: Path) -> None:
    for number in range(50):
        (house / f"servers/part{number}.py").write_text("def example() -> None: ...\n")
    finished = _check_house(house)
    assert finished.returncode == 1
    assert "files beside its folders, more than 12" in finished.stdout
    assert "modules hold a single small thing, more than" in finished.stdout


def test_an_exception_that_is_no_longer_needed_is_seen(house: Path) -> None:
    (house / "deploy/ops/archive.py").write_text("NUMBER = 1\n")
    finished = _check_house(house)
    assert finished.returncode == 1
    assert "deploy/ops/archive.py is no longer an exception" in finished.stdout


def _check_house(house: Path) -> subprocess.CompletedProcess[str]:
    argv = [".venv/bin/python", "bin/check-house"]
    return subprocess.run(argv, cwd=house, capture_output=True, text=True, timeout=60, check=False)
