import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from io import StringIO

import pytest

from deploy.cli import main
from deploy.ops import application, backup, environment, releases, restore
from deploy.ops.layout import Layout
from deploy.ops.machine import proxy, services
from deploy.ops.progress import Progress

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
    names = ("DATABASE_URL", "REDIS_URL")
    lines = restore._with_own_lines(backed_up, tmp_path / "secrets.env", names).splitlines()
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


SOMEBODY = 64123


class Machine:
    """A machine in a directory whose application belongs to another user, and a backup of it.

    The answers of systemctl, of manage.py and of `/ready` are made up.
    """

    def __init__(self, root, monkeypatch):
        self.layout = Layout(root)
        self.release = self.layout.releases / "20261101-abc1234"
        (self.release / "servers/migrations").mkdir(parents=True)
        (self.release / "servers/migrations/0001_servers.py").touch()
        (self.release / ".venv/lib/python3.11/site-packages/django/contrib/auth/migrations").mkdir(parents=True)
        self.layout.current.symlink_to("releases/20261101-abc1234")
        self.layout.units.mkdir(parents=True)
        (self.layout.units / "left4me-web.service").touch()
        self.layout.settings.mkdir(parents=True)
        self.layout.settings_file.write_text("LEFT4ME_HOST=backed-up\n")
        for tree in (*backup.TREES, "servers/7/upper"):
            (self.layout.data / tree).mkdir(parents=True)
        self.state = self.layout.data / "servers/7/upper/state"
        self.state.write_text("backed up")
        with closing(sqlite3.connect(self.layout.data / "left4me.sqlite3")) as db:
            db.execute("CREATE TABLE django_migrations (app, name)")
            db.execute("INSERT INTO django_migrations VALUES ('servers', '0001_servers')")
            db.execute("CREATE TABLE one AS SELECT 'backed up' AS state")
            db.commit()
        for path in (self.layout.data, *self.layout.data.rglob("*")):
            os.chown(path, SOMEBODY, SOMEBODY)
        self.why_not_ready = ""
        self.at_stop = lambda: None
        self.stops = self.starts = 0
        self.prepare(monkeypatch)

    def prepare(self, monkeypatch):
        monkeypatch.setattr(application, "owner", lambda: (SOMEBODY, SOMEBODY))
        monkeypatch.setattr(application, "manage", lambda *_, **__: None)
        monkeypatch.setattr(application, "wait_until_ready", lambda *_, **__: self.why_not_ready)
        monkeypatch.setattr(services, "systemctl", lambda *_, **__: "")
        monkeypatch.setattr(services, "stop_all", lambda layout: self.stopped())
        monkeypatch.setattr(services, "start", lambda layout: self.started())

    def stopped(self):
        self.stops += 1
        self.at_stop()

    def started(self):
        self.starts += 1

    def back_up(self):
        made = backup.make(
            self.layout,
            to=None,
            keep=7,
            with_workshop=False,
            with_copies=False,
            now=datetime(2026, 11, 21, 4, 0, tzinfo=UTC),
            progress=Progress(StringIO()),
        )
        return made.path

    def change(self):
        self.layout.settings_file.write_text("LEFT4ME_HOST=present\n")
        self.state.write_text("present")
        with closing(sqlite3.connect(self.layout.data / "left4me.sqlite3")) as db:
            db.execute("UPDATE one SET state = 'present'")
            db.commit()

    def found(self):
        with closing(sqlite3.connect(self.layout.data / "left4me.sqlite3")) as db:
            (in_database,) = db.execute("SELECT state FROM one").fetchone()
        return {environment.read(self.layout)["LEFT4ME_HOST"], self.state.read_text(), in_database}

    def restore(self, file):
        return restore.restore(self.layout, file, ready_seconds=5, progress=Progress(StringIO()))


@pytest.fixture
def machine(open_path, monkeypatch):
    return Machine(open_path, monkeypatch)


def owners(*paths):
    return {path.lstat().st_uid for top in paths for path in (top, *top.rglob("*"))}


def test_a_restore_exchanges_everything_and_keeps_what_was_there(machine):
    file = machine.back_up()
    machine.change()
    hints = machine.restore(file)
    assert machine.found() == {"backed-up", "backed up"}
    own, trees = machine.layout.backups / "before-restore", machine.layout.data / "before-restore"
    assert str(own) in hints[0] and str(trees) in hints[0]
    assert (own / "settings/left4me.env").read_text() == "LEFT4ME_HOST=present\n"
    assert (trees / "servers/7/upper/state").read_text() == "present"
    assert owners(own) == {0} and own.stat().st_mode & 0o777 == trees.stat().st_mode & 0o777 == 0o700
    assert owners(machine.layout.data) == {SOMEBODY}
    assert not (machine.layout.backups / ".restoring").exists() and not (machine.layout.data / ".restoring").exists()
    machine.restore(file)
    assert machine.found() == {"backed-up", "backed up"}, "a second restore replaces what the first one kept"


SITE = "# of left4me\n{} {{\n\treverse_proxy 127.0.0.1:8000 {{\n\t\theader_up X-Left4me-Proxy-Secret {}\n\t}}\n}}\n"
OLD = (
    "LEFT4ME_HOST=backed-up\nLEFT4ME_ALLOWED_HOSTS=old.example.org,127.0.0.1\nLEFT4ME_BEHIND_TLS=true\n"
    "LEFT4ME_PUBLIC_URL=https://old.example.org\n"
)
NEW = "LEFT4ME_HOST=present\nLEFT4ME_ALLOWED_HOSTS=new.example.org,127.0.0.1\nLEFT4ME_BEHIND_TLS=true\n"


def serve(layout, name, secret):
    layout.caddyfile.parent.mkdir(parents=True, exist_ok=True)
    layout.caddyfile.write_text("import left4me.caddy\n")
    proxy.site(layout).write_text(SITE.format(name, secret))


def test_a_machine_that_serves_a_name_keeps_it_and_the_secret_of_its_proxy(machine):
    machine.layout.settings_file.write_text(OLD)
    machine.layout.secrets_file.write_text("LEFT4ME_SECRET_KEY=old\nLEFT4ME_PROXY_SECRET=theirs\n")
    file = machine.back_up()
    machine.change()
    machine.layout.settings_file.write_text(NEW)
    machine.layout.secrets_file.write_text("LEFT4ME_SECRET_KEY=new\nLEFT4ME_PROXY_SECRET=ours\n")
    serve(machine.layout, "new.example.org", "ours")
    hints = machine.restore(file)
    assert environment.read(machine.layout) == {
        "LEFT4ME_HOST": "backed-up",
        "LEFT4ME_ALLOWED_HOSTS": "new.example.org,127.0.0.1",
        "LEFT4ME_BEHIND_TLS": "true",
        "LEFT4ME_SECRET_KEY": "old",
        "LEFT4ME_PROXY_SECRET": "ours",
    }
    assert "keeps its own address, https://new.example.org" in hints[1]


def test_a_machine_without_a_site_is_told_how_to_serve_the_name_of_the_backup(machine):
    machine.layout.settings_file.write_text(OLD)
    file = machine.back_up()
    machine.change()
    hints = machine.restore(file)
    assert environment.read(machine.layout)["LEFT4ME_PUBLIC_URL"] == "https://old.example.org"
    assert "`deploy/install --domain old.example.org`" in hints[1]
    serve(machine.layout, "old.example.org", "theirs")
    assert len(machine.restore(file)) == 1, "nothing is left to do"


def test_what_a_backup_says_becomes_no_command(machine):
    machine.layout.settings_file.write_text(OLD.replace("old.example.org,", "$(reboot),"))
    file = machine.back_up()
    assert "`deploy/install --domain NAME`" in machine.restore(file)[1]


def test_units_that_were_enabled_where_the_backup_was_made_are_named(machine, monkeypatch):
    enabled = [services.FIREWALL, services.BACKUP_TIMER]
    monkeypatch.setattr(services, "enabled", lambda units: [unit for unit in units if unit in enabled])
    file = machine.back_up()
    assert len(machine.restore(file)) == 1
    enabled.remove(services.FIREWALL)
    assert machine.restore(file)[1].endswith("`systemctl enable --now left4me-firewall.service`.")


def test_a_restore_that_does_not_become_ready_puts_everything_back(machine):
    file = machine.back_up()
    machine.change()
    machine.why_not_ready = "the worker is not running"
    with pytest.raises(restore.RestoreFault, match="unchanged: the application did not become ready"):
        machine.restore(file)
    assert machine.found() == {"present"}
    assert owners(machine.layout.data) == {SOMEBODY}


def test_nothing_that_the_application_prepares_or_exchanges_leads_root_elsewhere(machine, tmp_path):
    """Its links stay links, and the settings that root reads are out of its reach."""
    file = machine.back_up()
    machine.change()
    data, elsewhere = machine.layout.data, tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in (".restoring", "before-restore"):
        (data / name).symlink_to(elsewhere)

    def exchange():
        for name in (".restoring", "before-restore"):
            if (data / name).exists():
                (data / name).rename(data / f"{name}-{machine.stops}")
        (data / ".restoring/settings").mkdir(parents=True)
        (data / ".restoring/settings/left4me.env").write_text("LEFT4ME_HOST=planted\n")
        (data / "before-restore").symlink_to(elsewhere)

    machine.at_stop = exchange
    with pytest.raises(restore.RestoreFault):
        machine.restore(file)
    assert list(elsewhere.iterdir()) == []
    assert environment.read(machine.layout) == {"LEFT4ME_HOST": "present"}


def test_a_backup_whose_settings_load_other_code_is_refused_before_anything_stops(machine):
    machine.layout.settings_file.write_text("LEFT4ME_HOST=backed-up\nLD_PRELOAD=/tmp/x.so\n")
    with pytest.raises(environment.BadSettings):
        machine.back_up()
    file = machine.layout.backups / "left4me-20261121T040000Z.tar"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "refuse_forbidden", lambda text, where: None)
        machine.back_up()
    machine.change()
    with pytest.raises(environment.BadSettings, match=r"left4me\.env of this backup sets LD_PRELOAD"):
        machine.restore(file)
    assert machine.stops == 0
    assert machine.found() == {"present"}


def test_a_file_of_a_backup_s_settings_can_be_written_by_root_only(machine):
    (machine.layout.settings / "extra.pem").write_text("")
    (machine.layout.settings / "extra.pem").chmod(0o666)
    file = machine.back_up()
    (machine.layout.settings / "extra.pem").unlink()
    machine.restore(file)
    restored = (machine.layout.settings / "extra.pem").stat()
    assert (restored.st_uid, restored.st_mode & 0o777) == (0, 0o644)


def test_what_was_interrupted_is_put_back_once(machine, monkeypatch):
    """A power cut while the restored data is migrated: what was moved aside is all that the next boot finds."""
    file = machine.back_up()
    machine.change()
    put_back = restore._put_back

    def cut(*_, **__):
        monkeypatch.setattr(restore, "_put_back", lambda *_: None)
        monkeypatch.setattr(restore.Path, "unlink", lambda *_, **__: None)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(application, "manage", cut)
        with pytest.raises(KeyboardInterrupt):
            machine.restore(file)
    monkeypatch.undo()
    assert machine.found() == {"backed-up", "backed up"}
    machine.prepare(monkeypatch)
    monkeypatch.setattr(restore, "_put_back", put_back)
    stops, out = machine.stops, StringIO()
    assert restore.recover(machine.layout, progress=Progress(out), at_boot=True)
    assert machine.found() == {"present"}
    assert (machine.stops, "a restore was interrupted" in out.getvalue()) == (stops, True)
    assert owners(machine.layout.data) == {SOMEBODY}
    assert not restore.recover(machine.layout, progress=Progress(out))


def test_an_interrupted_restore_is_put_back_by_hand_and_before_the_next(machine):
    file = machine.back_up()
    journal = machine.layout.program / "restore.json"
    for text in ("{", '{"trees": [], "database": false, "settings": false}'):
        journal.write_text(text)
        assert restore.recover(machine.layout, progress=Progress(StringIO()))
        assert not journal.exists()
    assert (machine.stops, machine.starts) == (2, 2)
    journal.write_text("{}")
    machine.restore(file)
    assert (machine.stops, machine.starts) == (4, 4)
    assert not journal.exists()


def test_trees_that_were_missing_in_the_backup_are_empty_and_the_workshop_stays(machine):
    cache, deleted = machine.layout.data / backup.WORKSHOP, machine.layout.data / "deleted"
    cache.mkdir()
    (cache / "1.vpk").touch()
    os.chown(cache, SOMEBODY, SOMEBODY)
    deleted.rmdir()
    file = machine.back_up()
    deleted.mkdir()
    os.chown(deleted, SOMEBODY, SOMEBODY)
    (deleted / "1.tar.gz").touch()
    machine.restore(file)
    assert (list(deleted.iterdir()), deleted.stat().st_mode & 0o777) == ([], 0o750)
    assert (cache / "1.vpk").exists(), "it was not part of the backup"
    assert (machine.layout.data / "before-restore/deleted/1.tar.gz").exists()


@pytest.mark.parametrize("place", ["data", "own"])
def test_a_disk_that_is_too_full_is_told_before_anything_stops(machine, monkeypatch, place):
    file = machine.back_up()
    with file.open("rb") as source:
        manifest = restore.archive.read_manifest(source)
    of_root = manifest["parts"]["database"]["bytes"] + manifest["parts"]["settings"]["bytes"]
    needed = {"data": manifest["size"], "own": 2 * of_root}
    missing = {"data": 0, "own": 0}
    own = restore._stage(machine.layout).own
    which = lambda path: "own" if path == own else "data"  # noqa: E731
    monkeypatch.setattr(restore.room, "left", lambda path: needed[which(path)] - missing[which(path)])
    machine.restore(file)
    stops, missing[place] = machine.stops, 1
    with pytest.raises(restore.RestoreFault, match="The disk is too full"):
        machine.restore(file)
    assert machine.stops == stops
    assert not own.exists()


def test_a_file_that_is_not_there_is_named(machine, tmp_path):
    with pytest.raises(restore.RestoreFault, match=r"Could not read .*missing\.tar: No such file"):
        machine.restore(tmp_path / "missing.tar")


def test_a_backup_with_unknown_parts_is_no_backup_of_ours(machine, tmp_path):
    (tmp_path / "etc").mkdir()
    with (tmp_path / "other.tar").open("w+b") as file:
        writer = restore.archive.Writer(file)
        writer.add_tree(tmp_path / "etc", "etc")
        writer.finish(manifest(database={"kind": "sqlite", "migrations": []}))
    with pytest.raises(restore.archive.BadArchive, match="unknown parts: etc"):
        machine.restore(tmp_path / "other.tar")
    assert machine.stops == 0


def test_an_application_that_does_not_fetch_what_is_missing_is_a_hint(machine, monkeypatch):
    file = machine.back_up()

    def manage(layout, command, *arguments, **options):
        if command == "after_restore":
            raise restore.commands.CommandError("no network")

    monkeypatch.setattr(application, "manage", manage)
    assert "`left4mectl manage after_restore` failed. Run it again: no network" in machine.restore(file)[1]


def test_an_unexpected_failure_is_raised_as_it_is_and_all_is_put_back(machine, monkeypatch):
    file = machine.back_up()
    machine.change()

    def fail(layout, command, *arguments, **options):
        raise ZeroDivisionError("nobody expected this")

    monkeypatch.setattr(application, "manage", fail)
    with pytest.raises(ZeroDivisionError):
        machine.restore(file)
    assert machine.found() == {"present"}
    assert not (machine.layout.program / "restore.json").exists()
