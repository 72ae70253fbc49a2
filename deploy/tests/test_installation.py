"""The steps of an installation: when each is done, and what it does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from deploy.ops import application, releases
from deploy.ops.database import postgres
from deploy.ops.installation import CHECKOUT, Choices, Installation
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import packages, proxy, services, system_files
from deploy.ops.plan import CannotGoOn
from deploy.ops.release_archive import intake
from deploy.ops.worker_host import invitation as host_invitation
from deploy.tests.test_hosts import INVITATION
from left4me.core.processes import commands

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root installs")

RELEASE = "20261101-abc1234"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.units.mkdir(parents=True)
    layout.settings.mkdir(parents=True)
    return layout


class Restarts:
    """Which units run, and what is asked of systemd."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.active: set[str] = set()
        self.enabled: set[str] = set()
        self.calls: list[str] = []
        monkeypatch.setattr(services, "are_active", lambda units: set(units) <= self.active)
        monkeypatch.setattr(services, "are_enabled", lambda units: set(units) <= self.enabled)
        monkeypatch.setattr(services, "stop", lambda layout: self.calls.append("stop"))
        monkeypatch.setattr(services, "start", lambda layout: self.calls.append("start"))
        monkeypatch.setattr(services, "enable", lambda units: self.calls.append(f"enable {' '.join(units)}"))
        monkeypatch.setattr(application, "wait_until_ready", lambda layout, *, seconds: self.why_not_ready(seconds))
        self.why = ""
        self.waited: list[float] = []

    def why_not_ready(self, seconds: float) -> str:
        self.waited.append(seconds)
        return self.why


@pytest.fixture
def restarts(monkeypatch: pytest.MonkeyPatch) -> Restarts:
    monkeypatch.setattr(releases, "name_of", lambda checkout: RELEASE)
    return Restarts(monkeypatch)


def test_changed_settings_restart_a_web_that_runs_and_stop_a_worker_host(layout: Layout, restarts: Restarts):
    Installation(layout, Choices()).settings().apply()
    assert restarts.calls == []
    restarts.active = {services.WEB, services.WORKER}
    Installation(layout, Choices(game="simulated")).settings().apply()
    assert restarts.calls == ["stop", "start"]
    restarts.calls.clear()
    worker_host = Installation(layout, Choices(), invitation=INVITATION)
    worker_host.settings().apply()
    assert restarts.calls == ["stop"]
    restarts.calls.clear()
    worker_host.joined(INVITATION).apply()
    assert restarts.calls == ["stop"] and worker_host.joined(INVITATION).is_done()
    restarts.active = set()
    worker_host.joined(INVITATION).apply()
    assert restarts.calls == ["stop"]


@pytest.mark.parametrize(("invitation", "units"), [(None, "redis socket web worker beat"), (INVITATION, "worker")])
def test_everything_that_a_role_has_starts_now_and_at_boot(
    layout: Layout, restarts: Restarts, invitation: Any, units: str
):
    installation = Installation(layout, Choices(), invitation=invitation)
    step = installation.running()
    starts = [f"left4me-{unit}.service" for unit in units.split()]
    starts = [unit.replace("socket.service", "web.socket") for unit in starts]
    starts.append(services.RECOVER)
    if invitation is None:
        starts.append(services.BACKUP_TIMER)
    restarts.enabled = set(starts)
    assert not step.is_done()
    restarts.active = set(starts) - {services.RECOVER}
    assert step.is_done()
    restarts.enabled = set()
    assert not step.is_done()
    step.apply()
    assert restarts.calls == [f"enable {' '.join(starts)}"]
    assert restarts.waited == ([] if invitation is None else [120.0])


def test_an_application_that_does_not_become_ready_is_told_with_its_units(layout: Layout, restarts: Restarts):
    restarts.why = "the worker is away"
    with pytest.raises(
        CannotGoOn, match=r"not ready: the worker is away\. See `journalctl -u left4me-redis.service -u"
    ):
        Installation(layout, Choices()).ready().apply()
    with pytest.raises(CannotGoOn, match=r"See `journalctl -u left4me-worker\.service`"):
        Installation(layout, Choices(), invitation=INVITATION).running().apply()


def test_a_web_is_done_when_it_answers(layout: Layout, restarts: Restarts, monkeypatch: pytest.MonkeyPatch):
    for why in ("", "the worker is away"):
        monkeypatch.setattr(application, "unready", lambda layout, why=why: why)
        assert Installation(layout, Choices()).ready().is_done() is (why == "")


def test_packages_are_those_of_the_role_and_its_options(
    layout: Layout, restarts: Restarts, monkeypatch: pytest.MonkeyPatch
):
    asked: list[Any] = []
    missing = ["caddy"]
    monkeypatch.setattr(packages, "needed", lambda role, **options: asked.append((role, options)) or ["git", "caddy"])
    monkeypatch.setattr(packages, "missing", lambda names: missing)
    monkeypatch.setattr(packages, "install", asked.append)
    step = Installation(layout, Choices(domain="a.example.org", database="postgres", game="simulated")).packages()
    assert not step.is_done() and list(step.details) == ["apt-get install caddy"]
    step.apply()
    Installation(layout, Choices(database="postgres"), invitation=INVITATION).packages()
    assert asked == [
        (Role.WEB, {"game": "simulated", "postgres": True, "proxy": True}),
        ["git", "caddy"],
        (Role.WORKER_HOST, {"game": "steam", "postgres": False, "proxy": False}),
    ]
    missing.clear()
    assert Installation(layout, Choices()).packages().is_done()


def test_a_checkout_is_taken_over_unless_its_release_is_here(layout: Layout, restarts: Restarts, monkeypatch):
    calls: list[str] = []
    taken_over = [RELEASE]
    monkeypatch.setattr(releases, "take_over", lambda layout, checkout: calls.append("take over") or taken_over[0])
    monkeypatch.setattr(releases, "build", lambda layout, release: calls.append(f"build {release}"))
    Installation(layout, Choices()).release_built().apply()
    assert calls == ["take over", f"build {RELEASE}"]
    taken_over[0] = "20261102-def5678"
    with pytest.raises(CannotGoOn, match="changed during the installation"):
        Installation(layout, Choices()).release_built().apply()
    calls.clear()
    # From the release itself, and from an archive.
    Installation(layout, Choices(), checkout=layout.releases / RELEASE).release_built().apply()
    kept = intake.kept(layout, RELEASE)
    kept.parent.mkdir(parents=True)
    kept.touch()
    Installation(layout, Choices(release=RELEASE)).release_built().apply()
    assert calls == [f"build {RELEASE}"] * 2


def test_the_release_that_runs_stays_the_one_that_is_installed(layout: Layout, restarts: Restarts, monkeypatch):
    monkeypatch.setattr(releases, "switch", lambda layout, release: layout.current.symlink_to(f"releases/{release}"))
    layout.program.mkdir(parents=True)
    step = Installation(layout, Choices()).current()
    assert not step.is_done()
    step.apply()
    assert step.is_done()
    layout.current.unlink()
    layout.current.symlink_to("releases/20261102-def5678")
    assert not step.is_done()
    later = Installation(layout, Choices(release=RELEASE))
    assert later.release == "20261102-def5678" and later.current().is_done()


def test_the_database_is_migrated_by_a_release_that_is_whole(layout: Layout, restarts: Restarts, monkeypatch):
    calls: list[tuple[str, ...]] = []
    status = [1]

    def manage(layout: Layout, *arguments: str, release: Path, check: bool = True) -> commands.Finished:
        calls.append(arguments)
        return commands.Finished(status=status[0], output="", seconds=0)

    monkeypatch.setattr(application, "manage", manage)
    whole = [False]
    monkeypatch.setattr(releases, "is_whole", lambda tree: whole[0])
    step = Installation(layout, Choices()).migrated()
    assert not step.is_done() and calls == []
    whole[0] = True
    assert not step.is_done()
    status[0] = 0
    assert step.is_done()
    step.apply()
    assert calls == [("migrate", "--check"), ("migrate", "--check"), ("migrate", "--noinput", "-v0")]


def test_a_database_of_this_machine_is_made_with_the_password_of_its_address(
    layout: Layout, restarts: Restarts, monkeypatch
):
    made: list[str] = []
    answers = [False]
    monkeypatch.setattr(postgres, "start", lambda: made.append("start"))
    monkeypatch.setattr(postgres, "make", made.append)
    monkeypatch.setattr(postgres, "url", lambda password: f"postgres://left4me:{password}@127.0.0.1:5432/left4me")
    monkeypatch.setattr(postgres, "answers", lambda address: answers[0])
    installation = Installation(layout, Choices(database="postgres"))
    assert not installation.database_there().is_done(), "it has no address yet"
    answers[0] = True
    assert not installation.database_there().is_done()
    secrets = installation.secrets()
    assert list(secrets.details) == ["LEFT4ME_SECRET_KEY", "DATABASE_URL"]
    secrets.apply()
    assert secrets.is_done() and installation.database_there().is_done()
    installation.database_there().apply()
    text = layout.secrets_file.read_text()
    assert text.startswith("# Generated by deploy/install.") and f"left4me:{made[2]}@" in text
    assert made[:2] == ["start", "start"] and len(made[2]) == 43
    answers[0] = False
    assert not installation.database_there().is_done()


def test_a_worker_host_checks_the_database_until_its_worker_runs(layout: Layout, restarts: Restarts, monkeypatch):
    checked: list[Any] = []
    monkeypatch.setattr(
        host_invitation, "refuse_what_is_void", lambda layout, invitation, release: checked.append(invitation)
    )
    installation = Installation(layout, Choices(), invitation=INVITATION)
    step = installation.database_reached(INVITATION)
    restarts.active = {services.WORKER}
    assert not step.is_done()
    host_invitation.write(layout, INVITATION)
    assert step.is_done()
    restarts.active = set()
    assert not step.is_done()
    step.apply()
    assert checked == [INVITATION]


def test_caddy_serves_the_domain_with_the_secret(layout: Layout, restarts: Restarts, monkeypatch):
    layout.secrets_file.write_text("LEFT4ME_PROXY_SECRET=s3cret\n")
    written: list[str] = []
    monkeypatch.setattr(proxy, "set_up", lambda layout, text: written.append(text))
    step = Installation(layout, Choices(domain="a.example.org", tls="internal")).proxy()
    assert not step.is_done()
    step.apply()
    assert written == [proxy.text(CHECKOUT, domain="a.example.org", tls="internal", secret="s3cret")]
    layout.caddyfile.parent.mkdir(parents=True)
    layout.caddyfile.write_text("import left4me.caddy\n")
    proxy.site(layout).write_text(written[0])
    assert step.is_done()


def test_units_that_change_restart_what_runs(layout: Layout, restarts: Restarts, monkeypatch):
    restarts.active = {services.WEB}
    written: list[Path] = []
    monkeypatch.setattr(system_files, "lay_out", lambda layout, tree, *, role: written)
    step = Installation(layout, Choices()).laid_out()
    assert not step.is_done()
    step.apply()
    assert restarts.calls == []
    written.append(layout.units)
    step.apply()
    assert restarts.calls == ["stop", "start"]
    assert str(layout.command) in step.details and str(layout.units / services.WEB) in step.details
