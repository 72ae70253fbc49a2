import os
import sqlite3
from contextlib import closing

import pytest

from deploy.cli import main
from deploy.ops import releases, restore
from deploy.ops.layout import Layout

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a backup is restored by root")


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path)
    release = layout.releases / "20261101-abc1234"
    for app, name in (("servers", "0001_servers"), ("left4me/jobs", "0001_jobs")):
        (release / app / "migrations").mkdir(parents=True)
        (release / app / "migrations" / f"{name}.py").touch()
    (release / ".venv/lib/python3.11/site-packages/django/contrib/auth/migrations").mkdir(parents=True)
    (release / ".venv/lib/python3.11/site-packages/django/contrib/auth/migrations/0001_initial.py").touch()
    layout.current.symlink_to("releases/20261101-abc1234")
    layout.data.mkdir(parents=True)
    layout.units.mkdir(parents=True)
    (layout.units / "left4me-web.service").touch()
    return layout


def manifest(**changed):
    database = {"kind": "sqlite", "migrations": ["auth.0001_initial", "jobs.0001_jobs", "servers.0001_servers"]}
    return {"format": 1, "release": "20261102-def5678", "database": database, **changed}


def test_a_release_knows_the_migrations_of_its_apps_and_of_django(layout):
    assert releases.migrations(layout.current) == {"auth.0001_initial", "jobs.0001_jobs", "servers.0001_servers"}


def test_a_backup_of_this_or_an_older_release_is_taken(layout):
    restore.refuse_unfit(layout, manifest())
    restore.refuse_unfit(layout, manifest(database={"kind": "sqlite", "migrations": ["servers.0001_servers"]}))


def test_a_backup_of_a_newer_release_is_refused_with_the_cure(layout):
    newer = {"kind": "sqlite", "migrations": ["servers.0001_servers", "servers.0002_more"]}
    with pytest.raises(restore.RestoreFault, match=r"20261102-def5678.*servers\.0002_more.*left4mectl upgrade"):
        restore.refuse_unfit(layout, manifest(database=newer))
    with pytest.raises(restore.RestoreFault, match="left4mectl upgrade"):
        restore.refuse_unfit(layout, manifest(format=2))


def test_a_backup_of_another_kind_of_database_is_refused_with_the_cure(layout):
    with pytest.raises(restore.RestoreFault, match="--database postgres"):
        restore.refuse_unfit(layout, manifest(database={"kind": "postgres", "migrations": []}))


def test_where_database_and_redis_are_stays_this_machine_s_own(layout, tmp_path):
    here = "LEFT4ME_SECRET_KEY=new\nDATABASE_URL=postgres://ours\nREDIS_URL=unix:///ours\n"
    backed_up = "# DATABASE_URL=an example\nLEFT4ME_SECRET_KEY=old\nDATABASE_URL=postgres://theirs\n"
    (tmp_path / "secrets.env").write_text(here)
    lines = restore._with_own_lines(backed_up, tmp_path / "secrets.env").splitlines()
    assert lines == [
        "# DATABASE_URL=an example",
        "LEFT4ME_SECRET_KEY=old",
        "DATABASE_URL=postgres://ours",
        "REDIS_URL=unix:///ours",
    ]


@pytest.mark.parametrize("content", [b"", b"no backup of ours", b"\0" * 600_000])
def test_any_other_file_is_refused_before_anything_is_touched(layout, tmp_path, content, capsys):
    with closing(sqlite3.connect(layout.data / "left4me.sqlite3")) as db:
        db.execute("CREATE TABLE kept (id)")
    before = sorted(path.name for path in layout.data.iterdir())
    (tmp_path / "file").write_bytes(content)
    assert main(["restore", "--yes", str(tmp_path / "file")], layout=layout) == 1
    assert "not a backup" in capsys.readouterr().err
    assert sorted(path.name for path in layout.data.iterdir()) == before
