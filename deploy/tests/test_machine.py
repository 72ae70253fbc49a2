"""What is done to a machine: packages, Caddy, PostgreSQL, checks before; with the programs that do it made up."""

from __future__ import annotations

import grp
import hashlib
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.ops.database import postgres
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import packages, preflight, proxy, services, system_files
from deploy.ops.plan import CannotGoOn
from left4me.core.net import ports
from left4me.core.processes import commands, libraries

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root sets up a machine")


class Programs:
    """Notes the commands, and answers each that begins with a known text."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.options: list[dict[str, Any]] = []
        self.answers: dict[str, str | Exception | int] = {}
        monkeypatch.setattr(commands, "run", self._run)
        monkeypatch.setattr(services, "systemctl", self._systemctl)

    def _run(self, argv: list[object], **options: Any) -> commands.Finished:
        return self._answer(" ".join(map(str, argv)), options)

    def _systemctl(self, *words: str, check: bool = True) -> str:
        return self._answer(f"systemctl {' '.join(words)}", {"check": check}).output

    def _answer(self, call: str, options: dict[str, Any]) -> commands.Finished:
        self.calls.append(call)
        self.options.append(options)
        found = next((answer for start, answer in self.answers.items() if call.startswith(start)), "")
        if isinstance(found, Exception):
            raise found
        status = found if isinstance(found, int) else 0
        return commands.Finished(status=status, output=found if isinstance(found, str) else "", seconds=0)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    return Programs(monkeypatch)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.units.mkdir(parents=True)
    return layout


QUERY = "dpkg-query --show --showformat=${db:Status-Status}\n"


def test_each_option_brings_its_packages():
    least = packages.needed(Role.WORKER_HOST, game="simulated", postgres=False, proxy=False)
    assert least == ["git", "python3-venv", "bubblewrap", "libarchive-tools", "polkitd", "ca-certificates"]
    most = packages.needed(Role.WEB, game="steam", postgres=True, proxy=True)
    assert most == [*least, "redis-server", "postgresql", *libraries.PACKAGES, "caddy"]


def test_only_missing_packages_are_installed_and_debians_redis_does_not_run(programs: Programs):
    programs.answers = {f"{QUERY} git": "installed\n", f"{QUERY} caddy": "config-files\n", f"{QUERY} redis-server": 1}
    assert packages.missing(["git", "caddy", "redis-server"]) == ["caddy", "redis-server"]
    programs.calls.clear()
    packages.install(["git", "caddy", "redis-server"])
    apt = "apt-get -qq -o DPkg::Lock::Timeout=300"
    assert programs.calls[3:] == [
        f"{apt} update",
        f"{apt} install --yes --no-install-recommends caddy redis-server",
        "systemctl disable --now --quiet redis-server.service",
    ]
    assert programs.options[-2]["env"]["DEBIAN_FRONTEND"] == "noninteractive"
    assert programs.options[-1] == {"check": False}
    programs.calls.clear()
    packages.install(["git"])
    assert programs.calls == [f"{QUERY} git"]


def test_packages_that_apt_does_not_get_are_named(programs: Programs):
    programs.answers = {"apt-get": commands.CommandError("no network"), QUERY: 1}
    with pytest.raises(CannotGoOn, match="caddy git could not be installed: no network"):
        packages.install(["caddy", "git"])
    assert not [call for call in programs.calls if call.startswith("systemctl")]


SITE = "example.org {\n\treverse_proxy 127.0.0.1:8000\n}\n"


@pytest.fixture
def caddy_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        grp, "getgrnam", lambda name: grp.struct_group((name, "x", {"caddy": 64124, "root": 0}[name], []))
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "import left4me.caddy\n"),
        ("\n", "import left4me.caddy\n"),
        (":80 {\n}\n", "import left4me.caddy\n"),
        ("mine.org {\n}\n\n", "mine.org {\n}\n\nimport left4me.caddy\n"),
        ("import left4me.caddy\nmine.org {\n}\n", "import left4me.caddy\nmine.org {\n}\n"),
    ],
)
def test_debians_welcome_page_is_replaced_and_other_sites_stay(
    layout: Layout, programs: Programs, caddy_group: None, before: str | None, after: str
):
    packaged = hashlib.md5(b":80 {\n}\n", usedforsecurity=False).hexdigest()
    programs.answers = {"dpkg-query --show --showformat=${Conffiles} caddy": f" /etc/caddy/Caddyfile {packaged}\n"}
    if before is not None:
        layout.caddyfile.parent.mkdir(parents=True)
        layout.caddyfile.write_text(before)
    assert not proxy.is_set_up(layout, SITE)
    proxy.set_up(layout, SITE)
    assert layout.caddyfile.read_text() == after
    assert proxy.is_set_up(layout, SITE) and not proxy.is_set_up(layout, f"{SITE}\n")
    found = proxy.site(layout).stat()
    assert (found.st_gid, found.st_mode & 0o777) == (64124, 0o640), "it holds a secret"
    assert layout.caddyfile.stat().st_mode & 0o777 == 0o644
    assert programs.calls[-3:] == [
        f"caddy validate --adapter caddyfile --config {layout.caddyfile}",
        "systemctl enable --now --quiet caddy.service",
        "systemctl reload caddy.service",
    ]


def test_a_site_without_its_import_serves_nothing(layout: Layout):
    assert (proxy.served_domain(layout), proxy.served_secret(layout)) == (None, "")
    layout.caddyfile.parent.mkdir(parents=True)
    layout.caddyfile.write_text("mine.org {\n}\n")
    proxy.site(layout).write_text(f"# {{\n{SITE}")
    assert proxy.served_domain(layout) is None
    assert not proxy.is_set_up(layout, proxy.site(layout).read_text())
    layout.caddyfile.write_text("mine.org {\n}\nimport left4me.caddy\n")
    assert proxy.served_domain(layout) == "example.org"
    assert proxy.served_secret(layout) == "", "a site of an older release"
    proxy.site(layout).write_text("\theader_up X-Left4me-Proxy-Secret abc\n")
    assert (proxy.served_domain(layout), proxy.served_secret(layout)) == (None, "abc")


@pytest.mark.parametrize(
    ("before", "after", "action"),
    [
        ("import left4me.caddy\n", "", "disable --now --quiet"),
        ("import left4me.caddy\nmine.org {\n}\n", "mine.org {\n}\n", "reload"),
        ("mine.org {\n}\n", "mine.org {\n}\n", None),
        (None, None, None),
    ],
)
def test_caddy_ends_with_its_last_site(
    layout: Layout, programs: Programs, caddy_group: None, before: str | None, after: str | None, action: str | None
):
    layout.caddyfile.parent.mkdir(parents=True)
    proxy.site(layout).touch()
    if before is not None:
        layout.caddyfile.write_text(before)
    proxy.remove(layout)
    assert not proxy.site(layout).exists()
    assert (layout.caddyfile.read_text() if layout.caddyfile.exists() else None) == after
    assert programs.calls == ([f"systemctl {action} caddy.service"] if action else [])
    assert all(options == {"check": False} for options in programs.options)


class Before:
    """What a machine is like before an installation."""

    def __init__(self, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = layout
        self.busy: set[int] = set()
        self.active: set[str] = set()
        (layout.root / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")
        monkeypatch.setattr(ports, "refusal", lambda host, port: OSError(98, "in use") if port in self.busy else None)
        monkeypatch.setattr(services, "are_active", lambda units: set(units) <= self.active)
        monkeypatch.setattr(platform, "machine", lambda: "aarch64")
        is_dir = Path.is_dir
        monkeypatch.setattr(Path, "is_dir", lambda path: str(path) == "/run/systemd/system" or is_dir(path))

    def check(self, role: Role = Role.WEB, *, with_proxy: bool = False, game: str = "simulated") -> str:
        try:
            preflight.check(self.layout, role, with_proxy=with_proxy, game=game)
        except CannotGoOn as fault:
            return str(fault)
        return ""


@pytest.fixture
def before(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Before:
    return Before(layout, monkeypatch)


def test_ports_that_are_needed_have_to_be_free(before: Before):
    assert before.check() == ""
    before.busy = {80, 443}
    assert before.check() == ""
    assert before.check(with_proxy=True).startswith("Port 80 is in use (in use).")
    before.busy = {443}
    assert before.check(with_proxy=True).startswith("Port 443 is in use")
    before.active = {"caddy.service"}
    assert before.check(with_proxy=True) == ""
    before.busy = {8000}
    assert before.check().startswith("Port 8000 is in use")
    assert before.check(Role.WORKER_HOST) == ""
    before.active = {services.SOCKET}
    assert before.check() == "", "our own"


def test_the_real_game_needs_its_processor_and_everything_needs_systemd(
    before: Before, monkeypatch: pytest.MonkeyPatch
):
    assert "this machine is aarch64" in before.check(game="steam")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert before.check(game="steam") == ""
    monkeypatch.setattr(Path, "is_dir", lambda path: False)
    assert "does not run systemd" in before.check()
    (before.layout.root / "etc/os-release").write_text("ID=fedora\n")
    assert "this is this system" in before.check()


def test_ordinary_users_install_nothing(monkeypatch: pytest.MonkeyPatch):
    preflight.refuse_ordinary_users()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotGoOn, match="sudo"):
        preflight.refuse_ordinary_users()


class Server:
    """PostgreSQL, as its superuser sees it. A statement that begins with a known text gets its answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements: list[str] = []
        self.answers: dict[str, str] = {}
        monkeypatch.setattr(postgres, "psql", self._psql)

    def _psql(self, script: str) -> str:
        self.statements.append(script)
        return next((answer for start, answer in self.answers.items() if script.startswith(start)), "")

    def changes(self) -> list[str]:
        return [statement for statement in self.statements if not statement.startswith(("SELECT", "SHOW"))]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


ROLE, DATABASE = "SELECT 1 FROM pg_roles WHERE rolname = 'left4me'", "SELECT 1 FROM pg_database WHERE datname = 'left4"


def test_a_role_and_a_database_are_made_once_and_the_password_is_set_each_time(server: Server):
    postgres.make("a")
    made = server.changes()
    assert [statement.partition(" left4me")[0] for statement in made] == [
        "CREATE ROLE",
        "ALTER ROLE",
        "CREATE DATABASE",
    ]
    assert made[1].endswith("LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD 'a';")
    server.answers = {ROLE: "1", DATABASE: "1"}
    server.statements.clear()
    postgres.make("b")
    assert [statement[-4:] for statement in server.changes()] == ["'b';"]


def test_a_database_that_is_there_is_renamed(server: Server):
    postgres.set_aside("20261101T000000Z")
    assert server.changes() == []
    server.answers = {DATABASE: "1"}
    postgres.set_aside("20261101T000000Z")
    assert server.changes() == ["ALTER DATABASE left4me RENAME TO left4me_before_20261101t000000z;"]


def test_a_dropped_database_may_be_gone_already(server: Server):
    postgres.drop()
    assert server.changes() == ["DROP DATABASE IF EXISTS left4me;", "DROP ROLE IF EXISTS left4me;"]


def test_the_url_of_our_own_database_is_known_again(server: Server):
    assert postgres.url("x").endswith("@127.0.0.1:5432/left4me")
    server.answers = {"SHOW port": "5433"}
    address = postgres.url("a-b_c")
    assert address == "postgres://left4me:a-b_c@127.0.0.1:5433/left4me"
    assert postgres.is_ours(address) and postgres.password_of(address) == "a-b_c"
    for other in (
        "postgres://left4me@db.org/left4me",
        "postgres://me@127.0.0.1/left4me",
        "postgres://left4me@127.0.0.1/x",
    ):
        assert not postgres.is_ours(other)
    assert postgres.password_of("postgres://left4me@127.0.0.1/left4me") == ""


@pytest.mark.parametrize(("answer", "accepts"), [("", True), (2, False), (commands.CommandError("no psql"), False)])
def test_a_database_is_asked_with_the_password_in_the_environment(
    programs: Programs, answer: str | int | Exception, accepts: bool
):
    programs.answers = {"psql": answer}
    assert postgres.answers("postgres://left4me:secret@127.0.0.1:5433/left4me") is accepts
    assert "secret" not in programs.calls[0]
    assert programs.options[0]["env"]["PGPASSWORD"] == "secret" and programs.options[0]["check"] is False


def test_a_server_that_starts_is_waited_for(programs: Programs, monkeypatch: pytest.MonkeyPatch):
    tries: list[str] = []
    now = [0.0]

    def refuse_until(count: int) -> Callable[[str], str]:
        def psql(script: str) -> str:
            tries.append(script)
            now[0] += 25
            if len(tries) < count:
                raise CannotGoOn("not yet")
            return "1"

        return psql

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(postgres, "psql", refuse_until(3))
    postgres.start()
    assert programs.calls == ["systemctl enable --now --quiet postgresql.service"]
    assert len(tries) == 3
    tries.clear()
    monkeypatch.setattr(postgres, "psql", refuse_until(99))
    with pytest.raises(CannotGoOn, match="not yet"):
        postgres.start()
    assert len(tries) == 3, "within a minute"


def test_the_superuser_s_scripts_come_from_the_input(programs: Programs):
    programs.answers = {"setpriv --reuid=postgres": " 5432\n"}
    assert postgres.psql("SHOW port;", L4M_ROLE="x") == "5432"
    assert programs.calls[0].endswith("--set=ON_ERROR_STOP=1 --file=- postgres")
    assert programs.options[0]["stdin"] == "SHOW port;\n"
    assert programs.options[0]["env"]["L4M_ROLE"] == "x"
    programs.answers = {"setpriv": commands.CommandError("no server")}
    with pytest.raises(CannotGoOn, match="cannot be set up: no server"):
        postgres.psql("SHOW port;")


def release(layout: Layout, name: str, *units: str, preset: str = "") -> Path:
    deploy = layout.releases / name / "deploy"
    for file in (*(f"systemd/{unit}" for unit in units), "sysusers.d/left4me.conf", "tmpfiles.d/left4me.conf"):
        (deploy / file).parent.mkdir(parents=True, exist_ok=True)
        (deploy / file).write_text(f"{file} of {name}")
    for file, text in (("polkit/50-left4me.rules", ""), ("presets/web.preset", preset)):
        (deploy / file).parent.mkdir(parents=True, exist_ok=True)
        (deploy / file).write_text(text)
    return layout.releases / name


def test_only_files_that_differ_are_written(layout: Layout, programs: Programs):
    tree = release(layout, "one", "left4me-web.service", "left4me-worker.service")
    assert not system_files.is_laid_out(layout, tree)
    assert len(system_files.lay_out(layout, tree)) == 6
    assert system_files.is_laid_out(layout, tree)
    assert system_files.lay_out(layout, tree) == []
    changed = layout.units / "left4me-web.service"
    changed.write_text("changed")
    assert not system_files.is_laid_out(layout, tree)
    assert system_files.lay_out(layout, tree) == [changed]
    assert changed.read_text() == "systemd/left4me-web.service of one"
    layout.command.unlink()
    layout.command.symlink_to("/elsewhere")
    assert not system_files.is_laid_out(layout, tree)
    assert system_files.lay_out(layout, tree) == [layout.command]
    assert str(layout.command.readlink()) == "/opt/left4me/current/deploy/left4mectl"
    assert programs.calls == [], "systemd is told on a real machine only"


def test_units_come_and_go_with_their_release(layout: Layout, programs: Programs):
    old = release(layout, "old", "left4me-web.service", "left4me-gone.service")
    preset = "# which\n" + "".join(f"enable left4me-{name}\n" for name in ("b.timer", "a.timer", "web.service"))
    units = [f"left4me-{name}" for name in ("web.service", "b.timer", "a.timer", "off.timer")]
    new = release(layout, "new", *units, preset=f"{preset}disable left4me-off.timer\n")
    system_files.lay_out(layout, old)
    added = system_files.exchange_units(layout, old, new, role=Role.WEB, stop=True)
    assert added == ["left4me-a.timer", "left4me-b.timer"]
    assert programs.calls == [
        "systemctl disable --now --quiet left4me-gone.service",
        "systemctl enable --quiet left4me-a.timer left4me-b.timer",
    ]
    assert not (layout.units / "left4me-gone.service").exists() and (layout.units / "left4me-off.timer").exists()
    programs.calls.clear()
    assert system_files.exchange_units(layout, new, new, role=Role.WEB, stop=True) == []
    assert programs.calls == []
    fewer = release(layout, "new", "left4me-web.service")
    for unit in ("left4me-a.timer", "left4me-b.timer", "left4me-off.timer"):
        (fewer / "deploy/systemd" / unit).rename(fewer / unit)
    old = release(layout, "wide", "left4me-web.service", "left4me-a.timer")
    system_files.lay_out(layout, fewer)
    programs.calls.clear()
    assert system_files.exchange_units(layout, old, fewer, role=Role.WEB, stop=False) == []
    assert programs.calls == ["systemctl disable --quiet left4me-a.timer", "systemctl daemon-reload"]
