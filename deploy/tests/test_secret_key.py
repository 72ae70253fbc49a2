"""Rotations of the secret key, with a made up manage.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.ops import application, environment, secret_key
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn
from deploy.ops.secret_key import KEY, OLD_KEY
from left4me.core.processes import commands


class Web:
    """The machine of the web. Each call of manage.py is noted with the keys that were in force."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = Layout(root)
        self.layout.settings.mkdir(parents=True)
        self.layout.secrets_file.write_text(f"# Secrets.\n{KEY}=first\n")
        self.layout.units.mkdir(parents=True)
        (self.layout.units / services.WEB).touch()
        self.resealed: list[tuple[tuple[str, ...], str | None, str | None]] = []
        self.restarted: list[list[str]] = []
        self.unreadable: list[str] = []
        monkeypatch.setattr(application, "manage", self._manage)
        monkeypatch.setattr(services, "restart", lambda units: self.restarted.append(list(units)))

    def _manage(self, layout: Layout, *arguments: str) -> commands.Finished:
        if arguments[0] == "list_hosts":
            assert arguments[1:] == ("--with-web-key",)
            return commands.Finished(status=0, output="two\nthree\n", seconds=0)
        keys = environment.read(layout)
        self.resealed.append((arguments, keys.get(KEY), keys.get(OLD_KEY)))
        counted = json.dumps({"resealed": 3, "unreadable": self.unreadable})
        return commands.Finished(status=0, output=f"A warning.\n{counted}\n", seconds=0)

    def rotate(self, *, forget_old: bool = False) -> secret_key.Rotated:
        return secret_key.rotate(self.layout, forget_old=forget_old, say=lambda line: None)


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Web:
    return Web(tmp_path, monkeypatch)


UNITS = [services.WORKER, services.BEAT, services.WEB]


def test_a_new_key_is_in_force_before_secrets_are_encrypted_with_it(web: Web):
    assert web.rotate() == secret_key.Rotated(3, [], ["two", "three"])
    ((arguments, key, old),) = web.resealed
    assert arguments == ("reseal_secrets", "--json", "--new-key")
    assert old == "first" and key is not None and key != "first" and len(key) == 64
    assert web.restarted == [UNITS]
    assert web.layout.secrets_file.read_text().startswith("# Secrets.\n")


def test_what_serves_content_gives_hosts_the_new_keys(web: Web):
    (web.layout.settings / "hosts").mkdir()
    (web.layout.settings / "hosts/content.env").touch()
    web.rotate()
    assert web.restarted == [[*UNITS, services.CONTENT]]


def test_what_is_left_of_the_key_before_is_read_for_the_last_time(web: Web):
    web.layout.secrets_file.write_text(f"{KEY}=second\n{OLD_KEY}=first\n")
    web.rotate()
    assert web.resealed[0] == (("reseal_secrets", "--json"), "second", "first")
    assert web.resealed[1][0][-1] == "--new-key" and web.resealed[1][2] == "second"


def test_an_old_key_is_forgotten_when_nothing_needs_it(web: Web):
    web.rotate(forget_old=True)
    assert environment.read(web.layout)[OLD_KEY] == ""
    assert web.restarted == [UNITS, UNITS]
    web.unreadable = ["server 7", "server 8"]
    with pytest.raises(CannotGoOn, match=r"The old key is not forgotten.*server 7, server 8"):
        web.rotate(forget_old=True)
    assert environment.read(web.layout)[OLD_KEY] != ""
    assert web.rotate().unreadable == ["server 7", "server 8"]


@pytest.mark.parametrize(("settings", "secrets"), [("", ""), (f"{KEY}=mine\n", f"{KEY}=\n"), (f"{KEY}=mine\n", "")])
def test_a_key_that_is_elsewhere_is_not_replaced(web: Web, settings: str, secrets: str):
    web.layout.settings_file.write_text(settings)
    web.layout.secrets_file.write_text(secrets)
    with pytest.raises(CannotGoOn, match=rf"{KEY} is not in .*secrets\.env"):
        web.rotate()
    assert (web.resealed, web.restarted) == ([], [])
