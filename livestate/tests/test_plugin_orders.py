"""Loading, unloading and reloading plugins of a running game, against the simulated one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from left4me.testing import smx_files
from livestate import actions
from livestate.models import Order
from livestate.orders import plugins
from livestate.orders.commands import Result
from overlays.plugins import finder
from servers.gamehost import rcon
from servers.models import Server
from servers.simulated import harness
from servers.tests.factories import make_server, share

PLUGINS = "addons/sourcemod/plugins"


@pytest.fixture(scope="module")
def game(tmp_path_factory):
    files = {
        f"{PLUGINS}/heal.smx": smx_files.plugin("Heal"),
        f"{PLUGINS}/left4dhooks.smx": smx_files.plugin("DHooks"),
        f"{PLUGINS}/spawner.smx": smx_files.plugin("Spawner", plugins=["left4dhooks.smx"]),
        f"{PLUGINS}/disabled/other.smx": smx_files.plugin("Other"),
        f"{PLUGINS}/disabled/lame.smx": smx_files.plugin("Lame", extensions=["dhooks.ext"]),
    }
    with harness.running(tmp_path_factory.mktemp("plugins"), files=files) as sim:
        yield sim


@pytest.fixture
def order(game) -> Callable:
    """Carries out an order on a plugin of the game."""
    found = finder.find([game.tree])

    def ask(command: str) -> rcon.Answer:
        return rcon.Answer(game.rcon(command))

    return lambda act, path: act(ask, path, found, pause=lambda _seconds: None)


def test_a_disabled_plugin_is_loaded_and_unloaded(order, game):
    assert order(plugins.load, "disabled/other.smx").result is Result.DONE
    assert '"Other"' in game.rcon("sm plugins list")
    assert order(plugins.unload, "disabled/other.smx").result is Result.DONE
    assert '"Other"' not in game.rcon("sm plugins list")


def test_a_plugin_is_reloaded(order):
    outcome = order(plugins.reload, "heal.smx")
    assert outcome.result is Result.DONE
    assert "reloaded successfully" in outcome.output


def test_why_a_plugin_does_not_load_is_told(order):
    outcome = order(plugins.load, "disabled/lame.smx")
    assert outcome.result is Result.FAILED
    assert outcome.note == 'Required extension "dhooks" file("dhooks.ext") not running'


@pytest.mark.parametrize("act", [plugins.unload, plugins.reload])
def test_what_other_plugins_need_is_not_unloaded(order, game, act):
    outcome = order(act, "left4dhooks.smx")
    assert outcome.result is Result.FAILED
    assert "Spawner" in str(outcome.note)
    assert '"DHooks"' in game.rcon("sm plugins list")


def test_a_list_that_did_not_arrive_is_asked_for_again(monkeypatch):
    """After a moment, and so often; what the game says last counts."""
    loaded = object()
    pauses: list[float] = []
    answers: list[object] = []

    def read(ask, found):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(plugins.console, "read", read)
    for given, result in (
        ([rcon.RconError("silent"), {}, {"a.smx": loaded}], Result.DONE),
        ([rcon.RconError("silent")] * plugins.CHECKS, Result.UNCERTAIN),
        ([{}] * plugins.CHECKS, Result.UNCERTAIN),
    ):
        answers[:] = given
        pauses.clear()
        outcome = plugins._verify(lambda _: None, "a.smx", [], "", pauses.append, wanted=lambda found: found is loaded)
        assert (outcome.result, answers) == (result, [])
        assert pauses == [plugins.PAUSE_SECONDS] * (len(given) - 1)


def test_a_plugin_that_is_not_loaded_is_not_unloaded(order):
    assert "not loaded" in str(order(plugins.unload, "disabled/lame.smx").note)


@pytest.mark.parametrize("path", ['a".smx', "a;quit.smx", "../../a.smx", "a.txt", "a\n.smx", "x" * 300 + ".smx", ""])
def test_a_path_that_could_be_a_command_is_refused(cast, path):
    server = make_server(cast.owner, actual_state=Server.State.RUNNING)
    with pytest.raises(actions.Refused):
        actions.give_order(server=server, by=cast.owner, kind=Order.Kind.LOAD_PLUGIN, value=path)


def test_operators_load_plugins_and_the_audit_log_tells_it(cast, client, monkeypatch):
    monkeypatch.setattr(actions.hosts, "send", lambda *args, **options: True)
    server = make_server(cast.owner, actual_state=Server.State.RUNNING)
    share(server, cast.stranger, "operator")
    client.force_login(cast.stranger)
    given = {"kind": "load_plugin", "value": "optional/confogl.smx"}
    answer = client.post(f"/api/v1/servers/{server.pk}/orders", given, content_type="application/json")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    client.force_login(cast.admin)
    assert "loaded a plugin on" in client.get("/audit").content.decode()
