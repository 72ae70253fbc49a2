from __future__ import annotations

import importlib
from datetime import timedelta

import pytest
from django.apps import apps
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.lines import Masker
from left4me.core.redis import hosts
from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from livestate import actions, tasks
from livestate.models import ORDER_WAITS, Order
from livestate.orders import commands, completion, execution
from livestate.tests.answers import Person, status_text
from servers.gamehost.tests.rcon.scripted import PASSWORD, Quirks, ScriptedServer
from servers.models import Server, StateChange
from servers.state import state_log
from servers.tests.factories import make_server, share

pytestmark = pytest.mark.django_db
ZOEY = str(STEAM_ID_64_BASE + 101)


@pytest.fixture
def game():
    with ScriptedServer(Quirks(answers={"status": status_text([Person(101)]).encode()})) as game:
        yield game


@pytest.fixture
def server(cast, game):
    server = make_server(
        cast.owner,
        port=game.port,
        actual_state=Server.State.RUNNING,
        rcon_password=PASSWORD,
        started_at=timezone.now(),
    )
    share(server, cast.viewer, "viewer")
    share(server, cast.operator, "operator")
    return server


@pytest.fixture(autouse=True)
def sent(monkeypatch) -> list[tuple]:
    """The messages sent to Celery; replaces the broker."""
    sent: list[tuple] = []

    def send_task(name: str, *, args: list, **options: object) -> None:
        sent.append((hosts.current_app.tasks[name], tuple(args), options))

    monkeypatch.setattr(hosts.current_app, "send_task", send_task, raising=False)
    return sent


def tell(server, by, kind="command", value="stats", **rest) -> Order:
    return actions.give_order(server=server, by=by, kind=kind, value=value, **rest)


@pytest.mark.parametrize("who", ["owner", "operator", "admin"])
def test_who_operates_a_server_may_use_its_console(cast, server, who):
    assert tell(server, getattr(cast, who)).state == Order.State.QUEUED


@pytest.mark.parametrize(("who", "fault"), [("viewer", PermissionDenied), ("stranger", Http404)])
def test_others_may_not(cast, server, who, fault):
    with pytest.raises(fault):
        tell(server, getattr(cast, who))
    assert not Order.objects.exists()


def test_an_order_goes_to_the_servers_host_after_commit(cast, server, sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        order = tell(server, cast.owner)
        assert sent == []
    ((task, args, options),) = sent
    assert (task.name, args, options["queue"]) == ("livestate.carry_out", (order.pk,), server.host.queue)


def test_every_order_is_on_the_record(cast, server):
    tell(server, cast.operator, "kick", ZOEY)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor, entry.target) == ("console.kick", "otto", server.resource)
    assert entry.details == {"value": ZOEY}


def test_a_broker_that_is_away_fails_the_order_instead_of_losing_it(
    cast, server, monkeypatch, django_capture_on_commit_callbacks
):
    def away(*args: object, **options: object) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr(hosts.current_app, "send_task", away, raising=False)
    with django_capture_on_commit_callbacks(execute=True):
        order = tell(server, cast.owner)
    order.refresh_from_db()
    assert order.state == Order.State.FAILED


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("command", "quit"),
        ("command", "say hi; quit"),
        ("command", "exec evil.cfg"),
        ("command", "rcon_password x"),
        ("command", "sv_password x"),
        ("command", "sm_cvar rcon_password x"),
        ("command", "plugin_load evil"),
        ("command", "a\nb"),
        ("command", "x" * 1_001),
        ("command", " "),
        ("say", ' \n" '[:2]),
        ("kick", "123"),
        ("kick", "1; quit"),
        ("ban", ZOEY),
        ("map", "c1m1_hotel; quit"),
        ("map", "unknown_map"),
        ("difficulty", "Hard; quit"),
        ("mode", "nightmare"),
        ("explode", "now"),
    ],
)
def test_what_would_harm_or_mean_nothing_is_refused_with_a_reason(cast, server, kind, value):
    with pytest.raises(actions.Refused, match=r"\w{3}"):
        tell(server, cast.owner, kind, value)
    assert not Order.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(("state", "cure"), [("stopped", "start"), ("gave_up", "start"), ("starting", None)])
def test_a_server_that_does_not_run_is_told_nothing_and_may_be_started_when_it_is_at_rest(cast, server, state, cure):
    server.actual_state = state
    with pytest.raises(actions.Refused, match="not running") as refused:
        tell(server, cast.owner)
    assert (refused.value.cure and refused.value.cure.operation) == cure


def test_the_worker_asks_the_game_and_keeps_the_answer(cast, server, game):
    order = tell(server, cast.owner, value="stats")
    tasks.carry_out(order.pk)
    order.refresh_from_db()
    assert (order.state, order.output) == (Order.State.DONE, "ran stats\n")
    assert order.finished_at is not None


def test_a_long_answer_grows_in_the_row_while_it_arrives(cast, server, game, monkeypatch):
    game.quirks.bytes_per_packet, game.quirks.seconds_between_packets = 1_000, 0.4
    game.quirks.answers["cvarlist"] = b"x" * 3_000
    seen: list[int] = []
    show = execution._store_partial_output

    def watched(order: Order, mask: Masker, text: str) -> None:
        show(order, mask, text)
        seen.append(len(Order.objects.get(pk=order.pk).output))

    monkeypatch.setattr(execution, "_store_partial_output", watched)
    order = tell(server, cast.owner, value="cvarlist")
    tasks.carry_out(order.pk)
    assert 0 < seen[0] < 3_000
    order.refresh_from_db()
    assert len(order.output) == 3_000


def test_of_an_answer_so_much_is_stored_and_no_more(cast, server, monkeypatch):
    answer, partly = "x" * 399_999 + "yz", []

    def command(ask, value):
        ask.keywords["on_text"](answer)
        partly.append(Order.objects.get().output)
        return commands.Outcome(commands.Result.DONE, answer)

    monkeypatch.setattr(commands, "command", command)
    order = tell(server, cast.owner, value="cvarlist")
    tasks.carry_out(order.pk)
    order.refresh_from_db()
    assert order.output == partly[0] == "x" * 399_999 + "y"


def test_the_console_never_shows_the_rcon_password_however_the_answer_arrives(cast, server, game, monkeypatch):
    """`find rcon_` and `cvarlist` print it, and an operator and every `read` token can read the order."""
    password = server.live_rcon_password
    game.quirks.bytes_per_packet, game.quirks.seconds_between_packets = 700 + len(password) // 2, 0.4
    game.quirks.answers["find rcon_"] = b"x" * 700 + password.encode() + b"y" * 900
    seen: list[str] = []
    show = execution._store_partial_output

    def watched(order: Order, *rest: object) -> None:
        show(order, *rest)
        seen.append(Order.objects.get(pk=order.pk).output)

    monkeypatch.setattr(execution, "_store_partial_output", watched)
    order = tell(server, cast.owner, value="find rcon_")
    tasks.carry_out(order.pk)
    order.refresh_from_db()
    assert order.output == "x" * 700 + "•••" + "y" * 900
    assert seen and not any(password[:4] in text for text in seen), "a half is not shown either"


def test_what_was_stored_before_passwords_were_masked_is_masked_by_a_migration(cast, server):
    password = server.live_rcon_password
    order = tell(server, cast.owner, value="find rcon_")
    Order.objects.filter(pk=order.pk).update(output=f'"rcon_password" = "{password}"', note=password)
    change = StateChange.objects.create(server=server, at=timezone.now(), state="crashed", last_lines=["a", password])
    Server.objects.filter(pk=server.pk).update(last_error=f"left {password}")
    importlib.import_module("livestate.migrations.0005_mask_rcon_passwords").mask_passwords(apps, None)
    for row in (order, change, server):
        row.refresh_from_db()
    assert (order.output, order.note) == ('"rcon_password" = "•••"', "•••")
    assert change.last_lines == ["a", "•••"]
    assert server.last_error == "left •••"


def test_the_history_of_states_holds_no_password(server):
    password = server.live_rcon_password
    state_log.record_state(server, Server.State.CRASHED, now=timezone.now(), detail=password, last_lines=[password])
    state_log.set_last_error(server, f"said {password}")
    change = StateChange.objects.get(server=server)
    assert (change.detail, change.last_lines) == ("•••", ["•••"])
    server.refresh_from_db()
    assert server.last_error == "said •••"


def test_an_order_delivered_twice_is_carried_out_once(cast, server, game):
    order = tell(server, cast.owner, value="stats")
    tasks.carry_out(order.pk)
    tasks.carry_out(order.pk)
    assert game.commands == ["stats"]


def test_an_order_that_comes_too_late_is_not_carried_out(cast, server, game):
    order = tell(server, cast.owner)
    late = order.created_at + ORDER_WAITS + timedelta(seconds=1)
    execution.carry_out(order.pk, now=late)
    order.refresh_from_db()
    assert game.commands == []
    assert order.state_at(late) == Order.State.FAILED


def test_an_order_whose_worker_died_is_uncertain(cast, server):
    order = tell(server, cast.owner)
    order.state = Order.State.RUNNING
    assert order.state_at(order.created_at + timedelta(seconds=10)) == Order.State.RUNNING
    assert order.state_at(order.created_at + timedelta(minutes=5)) == Order.State.UNCERTAIN


def test_a_vanished_order_is_left_alone(server):
    tasks.carry_out(999)


@pytest.mark.parametrize(
    ("quirks", "state"),
    [
        ({"banned": True}, "failed"),
        ({"hang_up_on": frozenset({"stats"})}, "uncertain"),
        ({"password": "other"}, "failed"),
    ],
)
def test_a_game_that_fails_is_told_apart_from_one_that_may_have_done_it(cast, server, game, quirks, state):
    for name, value in quirks.items():
        setattr(game.quirks, name, value)
    order = tell(server, cast.owner)
    tasks.carry_out(order.pk)
    order.refresh_from_db()
    assert order.state == state
    assert order.note
    assert PASSWORD not in order.note


def test_a_kick_is_confirmed_from_the_status(cast, server, game):
    order = tell(server, cast.owner, "kick", ZOEY)
    game.quirks.answers["kickid 2 Kicked by an admin"] = b""
    tasks.carry_out(order.pk)
    order.refresh_from_db()
    assert "kickid 2 Kicked by an admin" in game.commands
    assert order.state == Order.State.UNCERTAIN


def test_the_games_own_commands_complete_the_console(cast, server, game, redis_server):
    game.quirks.answers["cvarlist"] = (
        b"cvar list\n--------------\n"
        b'l4d2_secret_setting                      : 1        : , "sv"         : What it does\n'
        b"zz_plugin_command                        : cmd      :                  : \n"
        b"--------------\n  2 total convars/concommands\n"
    )
    tasks.learn_commands(server.pk)
    assert completion.matching(server, "l4d2_sec") == ["l4d2_secret_setting"]
    assert completion.matching(server, "zz_") == ["zz_plugin_command"]
    tasks.learn_commands(server.pk)
    assert game.commands.count("cvarlist") == 1
    assert "changelevel" in completion.matching(server, "change")
