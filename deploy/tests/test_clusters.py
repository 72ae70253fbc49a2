"""What opens PostgreSQL to worker hosts, with its files in a directory, and what adds and removes hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.ops import application
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn
from deploy.ops.worker_host import database_role, redis_acl, registry
from left4me.core.processes import commands


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> database_role.Cluster:
    """A PostgreSQL cluster whose files are in a directory."""
    monkeypatch.setattr(database_role.Cluster, "directory", tmp_path / "cluster")
    monkeypatch.setattr(database_role.Cluster, "_drop_in", tmp_path / "drop-in.d/left4me-hosts.conf")
    monkeypatch.setattr(database_role, "_postgres", lambda: (0, 0))
    (tmp_path / "cluster/conf.d").mkdir(parents=True)
    (tmp_path / "cluster/pg_hba.conf").write_text("local all all peer\n")
    (tmp_path / "cluster/pg_hba.conf").chmod(0o640)
    for name in ("certificate", "key"):
        (tmp_path / name).write_text(name)
    return database_role.Cluster("15", "main")


class Cluster:
    """What is asked of systemd and of PostgreSQL, which answers at the second question."""

    def __init__(self, monkeypatch) -> None:
        self.calls: list[str] = []
        self.statuses = [1, 0]
        monkeypatch.setattr(services, "systemctl", lambda *words, **_: self.calls.append(" ".join(words)) or "")
        monkeypatch.setattr(commands, "run", self._run)
        monkeypatch.setattr(database_role.time, "sleep", lambda seconds: None)

    def _run(self, argv, **_):
        if argv[0] == "pg_lsclusters":
            lines = "13 old 5433 down\n\n15 main 5432 online\n"
            return commands.Finished(status=0, output=lines, seconds=0)
        self.calls.append(" ".join(map(str, argv[-3:])))
        return commands.Finished(status=self.statuses.pop(0), output="", seconds=0)


def test_a_cluster_is_opened_to_hosts_and_closed_again(cluster, tmp_path, monkeypatch):
    asked = Cluster(monkeypatch)
    options = {"address": "10.0.0.1", "group": "left4me_hosts", "peers": ("10.0.0.0/8",)}
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    assert cluster.is_closed() and not cluster.is_open(certificate, key, **options)
    cluster.open(certificate, key, **options)
    assert cluster.is_open(certificate, key, **options) and not cluster.is_closed()
    assert asked.calls == [
        "daemon-reload",
        "restart postgresql@15-main.service",
        *["pg_isready --quiet --port=5432"] * 2,
    ]
    assert (cluster.key.stat().st_mode & 0o777, cluster.certificate.stat().st_mode & 0o777) == (0o600, 0o644)
    assert cluster.access_file.stat().st_mode & 0o777 == 0o640
    assert "listen_addresses = 'localhost, 10.0.0.1'" in cluster.settings_file.read_text()
    assert "network-online.target" in cluster._drop_in.read_text()
    for other in ({"address": "10.0.0.2"}, {"peers": ("::/0",)}, {"group": "others"}):
        assert not cluster.is_open(certificate, key, **{**options, **other})
    for changed in (certificate, key):
        changed.write_text("renewed")
        assert not cluster.is_open(certificate, key, **options)
        asked.statuses = [0]
        cluster.open(certificate, key, **options)
        assert cluster.is_open(certificate, key, **options)
    assert cluster.access_file.read_text().count("begin") == 1
    for _again in range(2):
        asked.statuses, asked.calls = [0], []
        cluster.close()
        assert cluster.is_closed()
        assert cluster.access_file.read_text() == "local all all peer\n"
        assert asked.calls[:2] == ["daemon-reload", "restart postgresql@15-main.service"]


def test_what_is_left_of_an_opened_cluster_is_noticed(cluster):
    for path in (cluster.settings_file, cluster.certificate, cluster.key, cluster._drop_in):
        path.parent.mkdir(exist_ok=True)
        path.touch()
        assert not cluster.is_closed()
        path.unlink()
    assert cluster.is_closed()
    cluster.access_file.write_text(database_role.access("left4me_hosts", ("::/0",)))
    assert not cluster.is_closed()


def test_a_cluster_that_does_not_start_again_is_told(cluster, monkeypatch):
    asked, now = Cluster(monkeypatch), [0.0]
    asked.statuses = [1] * 9
    monkeypatch.setattr(database_role.time, "monotonic", lambda: now.__setitem__(0, now[0] + 50) or now[0])
    with pytest.raises(CannotGoOn, match=r"journalctl -u postgresql@15-main\.service"):
        cluster.close()
    assert len(asked.statuses) == 9 - 3, "two minutes"


def test_the_cluster_of_a_port_is_found(monkeypatch):
    Cluster(monkeypatch)
    assert database_role.cluster(port=5433) == database_role.Cluster("13", "old")
    assert database_role.clusters() == [database_role.Cluster("13", "old"), database_role.Cluster("15", "main")]
    with pytest.raises(CannotGoOn, match="listens on port 6000"):
        database_role.cluster(port=6000)

    def missing(*_, **__):
        raise commands.CommandMissing("pg_lsclusters")

    monkeypatch.setattr(commands, "run", missing)
    assert database_role.clusters() == []
    with pytest.raises(CannotGoOn, match="apt-get install postgresql"):
        database_role.cluster(port=5432)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_through_a_tunnel_the_cluster_listens_as_before(address):
    assert database_role._listening(address) == "localhost"


class Web:
    """A web on PostgreSQL, where everything that hosts need is made up."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = Layout(root)
        self.layout.settings.mkdir(parents=True)
        self.layout.units.mkdir(parents=True)
        self.calls: list[str] = []
        self.is_redis_open = True
        self.address = "10.0.0.1"
        note = self.calls.append
        monkeypatch.setattr(application, "manage", self._manage)
        monkeypatch.setattr(database_role, "cluster", lambda *, port: note(f"cluster {port}"))
        monkeypatch.setattr(
            database_role, "make_role", lambda role, **options: note(f"role {role} of {options['database']}")
        )
        monkeypatch.setattr(database_role, "drop_role", lambda role: note(f"drop {role}"))
        monkeypatch.setattr(redis_acl, "allow", lambda layout, *, host, password: note(f"allow {host}"))
        monkeypatch.setattr(redis_acl, "forbid", lambda layout, *, host: note(f"forbid {host}"))
        monkeypatch.setattr(redis_acl, "address", lambda layout: self.address)
        monkeypatch.setattr(redis_acl, "is_open", lambda layout, certificate, *, address: self.is_redis_open)
        monkeypatch.setattr(registry, "_open_redis", lambda layout, here, address: note(f"open redis to {address}"))

    def _manage(self, layout: Layout, *arguments: str, timeout: float) -> commands.Finished:
        self.calls.append(" ".join(arguments))
        output = 'A warning.\n{"token": "t", "sealing_key": "k"}\n' if arguments[0] == "add_host" else "Removed.\n"
        return commands.Finished(status=0, output=output, seconds=0)

    def use(self, url: str) -> None:
        self.layout.secrets_file.write_text(f"DATABASE_URL={url}\n")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Web:
    return Web(tmp_path, monkeypatch)


@pytest.mark.parametrize(("place", "port"), [("127.0.0.1:5433", 5433), ("127.0.0.1", 5432)])
def test_the_cluster_of_the_database_is_the_one_that_is_opened(web: Web, place: str, port: int):
    web.use(f"postgres://left4me:x@{place}/left4me")
    steps = list(registry.steps(web.layout, address="10.0.0.1", peers=("::/0",)))
    assert web.calls == [f"cluster {port}"]
    assert not steps[0].is_done()


def test_a_host_gets_a_role_rights_and_a_user_of_redis(web: Web):
    web.use("postgres://left4me:x@127.0.0.1/left%34me")
    authority = registry.place(web.layout).authority[1]
    authority.parent.mkdir(parents=True)
    authority.write_text("certificate")
    for public in ("", "203.0.113.7"):
        web.calls.clear()
        made = registry.add(web.layout, "two", address="10.0.0.1", public=public)
        added = f"add_host two --address {public}" if public else "add_host two"
        assert web.calls == [added, f"role {registry.role_of('two')} of left4me", "host_rights", "allow two"]
        assert (made.token, made.sealing_key, made.authority, made.database) == ("t", "k", "certificate", "left4me")
        assert made.database_password != made.redis_password and len(made.database_password) == 43


def test_access_ends_after_a_host_is_removed_and_before_a_lost_one_is(web: Web):
    drop = f"drop {registry.role_of('two')}"
    assert registry.remove(web.layout, "two") == "Removed."
    assert web.calls == ["remove_host two", drop, "forbid two"]
    web.calls.clear()
    web.is_redis_open = False
    assert registry.remove_lost(web.layout, "two", options=("--delete-servers",)) == "Removed."
    assert web.calls == [drop, "open redis to 10.0.0.1", "forbid two", "remove_host two --gone --delete-servers"]
    web.calls.clear()
    web.address = ""
    registry.remove(web.layout, "two")
    assert web.calls == ["remove_host two", drop, "forbid two"], "no Redis was ever opened"
