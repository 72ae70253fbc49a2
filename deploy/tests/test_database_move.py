"""Moves of the database, with answers of manage.py and PostgreSQL made up. On machines, acceptance.py moves it."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest

from deploy.ops import application, database_move, environment
from deploy.ops.database import postgres
from deploy.ops.layout import Layout
from deploy.ops.machine import packages, services
from deploy.ops.plan import CannotGoOn
from deploy.ops.progress import Progress
from left4me.core.files import room
from left4me.core.processes import commands

POSTGRES = "postgres://left4me:old@127.0.0.1:5432/left4me"


class Web:
    """The machine of the web in a directory, on SQLite."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = Layout(root)
        self.calls: list[str] = []
        self.settings: list[dict[str, str]] = []
        self.at: dict[str, Callable[[], object]] = {}
        self.out = StringIO()
        self.waited: list[float] = []
        self.why_not_ready = ""
        self.hosts = ""
        self.missing: list[str] = []
        self.layout.settings.mkdir(parents=True)
        self.layout.program.mkdir(parents=True)
        self.layout.secrets_file.write_text("LEFT4ME_SECRET_KEY=x\n")
        self.layout.settings_file.write_text("LEFT4ME_GAME=simulated\n")
        self.layout.units.mkdir(parents=True)
        (self.layout.units / services.WEB).touch()
        self.layout.data.mkdir(parents=True)
        self.file = self.layout.data / "left4me.sqlite3"
        with closing(sqlite3.connect(self.file)) as db:
            db.execute("CREATE TABLE one (id)")
        self.file.with_name("left4me.sqlite3-wal").touch()
        monkeypatch.setattr(services, "systemctl", lambda *words, **_: self._call(" ".join(words[:1])))
        monkeypatch.setattr(application, "manage", self._manage)
        monkeypatch.setattr(application, "wait_until_ready", self._wait_until_ready)
        monkeypatch.setattr(application, "forget_pulse", lambda layout: self._call("forget pulse"))
        monkeypatch.setattr(packages, "missing", lambda names: self._needs(names))
        monkeypatch.setattr(packages, "install", lambda names: self._call("install"))
        monkeypatch.setattr(postgres, "start", lambda: self._call("start postgres"))
        monkeypatch.setattr(postgres, "set_aside", lambda stamp: self._call("set aside"))
        monkeypatch.setattr(postgres, "make", lambda password: self._call(f"make {len(password)}"))
        monkeypatch.setattr(postgres, "url", lambda password: f"postgres://left4me:{password}@127.0.0.1:5432/left4me")
        monkeypatch.setattr(postgres, "drop_database", lambda: self._call("drop"))

    def _needs(self, names: list[str]) -> list[str]:
        assert "postgresql" in names and "redis-server" in names and "caddy" not in names
        return self.missing

    def _call(self, call: str) -> str:
        self.calls.append(call)
        for start, act in self.at.items():
            if call.startswith(start):
                act()
        return ""

    def _manage(
        self, layout: Layout, *arguments: str, settings: dict[str, str] | None = None, timeout: float = 600
    ) -> commands.Finished:
        self._call(arguments[0])
        self.settings.append(settings or {})
        if arguments[0] == "migrate" and (settings or {})["DATABASE_URL"].startswith("sqlite"):
            self.file.touch()
        output = self.hosts if arguments[0] == "list_hosts" else "copying\n7 rows are the same\n"
        return commands.Finished(status=0, output=output, seconds=0)

    def _wait_until_ready(self, layout: Layout, *, seconds: float) -> str:
        self.waited.append(seconds)
        self._call("ready?")
        return self.why_not_ready

    def move(self, kind: str) -> str:
        return database_move.move(self.layout, kind, ready_seconds=5, progress=Progress(self.out))

    def use_postgres(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The database is left4me's PostgreSQL; a SQLite file of before is still there."""
        self.layout.secrets_file.write_text(f"LEFT4ME_SECRET_KEY=x\nDATABASE_URL={POSTGRES}\n")
        monkeypatch.setattr(database_move.copies.Postgres, "size", lambda self: 1000)

    def database(self) -> str:
        return environment.read(self.layout).get("DATABASE_URL", "")

    def files(self) -> set[str]:
        return {path.name.partition(".before-")[0] + ".before" * (".before-" in path.name) for path in self.kept()}

    def kept(self) -> list[Path]:
        return list(self.layout.data.iterdir())


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Web:
    return Web(tmp_path, monkeypatch)


def test_to_postgresql_everything_is_copied_while_the_application_stands_still(web: Web):
    kept = web.move("postgres")
    assert web.calls == [
        *("start postgres", "set aside", "make 43", "migrate", "stop", "stop", "copy_database"),
        *("forget pulse", "reset-failed", "start", "ready?"),
    ]
    migrated, copied = web.settings
    assert migrated == {"DATABASE_URL": web.database()}
    assert copied == {"DATABASE_URL": web.database(), "LEFT4ME_COPY_FROM": f"sqlite:///{web.file}"}
    assert web.database().startswith("postgres://left4me:")
    assert Path(kept).name.startswith("left4me.sqlite3.before-") and Path(kept).exists()
    assert {path.name for path in web.kept()} == {Path(kept).name, f"{Path(kept).name}-wal"}
    assert "7 rows are the same\n" in web.out.getvalue() and "copying\n" not in web.out.getvalue().splitlines()
    assert web.waited == [5]


def test_packages_are_installed_where_they_are_missing(web: Web):
    web.missing = ["postgresql"]
    web.move("postgres")
    assert web.calls[:2] == ["install", "start postgres"]


def test_back_to_sqlite_the_file_of_before_is_kept_too(web: Web, monkeypatch: pytest.MonkeyPatch):
    web.use_postgres(monkeypatch)
    assert web.move("sqlite") == "the PostgreSQL database left4me"
    assert web.database() == f"sqlite:///{web.file}"
    assert web.files() == {"left4me.sqlite3", "left4me.sqlite3.before"}
    assert web.settings[-1]["LEFT4ME_COPY_FROM"] == POSTGRES
    assert "drop" not in web.calls


def test_worker_hosts_keep_postgresql(web: Web, monkeypatch: pytest.MonkeyPatch):
    web.use_postgres(monkeypatch)
    web.hosts = "two\nthree\n"
    with pytest.raises(database_move.MoveFault, match="Worker hosts need PostgreSQL: two, three"):
        web.move("sqlite")
    assert web.calls == ["list_hosts"]
    assert web.database() == POSTGRES


def test_a_database_of_this_kind_stays(web: Web):
    with pytest.raises(database_move.MoveFault, match="of this kind already"):
        web.move("sqlite")
    assert web.calls == []


@pytest.mark.parametrize("missing", [0, 1])
def test_there_has_to_be_room_for_the_second_database(web: Web, monkeypatch: pytest.MonkeyPatch, missing: int):
    needed = 2 * web.file.stat().st_size + 500_000_000
    monkeypatch.setattr(room, "free", lambda path: needed - missing)
    if not missing:
        web.move("postgres")
        return
    with pytest.raises(CannotGoOn, match="too full for a second database"):
        web.move("postgres")
    assert web.calls == []


@pytest.mark.parametrize("call", ["migrate", "stop", "copy_database", "start", "ready?"])
@pytest.mark.parametrize("kind", ["postgres", "sqlite"])
def test_whatever_fails_the_old_database_is_in_use_and_the_new_one_gone(
    web: Web, monkeypatch: pytest.MonkeyPatch, kind: str, call: str
):
    if kind == "sqlite":
        web.use_postgres(monkeypatch)
    before = web.layout.secrets_file.read_text()

    def interrupt() -> None:
        if "migrate" in web.calls:  # not when PostgreSQL is started
            web.at.clear()
            if call == "migrate":
                raise commands.CommandError("migrate failed")
            signal.raise_signal(signal.SIGTERM)

    web.at = {call: interrupt}
    expected = commands.CommandError if call == "migrate" else database_move.MoveFault
    with pytest.raises(expected, match="migrate failed" if call == "migrate" else "SIGTERM. The old database is in"):
        web.move(kind)
    assert web.layout.secrets_file.read_text() == before
    if call != "migrate":
        assert [each for each in web.calls if each in ("start", "stop")][-3:] == ["stop", "stop", "start"]
    assert ("drop" in web.calls) is (kind == "postgres")
    if kind == "sqlite":
        assert web.files() == {"left4me.sqlite3.before"}
    else:
        assert "left4me.sqlite3" in web.files()


def test_a_new_database_on_which_the_application_is_not_ready_is_given_up(web: Web):
    web.why_not_ready = "the worker is away"
    with pytest.raises(database_move.MoveFault, match=r"not ready within 5 s: the worker is away\. The old database"):
        web.move("postgres")
    assert web.database() == ""


def test_an_operator_s_own_file_is_not_renamed(web: Web, tmp_path: Path):
    own = tmp_path / "own.sqlite3"
    own.touch()
    web.layout.settings_file.write_text(f"DATABASE_URL=sqlite:///{own}\n")
    assert web.move("postgres") == str(own)
    assert own.exists()


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a database is moved by root")
