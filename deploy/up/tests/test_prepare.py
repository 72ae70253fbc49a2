from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.up import prepare
from left4me.core.processes import commands

_REPOSITORY = Path(__file__).resolve().parents[3]


def test_a_copy_holds_what_stands_in_the_write_ahead_log(tmp_path: Path):
    source, target = tmp_path / "live.sqlite3", tmp_path / "backups" / "before-migration-1.sqlite3"
    with closing(sqlite3.connect(source)) as live:
        live.execute("PRAGMA journal_mode=WAL")
        live.execute("CREATE TABLE t (x)")
        live.execute("INSERT INTO t VALUES (42)")
        live.commit()
        prepare._keep_copy(source, target)
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT x FROM t").fetchall() == [(42,)]
    assert target.stat().st_mode & 0o777 == 0o600


def test_only_the_newest_copies_are_kept(tmp_path: Path):
    source = tmp_path / "live.sqlite3"
    sqlite3.connect(source).close()
    for number in range(8):
        prepare._keep_copy(source, tmp_path / "backups" / f"before-migration-{number}.sqlite3")
    kept = sorted(path.name for path in (tmp_path / "backups").iterdir())
    assert kept == [f"before-migration-{number}.sqlite3" for number in range(3, 8)]


@pytest.mark.slow
def test_an_upgrade_copies_the_database_before_it_changes_it(tmp_path: Path, collected_static: Path):
    shutil.copytree(collected_static, tmp_path / "static")
    env = {"PATH": os.environ["PATH"], "LEFT4ME_ROOT": str(tmp_path)}

    def run(*words: str) -> str:
        return commands.run([sys.executable, *words], timeout=120, cwd=_REPOSITORY, env=env).output

    assert "copied the database" not in run("-m", "deploy.up.prepare"), "there is nothing to lose at first"
    assert "migrations" not in run("-m", "deploy.up.prepare"), "the second start has nothing to do"
    run("manage.py", "migrate", "status_pages", "zero")
    assert "copied the database to" in run("-m", "deploy.up.prepare")
    (copy,) = (tmp_path / "backups").iterdir()
    with closing(sqlite3.connect(copy)) as kept:
        applied = kept.execute("SELECT count(*) FROM django_migrations WHERE app = 'status_pages'").fetchone()
    assert applied == (0,)


@pytest.mark.slow
def test_a_start_that_has_nothing_to_prepare_does_not_load_django_to_find_that_out(
    tmp_path: Path, collected_static: Path
):
    shutil.copytree(collected_static, tmp_path / "static")
    env = {"PATH": os.environ["PATH"], "LEFT4ME_ROOT": str(tmp_path)}

    def is_prepared() -> bool:
        code = "from deploy.up import prepare; print(prepare.plan()['is_prepared'])"
        said = commands.run([sys.executable, "-c", code], timeout=120, cwd=_REPOSITORY, env=env).output
        return {"True": True, "False": False}[said]

    assert not is_prepared()
    commands.run([sys.executable, "-m", "deploy.up.prepare"], timeout=120, cwd=_REPOSITORY, env=env)
    assert is_prepared()
    with closing(sqlite3.connect(tmp_path / "left4me.sqlite3")) as older, older:
        older.execute("DELETE FROM django_migrations WHERE app = 'status_pages'")
    assert not is_prepared(), "the database of an older release was put back"


def test_a_changed_migration_static_file_bundle_or_package_is_prepared(tmp_path: Path):
    settings = SimpleNamespace(BASE_DIR=tmp_path, INSTALLED_APPS=["app.inner.apps.Config", "elsewhere"])
    files = [
        tmp_path / name
        for name in ("requirements.txt", "app/migrations/0001.py", "app/inner/static/a.css", "app/bundles.py")
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("1")
    digests = {prepare._sources_digest(settings)}
    for file in files:
        file.write_text("22")
        digests.add(prepare._sources_digest(settings))
    assert len(digests) == 5
    (tmp_path / "app" / "views.py").write_text("")
    assert prepare._sources_digest(settings) in digests
