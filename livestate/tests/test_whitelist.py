"""Players who are not listed are removed from a server with a whitelist."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from livestate import sweep, tasks
from livestate.models import Snapshot
from livestate.tests.answers import Person, status_text
from servers import actions
from servers.gamehost.rcon import guard
from servers.gamehost.tests.rcon.scripted import PASSWORD, Quirks, ScriptedServer
from servers.models import Server
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    guard.forget_all()
    yield
    sweep.close()
    guard.forget_all()


@pytest.fixture
def game() -> Iterator[ScriptedServer]:
    people = [Person(101), Person(102)]
    with ScriptedServer(Quirks(answers={"status": status_text(people).encode()})) as game:
        yield game


@pytest.fixture
def server(cast, game) -> Server:
    return make_server(cast.owner, port=game.port, actual_state=Server.State.RUNNING, rcon_password=PASSWORD)


def kicks(game: ScriptedServer) -> list[str]:
    return [command for command in game.commands if command.startswith("kickid")]


def test_who_is_not_listed_is_removed_with_a_message(cast, server, game):
    actions.set_rules(of=server.blueprint, by=cast.owner, whitelist=True)
    actions.set_person(of=server, person=str(Person(101).steam_id_64), role="player", by=cast.owner)
    tasks.poll()
    assert kicks(game) == ["kickid 3 Only listed players may join this server"]
    assert Snapshot.objects.get().players == 2


def test_a_listed_admin_may_always_join(cast, server, game):
    actions.set_rules(of=server, by=cast.owner, whitelist=True)
    for account in (101, 102):
        actions.set_person(of=server.blueprint, person=str(Person(account).steam_id_64), by=cast.owner)
    tasks.poll()
    assert kicks(game) == []


def test_without_the_rule_everybody_may_join(cast, server, game):
    actions.set_person(of=server, person=str(Person(101).steam_id_64), by=cast.owner)
    tasks.poll()
    assert kicks(game) == []


def test_bots_and_players_whose_steam_id_is_unknown_stay(cast, server, game):
    row = '# 9 9 "new" STEAM_ID_PENDING 00:01 0 0 spawning 30000 192.0.2.1:27005\n#end'
    game.quirks.answers["status"] = status_text(bots=1).replace("#end", row).encode()
    actions.set_rules(of=server, by=cast.owner, whitelist=True)
    tasks.poll()
    assert kicks(game) == []
