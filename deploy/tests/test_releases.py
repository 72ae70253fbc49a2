"""Releases made from a small repository that looks like ours where releases.py looks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from deploy.ops import releases
from deploy.ops.layout import Layout
from deploy.tests.releases_on_machines import layout_of_machine, shared_environments  # noqa: F401 -- fixtures

_MANAGE = """\
import os, pathlib, sys
assert sys.argv[1] == "collectstatic" and "LEFT4ME_SECRET_KEY" not in os.environ
static = pathlib.Path(os.environ["LEFT4ME_STATIC_ROOT"])
static.mkdir()
(static / "site.css").write_text("body {}")
(static / "made-by").write_text(pathlib.Path.cwd().name)
"""


@pytest.mark.django_db
def test_the_migrations_of_a_release_are_those_that_django_knows():
    """Of apps below other apps as well: an upgrade refuses a database with others."""
    loaded = {f"{app}.{name}" for app, name in MigrationLoader(connection).disk_migrations}
    assert loaded == releases.migrations(Path(settings.BASE_DIR)) & loaded
    assert any(name.startswith("bans.") for name in loaded)


class _Checkout:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "-q", "-b", "main")
        self.commit("First", "manage.py", _MANAGE)

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=anna", "-c", "user.email=anna@localhost"]
        argv = ["git", *identity, "-C", str(self.path), *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, message: str, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)
        (self.path / "requirements.txt").touch()
        self.git("add", ".")
        self.git("commit", "-q", "-m", message)


@pytest.fixture
def checkout(tmp_path: Path) -> _Checkout:
    return _Checkout(tmp_path / "checkout")


@pytest.mark.venv
def test_a_release_is_named_after_day_and_commit_and_says_so_itself(checkout: _Checkout, layout: Layout):
    name = releases.take_over(layout, checkout.path)
    assert releases.NAME.fullmatch(name)
    assert name == releases.name_of(checkout.path)
    assert checkout.git("rev-parse", "HEAD").startswith(name.partition("-")[2])
    tree = releases.build(layout, name)
    assert (tree / "RELEASE").read_text() == f"{name}\n"
    assert (tree / "static/site.css").is_file()
    assert (tree / ".venv/bin/python").exists()
    assert not (tree / ".git").exists()
    assert releases.installed(layout) == [name]


@pytest.mark.venv
def test_what_is_not_committed_is_no_part_of_a_release(checkout: _Checkout, layout: Layout):
    (checkout.path / "draft.py").touch()
    tree = releases.build(layout, releases.take_over(layout, checkout.path))
    assert not (tree / "draft.py").exists()


@pytest.mark.venv
def test_a_build_that_was_cut_off_is_built_anew(checkout: _Checkout, layout: Layout):
    name = releases.take_over(layout, checkout.path)
    left = layout.releases / name / "half"
    left.mkdir(parents=True)
    assert releases.installed(layout) == []
    releases.build(layout, name)
    assert not left.exists()


@pytest.mark.venv
def test_a_whole_release_is_not_built_again(checkout: _Checkout, layout: Layout):
    name = releases.take_over(layout, checkout.path)
    mark = releases.build(layout, name) / "mark"
    mark.touch()
    releases.build(layout, name)
    assert mark.exists()


@pytest.mark.venv
def test_a_build_that_fails_leaves_nothing_and_says_why(checkout: _Checkout, layout: Layout):
    checkout.commit("Break", "manage.py", "raise SystemExit('no such static file')")
    name = releases.take_over(layout, checkout.path)
    with pytest.raises(releases.ReleaseFault, match="no such static file"):
        releases.build(layout, name)
    assert not (layout.releases / name).exists()


@pytest.mark.venv
@pytest.mark.parametrize(
    ("changed", "are_made_again"),
    [
        ("CHANGELOG.md", False),
        ("left4me/site/static/site.css", True),
        ("left4me/settings.py", True),
        ("left4me/site/bundles.py", True),
        ("requirements.txt", True),
    ],
)
def test_static_files_are_made_again_when_what_they_are_made_of_has_changed(
    checkout: _Checkout, layout: Layout, changed: str, are_made_again: bool
):
    first = releases.build(layout, releases.take_over(layout, checkout.path))
    checkout.commit("Change", changed, "# Something else.\n")
    second = releases.build(layout, releases.take_over(layout, checkout.path))
    assert (second / "static/made-by").read_text() == (second if are_made_again else first).name
    (second / "static/site.css").write_text("changed")
    assert (first / "static/site.css").read_text() == "body {}"


def _whole(layout: Layout, name: str) -> str:
    tree = layout.releases / name
    (tree / ".venv/bin").mkdir(parents=True)
    (tree / ".venv/bin/python").symlink_to("/usr/bin/python3")
    (tree / "RELEASE").write_text(f"{name}\n")
    return name


def test_a_switch_is_one_rename_and_pruning_spares_what_runs_and_what_is_kept(layout: Layout):
    names = [_whole(layout, f"2026112{day}-0123456789") for day in range(3)]
    releases.switch(layout, names[0])
    releases.switch(layout, names[2])
    assert releases.running(layout) == names[2]
    assert layout.current.readlink() == Path("releases", names[2])
    assert releases.prune(layout, previous=names[1]) == [names[0]]
    assert releases.installed(layout) == names[1:]


def test_a_release_whose_python_is_gone_is_whole_no_more(layout: Layout):
    name = _whole(layout, "20261121-0123456789")
    python = layout.releases / name / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/usr/bin/python3.9-that-was")
    assert releases.installed(layout) == []


def test_before_the_first_release_there_is_none_running(layout: Layout):
    with pytest.raises(releases.ReleaseFault, match="deploy/install"):
        releases.running(layout)


def test_upgrades_come_from_where_the_checkout_came_from(checkout: _Checkout, layout: Layout, tmp_path: Path):
    checkout.commit("First", "CHANGELOG.md", "# Changelog\n")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(checkout.path), str(clone)], check=True)
    old = releases.take_over(layout, clone)
    checkout.commit("Newer", "CHANGELOG.md", "# Changelog\n- What is new.\n")
    releases.fetch(layout)
    new = releases.resolve(layout, None)
    assert new != old
    assert releases.news(layout, old, new) == ["- What is new."]
    assert releases.resolve(layout, old.partition("-")[2]) == old


@pytest.mark.venv
def test_a_detached_checkout_follows_the_first_branch_of_its_origin(
    checkout: _Checkout, layout: Layout, tmp_path: Path
):
    checkout.commit("Second", "second", "2")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(checkout.path), str(clone)], check=True)
    subprocess.run(["git", "-C", str(clone), "checkout", "-q", "HEAD~1"], check=True)
    old = releases.take_over(layout, clone)
    releases.fetch(layout)
    assert releases.resolve(layout, None) == releases.name_of(checkout.path) != old
    releases.build(layout, old)


def test_an_origin_that_is_gone_is_named(checkout: _Checkout, layout: Layout):
    releases.take_over(layout, checkout.path)
    checkout.path.rename(checkout.path.with_name("moved"))
    with pytest.raises(releases.ReleaseFault, match="checkout cannot be reached"):
        releases.fetch(layout)


def test_an_unknown_ref_and_a_folder_that_is_no_checkout_are_refused(
    checkout: _Checkout, layout: Layout, tmp_path: Path
):
    releases.take_over(layout, checkout.path)
    with pytest.raises(releases.ReleaseFault, match="no branch, tag or commit"):
        releases.resolve(layout, "nowhere")
    with pytest.raises(releases.ReleaseFault, match="git clone"):
        releases.take_over(layout, tmp_path)


def test_modules_are_compiled_but_for_those_that_are_never_imported_or_broken(tmp_path: Path):
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    for name in ("app/good.py", "app/broken.py", "app/tests/test_good.py", "bench/load.py", "app/testing/x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("def (" if "broken" in name else "x = 1\n")
    releases._compile(tmp_path)
    assert {path.parent.parent.name + "/" + path.name.partition(".")[0] for path in tmp_path.rglob("*.pyc")} == {
        "app/good"
    }


@pytest.mark.parametrize(("name", "is_known"), [("0001_first", True), ("001_short", False), ("__init__", False)])
def test_a_migration_begins_with_four_digits(tmp_path: Path, name: str, is_known: bool):
    (tmp_path / "app/migrations").mkdir(parents=True)
    (tmp_path / f"app/migrations/{name}.py").touch()
    assert releases.migrations(tmp_path) == ({f"app.{name}"} if is_known else set())


def test_a_detached_checkout_follows_the_default_branch_whatever_it_is_called(checkout: _Checkout, tmp_path: Path):
    checkout.git("branch", "-m", "trunk")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(checkout.path), str(clone)], check=True)
    env = dict(os.environ)
    assert releases._branch_of(clone, env) == "trunk"
    subprocess.run(["git", "-C", str(clone), "checkout", "-q", "--detach"], check=True)
    assert releases._branch_of(clone, env) == "trunk"
    checkout.git("checkout", "-q", "--detach")
    assert releases._branch_of(checkout.path, env) == "main", "it has no origin"
