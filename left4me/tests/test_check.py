"""Each rule of the house, broken once on purpose in a copy of the checkout: bin/check must see it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the files that git knows, with this checkout's .venv."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=_REPOSITORY,
        capture_output=True,
        check=True,
    ).stdout
    copy = tmp_path / "house"
    for name in filter(None, listed.decode().split("\0")):
        source, target = _REPOSITORY / name, copy / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    (copy / ".venv").symlink_to((_REPOSITORY / ".venv").resolve())
    # The template check asks git which files there are.
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
    return copy


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


@pytest.mark.parametrize("what", _BREAKS)
def test_the_check_fails_on(what: str, house: Path):
    name, break_it, seen = _BREAKS[what]
    break_it(house)
    finished = _check(house, name)
    assert finished.returncode == 1
    assert "BROKEN" in finished.stdout
    assert seen in finished.stdout


@pytest.mark.parametrize("name", ["lint", "imports", "settings", "templates", "migrations", "shell", "containers"])
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
