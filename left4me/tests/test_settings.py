"""Settings are read in a process of their own: what is tested is what an operator sees."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import pytest

from left4me.core.processes import commands
from left4me.core.version import PROJECT_VERSION, VERSION, release_of

_REPOSITORY = Path(__file__).resolve().parents[2]


# As bin/up reads them.
_READ = """
import sys
from deploy.up import prepare
from left4me.core.env import Misconfigured
try:
    prepare.plan()
except Misconfigured as fault:
    sys.exit(str(fault))
"""


def _start(tmp_path: Path, **variables: str) -> commands.Finished:
    env = {"PATH": os.environ["PATH"], "LEFT4ME_ROOT": str(tmp_path), **variables}
    return commands.run([sys.executable, "-c", _READ], timeout=60, cwd=_REPOSITORY, env=env, check=False)


def test_a_fresh_checkout_needs_no_setting_on_loopback(tmp_path: Path):
    assert _start(tmp_path).status == 0


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"LEFT4ME_BIND": "0.0.0.0:8000"}, "LEFT4ME_SECRET_KEY is missing"),
        ({"LEFT4ME_SECRET_KEY": "short"}, "LEFT4ME_SECRET_KEY is missing or shorter"),
        ({"LEFT4ME_BIND": "0.0.0.0:8000", "LEFT4ME_SECRET_KEY": "x" * 40, "LEFT4ME_DEBUG": "true"}, "LEFT4ME_DEBUG"),
        (
            {"LEFT4ME_BIND": "0.0.0.0:8000", "LEFT4ME_SECRET_KEY": "x" * 40, "LEFT4ME_ALLOWED_HOSTS": "*"},
            "LEFT4ME_ALLOWED_HOSTS",
        ),
        ({"LEFT4ME_RUNTIME": "docker"}, "LEFT4ME_RUNTIME"),
        ({"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL must start with"),
        ({"REDIS_URL": "memcached://x"}, "REDIS_URL must start with"),
        ({"LEFT4ME_SEALING_KEY": "short"}, "LEFT4ME_SEALING_KEY is not a valid key"),
        ({"LEFT4ME_WEB_URL": "https://central"}, "LEFT4ME_WEB_URL also needs LEFT4ME_HOST_TOKEN"),
        ({"LEFT4ME_WEB_URL": "ftp://central", "LEFT4ME_HOST_TOKEN": "x"}, "LEFT4ME_WEB_URL must start with"),
    ],
)
def test_an_unsafe_or_wrong_setting_refuses_to_start_with_one_sentence(tmp_path: Path, variables, words):
    finished = _start(tmp_path, **variables)
    assert finished.status == 1
    assert words in finished.output
    assert len(finished.output.splitlines()) == 1


def test_the_release_is_the_one_of_the_project_file():
    project = tomllib.loads((_REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION == PROJECT_VERSION


def test_an_installed_tree_is_of_the_release_that_it_says(tmp_path: Path):
    (tmp_path / "RELEASE").write_text("20261121-0123456789\n")
    assert release_of(tmp_path) == "20261121-0123456789"
