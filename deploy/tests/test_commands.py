"""The commands of `left4mectl`: what each calls with which options, what it prints, and where it is refused."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from deploy import cli
from deploy.doctor import installation
from deploy.ops import (
    application,
    archive,
    backup,
    database_move,
    plan,
    releases,
    restore,
    secret_key,
    upgrade,
)
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.plan import Step
from deploy.ops.worker_host import invitation as invitations
from deploy.ops.worker_host import registry
from deploy.tests.test_hosts import INVITATION
from left4me.core.processes import commands

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="left4mectl is for root")


class Calls:
    """What the commands call, with the options they pass; and whether another command could run meanwhile."""

    def __init__(self, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = layout
        self.made: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.alone: list[bool] = []
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(plan.process_guard, "guard_this_process", lambda: None)

    def answer(self, module: Any, name: str, answer: Any) -> None:
        def call(*arguments: Any, **options: Any) -> Any:
            self.made.append((name, arguments[1:], options))
            self.alone.append(self._is_alone())
            if isinstance(answer, BaseException):
                raise answer
            return answer

        self._monkeypatch.setattr(module, name, call)

    def _is_alone(self) -> bool:
        lock = self.layout.program / ".left4mectl.lock"
        if not lock.exists():
            return False
        try:
            with plan.exclusive(lock, RuntimeError()):
                return False
        except RuntimeError:
            return True


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.units.mkdir(parents=True)
    layout.program.mkdir(parents=True)
    (layout.units / services.WEB).touch()
    return layout


@pytest.fixture
def calls(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Calls:
    monkeypatch.delenv("LANGUAGE", raising=False)
    return Calls(layout, monkeypatch)


Run = Callable[..., int]


@pytest.fixture
def run(layout: Layout) -> Run:
    return lambda *arguments: cli.main(list(arguments), layout=layout)


def test_an_upgrade_gets_what_was_asked_for(run: Run, calls: Calls, capsys: pytest.CaptureFixture[str]):
    calls.answer(upgrade, "upgrade", "20261102-abc1234")
    assert run("upgrade") == 0
    assert run("upgrade", "--to", "v2", "--allow-older", "--ready-seconds", "9") == 0
    assert run("upgrade", "--from", "a.tar", "--sha256", "ff") == 0
    assert run("upgrade", "--repository", "https://example.org/x") == 0
    assert [(arguments[0], options["ready_seconds"]) for _name, arguments, options in calls.made] == [
        (upgrade.Wanted(), upgrade.READY_SECONDS),
        (upgrade.Wanted("v2", may_be_older=True), 9.0),
        (upgrade.Wanted(archive="a.tar", sha256="ff"), 60.0),
        (upgrade.Wanted(repository="https://example.org/x"), 60.0),
    ]
    assert calls.alone == [True] * 4
    assert "20261102-abc1234 is running and ready\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--from", "a.tar", "--repository", "https://example.org/x"], "--from and --repository exclude each other."),
        (["--sha256", "ff"], "--sha256 is the checksum of the archive"),
    ],
)
def test_options_of_an_upgrade_that_contradict_are_refused(
    run: Run, calls: Calls, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
):
    calls.answer(upgrade, "upgrade", "never")
    assert run("upgrade", *options) == 1
    assert calls.made == []
    assert f"left4mectl upgrade: {reason}" in capsys.readouterr().err


def test_a_rollback_keeps_the_database_unless_told(run: Run, calls: Calls, capsys: pytest.CaptureFixture[str]):
    calls.answer(upgrade, "rollback", "20261101-abc1234")
    assert (run("rollback"), run("rollback", "--with-database", "--ready-seconds", "9")) == (0, 0)
    assert [(each["with_database"], each["ready_seconds"]) for _name, _arguments, each in calls.made] == [
        (False, 60.0),
        (True, 9.0),
    ]
    assert calls.alone == [True, True]
    assert "20261101-abc1234 is running and ready" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("recovered", "says"),
    [((False, False), True), ((True, False), False), ((False, True), False), ((True, True), False)],
)
def test_an_interrupted_upgrade_and_an_interrupted_restore_are_both_undone(
    run: Run, calls: Calls, capsys: pytest.CaptureFixture[str], recovered: tuple[bool, bool], says: bool
):
    calls.answer(upgrade, "recover", recovered[0])
    calls.answer(restore, "recover", recovered[1])
    assert (run("recover"), run("recover", "--boot")) == (0, 0)
    assert [each["at_boot"] for _name, _arguments, each in calls.made] == [False, False, True, True]
    assert calls.alone == [True] * 4
    assert ("no interrupted upgrade or restore found" in capsys.readouterr().out) is says


def test_a_backup_says_who_asked_and_what_it_left_out(
    run: Run, calls: Calls, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    skipped = archive.Skipped()
    made = backup.Made(tmp_path / "made.tar", 2_000_000, skipped)
    calls.answer(backup, "make", made)
    monkeypatch.delenv("TRIGGER_UNIT", raising=False)
    assert run("backup") == 0
    monkeypatch.setenv("TRIGGER_UNIT", services.BACKUP_TIMER)
    assert run("backup", "--to", "/x", "--keep", "3", "--with-workshop", "--with-copies", "--quiet") == 0
    (_make, _arguments, first), (_again, _same, second) = calls.made
    assert {name: first[name] for name in ("to", "keep", "with_workshop", "with_copies", "by")} == {
        "to": None,
        "keep": backup.KEEP,
        "with_workshop": False,
        "with_copies": False,
        "by": backup.HAND,
    }
    assert abs((first["now"] - datetime.now(UTC)).total_seconds()) < 300
    assert (second["to"], second["keep"], second["by"]) == (Path("/x"), 3, backup.TIMER)
    assert second["with_workshop"] and second["with_copies"]
    said = capsys.readouterr()
    assert said.out == f"{tmp_path}/made.tar (2.0 MB)\n", "a quiet one prints nothing"
    skipped.names.append("a socket")
    run("backup", "--quiet")
    assert capsys.readouterr().err == "left out: a socket\n"


def test_a_restore_asks_first(
    run: Run, calls: Calls, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    calls.answer(restore, "restore", ["Remove both."])
    monkeypatch.setattr(sys, "stdin", StringIO())
    assert run("restore", "a.tar") == 1
    assert "Without a terminal, pass --yes" in capsys.readouterr().err
    assert calls.made == []
    assert run("restore", "a.tar", "--yes", "--ready-seconds", "7") == 0
    assert calls.made[0][1:] == ((Path("a.tar"),), {**calls.made[0][2], "ready_seconds": 7.0})
    assert calls.alone == [True]
    assert capsys.readouterr().out.splitlines()[-1] == "Remove both."


class Typed(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "status"), [("y\n", 0), (" YES \n", 0), ("n\n", 1), ("\n", 1), ("", 1), ("yesterday\n", 1)]
)
def test_only_yes_is_a_yes(
    run: Run,
    calls: Calls,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    status: int,
):
    calls.answer(restore, "restore", [])
    monkeypatch.setattr(sys, "stdin", Typed(answer))
    assert run("restore", "a.tar") == status
    assert len(calls.made) == 1 - status
    said = capsys.readouterr()
    assert "with a.tar. Continue? [y/N] " in said.out
    assert ("No changes made." in said.err) is bool(status)


def test_the_status_shows_release_units_backup_and_why_it_is_not_ready(
    run: Run, calls: Calls, layout: Layout, capsys: pytest.CaptureFixture[str]
):
    layout.current.symlink_to("releases/20261101-abc1234")
    calls.answer(releases, "version", "1.2")
    calls.answer(releases, "follows", "main https://example.org/x")
    calls.answer(services, "states", {services.WEB: "active"})
    calls.answer(backup, "latest", None)
    calls.answer(application, "unready", "")
    assert run("status") == 0
    shown = ["release  20261101-abc1234 (1.2)", "follows  main https://example.org/x", f"active   {services.WEB}"]
    none = "backup   none yet: `left4mectl backup`"
    assert capsys.readouterr().out.splitlines() == [*shown, none, "ready    yes"]
    calls.answer(application, "unready", "the worker is away")
    calls.answer(releases, "follows", "")
    (layout.units / services.WEB).unlink()
    assert run("status") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "follows  nothing; upgrade with `left4mectl upgrade --from FILE|URL`"
    assert lines[-1] == "ready    no: the worker is away"
    assert not [line for line in lines if line.startswith("backup")], "a worker host has none"


def test_the_doctor_decides_over_the_exit_status(run: Run, calls: Calls):
    calls.answer(installation, "run", 1)
    assert (run("doctor"), run("doctor", "--json")) == (1, 1)
    assert [each["as_json"] for _name, _arguments, each in calls.made] == [False, True]


def test_a_moved_database_is_named_and_where_the_old_one_is(run: Run, calls: Calls, capsys):
    calls.answer(database_move, "move", "/var/lib/left4me/left4me.sqlite3.before-x")
    assert run("database", "move", "postgres") == 0
    assert calls.made[0][1] == ("postgres",)
    assert calls.alone == [True]
    assert "in postgres now. The old database is kept, unchanged: /var/lib/" in capsys.readouterr().out


def test_a_rotation_names_what_it_could_not_read_and_who_has_the_old_key(run: Run, calls: Calls, capsys):
    calls.answer(secret_key, "rotate", secret_key.Rotated(3, ["server 7"], ["two"]))
    assert (run("keys", "rotate"), run("keys", "rotate", "--forget-old")) == (0, 0)
    assert [each["forget_old"] for _name, _arguments, each in calls.made] == [False, True]
    assert calls.alone == [True, True]
    lines = capsys.readouterr().out.splitlines()[:3]
    assert lines[0] == "Rotated the secret key. Secrets encrypted with it: 3."
    assert "the secret of server 7" in lines[1] and lines[2].startswith("two has the old key")


def test_a_host_is_added_once_this_machine_is_open_to_it(run: Run, calls: Calls, capsys):
    applied: list[str] = []
    calls.answer(registry, "steps", [Step("open", lambda: False, lambda: applied.append("open"))])
    calls.answer(registry, "add", INVITATION)
    assert run("host", "add", "two", "--address", "10.0.0.1", "--dry-run") == 0
    assert (applied, [name for name, _arguments, _options in calls.made]) == ([], ["steps"])
    calls.made.clear()
    options = ("--public", "203.0.113.7", "--from", "10.0.0.0/8", "--from", "192.0.2.1")
    assert run("host", "add", "two", "--address", "10.0.0.1") == 0
    assert run("host", "add", "two", "--address", "10.0.0.1", *options) == 0
    assert applied == ["open", "open"]
    assert calls.made == [
        ("steps", (), {"address": "10.0.0.1", "peers": ("0.0.0.0/0", "::/0")}),
        ("add", ("two",), {"address": "10.0.0.1", "public": ""}),
        ("steps", (), {"address": "10.0.0.1", "peers": ("10.0.0.0/8", "192.0.2.1/32")}),
        ("add", ("two",), {"address": "10.0.0.1", "public": "203.0.113.7"}),
    ]
    assert all(calls.alone)
    said = capsys.readouterr()
    assert said.out == f"{INVITATION.url()}\n" * 2, "what a script reads"
    assert "two can join" in said.err


def test_a_host_that_gets_new_secrets_is_given_a_url(run: Run, calls: Calls, capsys):
    calls.answer(registry, "rekey", INVITATION)
    assert run("host", "rekey", "two") == 0
    assert calls.made[0][1] == ("two",)
    assert calls.alone == [True]
    said = capsys.readouterr()
    assert said.out == f"{INVITATION.url()}\n"
    assert "The old secrets of two are invalid since" in said.err


def test_a_worker_host_joins_again_with_a_url_from_an_argument_or_the_input(
    run: Run, calls: Calls, layout: Layout, capsys, monkeypatch: pytest.MonkeyPatch
):
    calls.answer(invitations, "renew", None)
    assert run("host", "join", INVITATION.url()) == 1
    assert "This machine runs the web." in capsys.readouterr().err
    assert calls.made == []
    (layout.units / services.WEB).unlink()
    monkeypatch.setattr(sys, "stdin", StringIO(INVITATION.url()))
    assert (run("host", "join", INVITATION.url()), run("host", "join", "-")) == (0, 0)
    assert [arguments for _name, arguments, _options in calls.made] == [(INVITATION,), (INVITATION,)]
    assert calls.alone == [True, True]
    assert "runs servers as “two” again" in capsys.readouterr().out


def test_hosts_are_listed_by_the_application(run: Run, calls: Calls, capsys):
    calls.answer(application, "manage", commands.Finished(status=0, output="local\ntwo\n\n", seconds=0))
    assert run("host", "list") == 0
    assert calls.made[0][1] == ("list_hosts",)
    assert capsys.readouterr().out == "local\ntwo\n"


def test_servers_of_a_host_go_only_with_a_machine_that_is_gone(run: Run, calls: Calls, capsys):
    calls.answer(registry, "remove", "Removed.")
    calls.answer(registry, "remove_lost", "Gone.")
    for options in (["--delete-servers"], ["--move-servers-to", "local"]):
        assert run("host", "remove", "two", *options) == 1
    assert "Add --gone" in capsys.readouterr().err
    assert calls.made == []
    assert run("host", "remove", "two") == 0
    for options in ([], ["--delete-servers"], ["--move-servers-to", "local"]):
        assert run("host", "remove", "two", "--gone", *options) == 0
    assert calls.made == [
        ("remove", ("two",), {}),
        ("remove_lost", ("two",), {"options": ()}),
        ("remove_lost", ("two",), {"options": ("--delete-servers",)}),
        ("remove_lost", ("two",), {"options": ("--move-servers-to", "local")}),
    ]
    assert all(calls.alone)
    assert capsys.readouterr().out == "Removed.\nGone.\nGone.\nGone.\n"


@pytest.mark.parametrize(
    "command",
    [
        ["database", "move", "postgres"],
        ["keys", "rotate"],
        ["host", "add", "two", "--address", "10.0.0.1"],
        ["host", "rekey", "two"],
        ["host", "remove", "two"],
    ],
)
def test_what_is_the_webs_is_refused_on_a_worker_host(
    run: Run, layout: Layout, capsys: pytest.CaptureFixture[str], command: list[str]
):
    (layout.units / services.WEB).unlink()
    assert run(*command) == 1
    assert "This machine only runs game servers." in capsys.readouterr().err


def test_everything_after_manage_is_for_manage(run: Run, calls: Calls):
    calls.answer(application, "become_manage", 0)
    run("manage", "shell", "--help", "--run", "upgrade")
    assert calls.made == [("become_manage", (["shell", "--help", "--run", "upgrade"],), {})]


def test_an_unknown_option_is_named(run: Run, calls: Calls, capsys: pytest.CaptureFixture[str]):
    calls.answer(installation, "run", 0)
    with pytest.raises(SystemExit):
        run("doctor", "--yaml")
    assert "--yaml" in capsys.readouterr().err
    assert calls.made == []


def test_only_root_may_and_an_interruption_is_no_fault(
    run: Run, calls: Calls, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    calls.answer(installation, "run", KeyboardInterrupt())
    assert run("doctor") == 130
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run("doctor") == 1
    assert capsys.readouterr().err == "left4mectl doctor: This command needs root. Run it with sudo.\n"
