"""The command line of `deploy/install`: which machine becomes what, and what is said at the end."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy import installer
from deploy.doctor import machine
from deploy.doctor.findings import ok, warning
from deploy.ops import plan, releases, uninstall
from deploy.ops.installation import Choices, Installation
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import preflight, services
from deploy.ops.plan import CannotGoOn, Step
from deploy.ops.release_archive import intake
from deploy.ops.worker_host import invitation as host_invitation
from deploy.tests.test_hosts import INVITATION

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root installs")

RELEASE = "20261101-abc1234"
URL = INVITATION.url()


class Installer:
    """`deploy/install` on a machine in a directory, where every step of the installation is made up."""

    def __init__(self, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = layout
        self.is_done = False
        self.applied: list[Choices] = []
        self.checked: list[dict[str, Any]] = []
        self.joined: list[object] = []
        layout.units.mkdir(parents=True)
        monkeypatch.setattr(
            preflight, "check", lambda layout, role, **options: self.checked.append({"role": role, **options})
        )
        monkeypatch.setattr(host_invitation, "refuse_unreachable", self.joined.append)
        monkeypatch.setattr(releases, "name_of", lambda checkout: RELEASE)
        monkeypatch.setattr(Installation, "steps", lambda installation: [self._step(installation)])
        monkeypatch.setattr(plan.process_guard, "guard_this_process", lambda: None)
        monkeypatch.setattr(installer, "game_needs", lambda layout, game: [warning("disk", "is small", "Free some.")])

    def _step(self, installation: Installation) -> Step:
        return Step("do it", lambda: self.is_done, lambda: self.applied.append(installation.choices))

    def run(self, *options: str) -> int:
        return installer.main(list(options), layout=self.layout)

    def become_web(self) -> None:
        (self.layout.units / services.WEB).touch()

    def become_worker_host(self, *, has_joined: bool = True) -> None:
        self.layout.settings.mkdir(parents=True)
        self.layout.central_authority.touch()
        if has_joined:
            host_invitation.write(self.layout, INVITATION)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    return Installer(Layout(tmp_path), monkeypatch)


def test_an_installation_says_what_comes_next(install: Installer, capsys: pytest.CaptureFixture[str]):
    assert install.run("--database", "postgres", "--game", "simulated") == 0
    assert install.applied == [Choices(None, "auto", "postgres", "simulated", None)]
    assert install.checked == [{"role": Role.WEB, "with_proxy": False, "game": "simulated"}]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["doing: do it", f"left4me {RELEASE} is installed. Create an admin account:"]
    assert "    ssh -L 8000:127.0.0.1:8000 root@THIS-MACHINE" in lines
    assert lines[-2:] == ["warning disk: is small", "        → Free some."]


def test_a_site_with_a_domain_is_named(install: Installer, capsys: pytest.CaptureFixture[str]):
    install.layout.settings.mkdir(parents=True)
    install.layout.settings_file.write_text("LEFT4ME_BEHIND_TLS=true\nLEFT4ME_ALLOWED_HOSTS=a.example.org,127.0.0.1\n")
    assert install.run("--domain", "A.example.org.", "--tls", "internal") == 0
    assert install.applied == [Choices("a.example.org", "internal", None, None, None)]
    assert install.checked == [{"role": Role.WEB, "with_proxy": True, "game": "steam"}]
    said = capsys.readouterr().out
    assert "Then sign in at https://a.example.org/\n" in said and "ssh -L" not in said


def test_a_dry_run_and_one_with_nothing_to_do_change_nothing(install: Installer, capsys: pytest.CaptureFixture[str]):
    assert install.run("--dry-run") == 0
    assert capsys.readouterr().out == "would do: do it\nNo changes made.\n"
    assert not install.layout.program.exists()
    install.is_done = True
    assert install.run() == install.run("--dry-run") == 0
    nothing = f"Nothing to do: {RELEASE} is installed and ready.\n"
    assert (capsys.readouterr().out, install.applied) == (nothing * 2, [])


def test_the_game_of_before_is_checked_unless_another_is_wanted(install: Installer):
    install.layout.settings.mkdir(parents=True)
    install.layout.settings_file.write_text("LEFT4ME_GAME=simulated\n")
    install.run()
    install.run("--game", "steam")
    assert [checked["game"] for checked in install.checked] == ["simulated", "steam"]


def test_a_database_is_not_exchanged_by_an_installation(install: Installer, capsys: pytest.CaptureFixture[str]):
    install.layout.settings.mkdir(parents=True)
    install.layout.secrets_file.write_text("LEFT4ME_SECRET_KEY=x\n")
    assert install.run("--database", "postgres") == 1
    assert "This machine runs on sqlite" in capsys.readouterr().err
    assert install.run("--database", "sqlite") == 0
    assert len(install.applied) == 1


def test_a_machine_that_is_invited_becomes_a_worker_host(
    install: Installer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    install.layout.settings.mkdir(parents=True)
    install.layout.settings_file.write_text("LEFT4ME_HOST=two\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO(URL))
    assert install.run("--worker-only", "--join", URL) == install.run("--worker-only", "--join", "-") == 0
    assert install.joined == [INVITATION, INVITATION]
    assert [checked["role"] for checked in install.checked] == [Role.WORKER_HOST] * 2
    assert "This machine runs servers as “two”." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--worker-only"], "--worker-only needs --join URL"),
        (["--join", URL], "--worker-only needs --join URL"),
        (["--worker-only", "--join", URL, "--domain", "a.example.org"], "can't be combined"),
        (["--worker-only", "--join", URL, "--database", "sqlite"], "can't be combined"),
    ],
)
def test_options_of_a_worker_host_go_together(
    install: Installer, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
):
    assert install.run(*options) == 1
    assert reason in capsys.readouterr().err
    assert (install.applied, install.checked) == ([], [])


def test_a_web_does_not_become_a_worker_host(install: Installer, capsys: pytest.CaptureFixture[str]):
    install.become_web()
    assert install.run("--worker-only", "--join", URL) == 1
    assert "already runs the web" in capsys.readouterr().err
    assert install.run() == 0


def test_a_worker_host_is_repaired_without_an_invitation(install: Installer, capsys: pytest.CaptureFixture[str]):
    install.become_worker_host()
    assert install.run() == install.run("--worker-only") == 0
    assert [checked["role"] for checked in install.checked] == [Role.WORKER_HOST] * 2
    assert install.joined == []
    for options in (["--domain", "a.example.org"], ["--database", "sqlite"]):
        assert install.run(*options) == 1
        assert "has neither a web" in capsys.readouterr().err
    assert install.run("--worker-only", "--join", URL) == 0
    assert install.joined == [INVITATION]


def test_a_worker_host_that_has_not_joined_needs_an_invitation(install: Installer, capsys: pytest.CaptureFixture[str]):
    install.become_worker_host(has_joined=False)
    assert install.run() == 1
    assert "has not joined a web yet" in capsys.readouterr().err


def test_an_archive_is_taken_in_once_and_on_a_dry_run_beside(
    install: Installer, monkeypatch: pytest.MonkeyPatch, capsys
):
    taken: list[Layout] = []

    def take(layout: Layout, place: str, *, sha256: str, progress: object) -> Any:
        assert (place, sha256) == ("a.tar.gz", "ff")
        assert layout.signers.parent.resolve() == install.layout.settings
        taken.append(layout)
        return type("Release", (), {"name": RELEASE})

    monkeypatch.setattr(intake, "take", take)
    install.layout.settings.mkdir(parents=True)
    assert install.run("--from", "a.tar.gz", "--sha256", "ff", "--dry-run") == 0
    assert install.run("--from", "a.tar.gz", "--sha256", "ff") == 0
    assert (taken[0] == install.layout, taken[1] == install.layout) == (False, True)
    assert [choices.release for choices in install.applied] == [RELEASE]
    install.layout.current.symlink_to(f"releases/{RELEASE}")
    assert install.run("--from", "a.tar.gz") == 1
    assert "`left4mectl upgrade --from a.tar.gz`" in capsys.readouterr().err


def test_what_fails_is_said_and_an_interruption_too(install: Installer, capsys, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise CannotGoOn("no systemd")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(preflight, "check", fail)
    assert install.run() == 1
    assert capsys.readouterr().err == "deploy/install: no systemd\n"
    monkeypatch.setattr(preflight, "check", interrupt)
    assert install.run() == 130
    assert capsys.readouterr().err == "deploy/install: interrupted. Run it again to continue.\n"


def test_an_installation_is_alone_and_what_changes_nothing_need_not_be(
    install: Installer, capsys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        uninstall, "run", lambda layout, **options: 7 if options == {"purge": True, "dry_run": True} else 0
    )
    assert install.run("--uninstall") == 0
    assert not install.layout.program.exists()
    with plan.alone(install.layout):
        assert install.run() == install.run("--uninstall") == 1
        assert "Another installation" in capsys.readouterr().err
        assert install.run("--dry-run") == 0
        assert install.run("--uninstall", "--purge", "--dry-run") == 7


@pytest.mark.parametrize(("level", "shown"), [("ok", []), ("warning", ["disk"])])
def test_only_what_is_lacking_is_shown_at_the_end(
    monkeypatch: pytest.MonkeyPatch, level: str, shown: list[str], tmp_path: Path
):
    monkeypatch.setattr(machine, "libraries_32_bit", lambda *, game: ok("32-bit libraries", game))
    found = ok("disk", "x") if level == "ok" else warning("disk", "x", "y")
    monkeypatch.setattr(machine, "disk", lambda root, *, game: found)
    assert [finding.check for finding in installer.game_needs(Layout(tmp_path), "steam")] == shown
