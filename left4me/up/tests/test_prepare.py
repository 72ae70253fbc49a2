from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from left4me.up import prepare


def test_a_copy_holds_what_stands_in_the_write_ahead_log(tmp_path: Path):
    source, target = tmp_path / "live.sqlite3", tmp_path / "backups" / "before-migration-1.sqlite3"
    with closing(sqlite3.connect(source)) as live:
        live.execute("PRAGMA journal_mode=WAL")
        live.execute("CREATE TABLE t (x)")
        live.execute("INSERT INTO t VALUES (42)")
        live.commit()
        prepare._copy_sqlite(source, target)
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT x FROM t").fetchall() == [(42,)]
    assert target.stat().st_mode & 0o777 == 0o600


def test_only_the_newest_copies_are_kept(tmp_path: Path):
    source = tmp_path / "live.sqlite3"
    sqlite3.connect(source).close()
    for number in range(8):
        prepare._copy_sqlite(source, tmp_path / "backups" / f"before-migration-{number}.sqlite3")
    kept = sorted(path.name for path in (tmp_path / "backups").iterdir())
    assert kept == [f"before-migration-{number}.sqlite3" for number in range(3, 8)]
