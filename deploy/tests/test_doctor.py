"""What the doctor finds about the real game, and the one list of packages that it and the installer name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy import installer
from deploy.doctor import application, installation, machine
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import packages, proxy, services
from left4me.core import secrets
from left4me.core.processes import libraries
from left4me.testing.cast import Cast
from left4me.testing.testhost import PROJECT
from left4me.tests.test_host_rights import on_postgresql
from servers.gamehost.tests.i386 import game
from servers.tests.factories import make_host, make_server


def test_the_installer_installs_what_the_doctor_misses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(libraries, "_LOADERS", ())
    monkeypatch.setattr(libraries, "_DIRECTORIES", ())
    finding = machine.libraries_32_bit(game="steam")
    assert finding.level == "fault"
    assert "libz.so.1" in finding.message
    named = finding.cure.removeprefix("Run `apt-get install ").removesuffix("`.").split()
    installed = packages.needed(Role.WEB, game="steam", postgres=False, proxy=False)
    # libc6-i386 comes with each of the others.
    assert set(named) - {"libc6-i386"} == set(installed) & set(libraries.PACKAGES) == set(libraries.PACKAGES)
    assert not set(packages.needed(Role.WEB, game="simulated", postgres=False, proxy=False)) & set(libraries.PACKAGES)
    assert machine.libraries_32_bit(game="simulated").level == "ok"
    image = (PROJECT / "deploy/container/Dockerfile").read_text().split()
    assert set(libraries.PACKAGES) <= set(image)


def test_the_installer_ends_with_what_the_game_still_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    layout = Layout(tmp_path)
    layout.data.mkdir(parents=True)
    monkeypatch.setattr(libraries, "_LOADERS", ())
    monkeypatch.setattr(machine.room, "free", lambda path: 3 * 1024**3)
    lacking = installer.game_needs(layout, "steam")
    assert [(finding.check, finding.level) for finding in lacking] == [
        ("32-bit libraries", "fault"),
        ("disk", "warning"),
    ]
    assert installer.game_needs(layout, "simulated") == []


@pytest.mark.i386
def test_a_kernel_that_runs_no_32_bit_programs_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert machine.libraries_32_bit(game="steam").level == "ok"
    loader = tmp_path / "ld-linux.so.2"
    loader.write_bytes(b"\x7fELF\x01 of another machine")
    loader.chmod(0o755)
    monkeypatch.setattr(libraries, "_LOADERS", (str(loader),))
    finding = machine.libraries_32_bit(game="steam")
    assert finding.level == "fault"
    assert "CONFIG_IA32_EMULATION" in finding.cure


@pytest.mark.i386
def test_a_library_that_the_installed_game_misses_is_named(tmp_path: Path):
    assert "not installed yet" in machine.game_libraries(None, game="steam").message
    game.build(tmp_path)
    assert machine.game_libraries(tmp_path, game="steam").level == "ok"
    game.compile_library("int z;", tmp_path / "libz.so.9")
    game.compile_library("extern int z; int *y(void) { return &z; }", tmp_path / "srcds_linux", tmp_path / "libz.so.9")
    (tmp_path / "libz.so.9").unlink()
    finding = machine.game_libraries(tmp_path, game="steam")
    assert (finding.level, finding.message) == ("fault", "not found: libz.so.9 (for srcds_linux)")
    assert "apt-get install" in finding.cure


def test_steamcmds_home_and_program_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = tmp_path / "steamcmd/home"
    home.mkdir(parents=True)
    monkeypatch.setattr(machine.os, "access", lambda path, mode: path != home)
    finding = machine.steamcmd(tmp_path, game="steam")
    assert finding.level == "fault"
    assert finding.cure == f"Run `chown -R left4me: {tmp_path / 'steamcmd'}` as root."


SETTINGS = "LEFT4ME_ALLOWED_HOSTS=left4me.example.org,127.0.0.1\nLEFT4ME_BEHIND_TLS=true\nLEFT4ME_PROXY_SECRET={}\n"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.settings.mkdir(parents=True)
    layout.settings_file.write_text(SETTINGS.format("ours"))
    return layout


def serve(layout: Layout, name: str, secret: str) -> None:
    layout.caddyfile.parent.mkdir(parents=True)
    layout.caddyfile.write_text("import left4me.caddy\n")
    proxy.site(layout).write_text(proxy.text(PROJECT, domain=name, tls="auto", secret=secret))


def refuse(name: str) -> float:
    raise ConnectionRefusedError(name)


def test_a_name_that_nothing_serves_is_cured_by_the_installer(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installation, "_days_of_certificate", refuse)
    (finding,) = installation._proxy(layout)
    assert (finding.level, finding.check) == ("fault", "proxy")
    assert "`deploy/install --domain left4me.example.org`" in finding.cure
    serve(layout, "left4me.example.org", "ours")
    (finding,) = installation._proxy(layout)
    assert "journalctl -u caddy" in finding.cure


def test_a_site_that_fits_the_settings_is_fine(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installation, "_days_of_certificate", lambda name: 60.0)
    serve(layout, "left4me.example.org", "ours")
    assert [finding.level for finding in installation._proxy(layout)] == ["ok"]
    layout.settings_file.write_text(SETTINGS.format("another"))
    assert [finding.level for finding in installation._proxy(layout)] == ["warning", "ok"]


def test_a_site_of_another_name_is_a_fault(layout: Layout):
    serve(layout, "old.example.org", "ours")
    (finding,) = installation._proxy(layout)
    assert finding.level == "fault"
    assert "old.example.org" in finding.message and "left4me.example.org" in finding.message


@pytest.mark.parametrize("allowed", ["left4me.example.org", "x, left4me.example.org", ".example.org"])
def test_every_way_to_allow_a_name_is_known(layout: Layout, monkeypatch: pytest.MonkeyPatch, allowed: str):
    monkeypatch.setattr(installation, "_days_of_certificate", lambda name: 60.0)
    serve(layout, "left4me.example.org", "")
    layout.settings_file.write_text(f"LEFT4ME_ALLOWED_HOSTS={allowed}\nLEFT4ME_BEHIND_TLS=true\n")
    assert [finding.level for finding in installation._proxy(layout)] == ["ok"]


def test_workshop_content_that_nothing_refreshes_is_named(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    enabled: list[str] = []
    monkeypatch.setattr(services, "enabled", lambda units: [unit for unit in units if unit in enabled])
    assert list(installation._workshop(layout)) == []
    layout.settings_file.write_text("LEFT4ME_WORKSHOP_REFRESH_SECONDS=0\n")
    (finding,) = installation._workshop(layout)
    assert finding.cure == "Run `systemctl enable --now left4me-workshop-refresh.timer`."
    enabled.append(services.WORKSHOP_TIMER)
    assert list(installation._workshop(layout)) == []


@pytest.mark.django_db
def test_secrets_that_no_key_decrypts_are_named_on_the_web_and_on_the_host_that_needs_them(cast: Cast, settings):
    here, there = make_server(cast.owner), make_server(cast.owner, host=make_host(name="second"))
    assert application.stored_secrets().level == "ok"
    settings.SECRET_KEY, key = "n" * 40, secrets.sealing_key(settings.SECRET_KEY)
    finding = application.stored_secrets()
    assert finding.level == "fault"
    assert f"server {here.pk}" in finding.message and "LEFT4ME_OLD_SECRET_KEY" in finding.cure
    settings.LEFT4ME_HOST, settings.LEFT4ME_SEALING_KEY = "second", secrets.sealing_key(settings.SECRET_KEY)
    finding = application.stored_secrets()
    assert finding.message == f"encrypted with another key: server {there.pk}"
    assert "host rekey" in finding.cure
    settings.LEFT4ME_SEALING_KEY = key
    assert application.stored_secrets().level == "ok"


def test_it_says_how_many_processes_the_web_has(cast: Cast, settings):
    settings.LEFT4ME_WEB_PROCESSES, settings.LEFT4ME_WEB_THREADS = 2, 4
    [finding] = application.web()
    assert (finding.level, finding.message) == ("ok", "processes: 2, each with 4 threads for pages")
    settings.LEFT4ME_WEB_URL = "https://web.example.org"
    assert application.web() == [], "on a worker host there is none"


@on_postgresql
def test_it_warns_of_more_connections_than_postgresql_accepts(cast: Cast, settings):
    settings.LEFT4ME_WEB_PROCESSES, settings.LEFT4ME_WEB_THREADS = 64, 64
    [finding] = application.web()
    assert finding.level == "warning"
    assert "LEFT4ME_WEB_PROCESSES lower" in finding.cure


@pytest.mark.django_db
def test_servers_of_other_hosts_without_a_copy_are_named_for_each_host(settings, monkeypatch: pytest.MonkeyPatch):
    late: dict[int, list[str]] = {}
    monkeypatch.setattr(application.copies, "late_servers", lambda hosts, *, now: late)
    assert application.copies_of_hosts() == [], "there is no other host"
    two, three = make_host(name="two"), make_host(name="three")
    assert [finding.level for finding in application.copies_of_hosts()] == ["ok"]
    late |= {two.pk: [f"server {number}" for number in range(7)], three.pk: ["one"]}
    first, second = application.copies_of_hosts()
    assert first.message == "no copy within the last two days of servers of three: one"
    assert second.message.endswith("of two: server 0, server 1, server 2, server 3, server 4")
    assert "`left4mectl manage copy_servers two`" in second.cure
    settings.LEFT4ME_WEB_URL = "https://web.example.org"
    assert application.copies_of_hosts() == []


@pytest.mark.django_db
def test_hosts_that_know_the_key_of_the_web_are_named_with_what_to_do(settings):
    assert application.keys_of_hosts() == []
    make_host(name="two", knows_web_key=True, key_number=1)
    make_host(name="four", knows_web_key=False, key_number=0)
    (finding,) = application.keys_of_hosts()
    assert finding.message.endswith(": two") and "left4mectl keys rotate" in finding.cure
    make_host(name="three", knows_web_key=True, key_number=0)
    (finding,) = application.keys_of_hosts()
    assert finding.message.endswith(": three, two") and finding.cure.endswith("of its own: three.")
    settings.LEFT4ME_SEALING_KEY = "x"
    assert application.keys_of_hosts() == []


class PostgreSql:
    """A connection to a server that accepts so many."""

    vendor = "postgresql"

    def __init__(self, accepted: int) -> None:
        self._accepted = accepted

    def cursor(self) -> PostgreSql:
        return self

    def __enter__(self) -> PostgreSql:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, sql: str) -> None:
        assert "max_connections" in sql and "superuser_reserved_connections" in sql

    def fetchone(self) -> tuple[int]:
        return (self._accepted,)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("hosts", "number", "most"),
    # With others, there is one more pool; several processes of the web share connections in another way than one.
    [(1, 1, 10 + 10), (2, 1, 30 + 10), (3, 2, 40 + 2 * 7)],
)
def test_the_connections_of_all_pools_are_counted(monkeypatch: pytest.MonkeyPatch, hosts: int, number: int, most: int):
    values = {"LEFT4ME_WEB_URL": "", "LEFT4ME_WEB_PROCESSES": number, "LEFT4ME_WEB_THREADS": 4}
    pools = {"default": {"OPTIONS": {"pool": {"max_size": 10}}}}
    monkeypatch.setattr(application, "settings", SimpleNamespace(**values, DATABASES=pools))
    monkeypatch.setattr(application.processes, "most_database_connections", lambda threads: threads + 3)
    monkeypatch.setattr(application.Host.objects, "count", lambda: hosts)
    for accepted, level in ((most, "ok"), (most - 1, "warning")):
        monkeypatch.setattr(application, "connection", PostgreSql(accepted))
        (finding,) = application.web()
        assert finding.level == level
