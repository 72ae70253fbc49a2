"""What the blocking and the asyncio client promise alike, against every quirk seen in the wild."""

from __future__ import annotations

import pytest

from servers.gamehost import rcon
from servers.gamehost.tests.rcon.scripted import PASSWORD, Quirks, ScriptedServer

LONG = ("x" * 3_900 + "ü€😀\n") * 8


def test_an_answer_comes_back_as_text(ask):
    with ScriptedServer() as server:
        answer = ask(server, "status")
    assert answer == "ran status\n"
    assert answer.confirmed
    assert server.logins == [PASSWORD]
    assert server.commands == ["status"]


@pytest.mark.parametrize("segment", [None, 1, 5, 13])
@pytest.mark.parametrize("empty_first", [True, False])
def test_the_login_is_understood_in_one_segment_or_many_with_or_without_the_empty_packet(ask, segment, empty_first):
    with ScriptedServer(Quirks(bytes_per_segment=segment, empty_packet_before_login=empty_first)) as server:
        assert ask(server, "echo hi") == "ran echo hi\n"


def test_a_login_answered_with_id_0_is_a_login(ask):
    with ScriptedServer(Quirks(login_id=0)) as server:
        assert ask(server, "stats") == "ran stats\n"


@pytest.mark.parametrize(("per_packet", "segment"), [(4_000, None), (3_700, 1_000), (997, 4_001), (1, 5_000)])
def test_a_long_answer_is_put_together_from_pieces_of_any_size(ask, per_packet, segment):
    quirks = Quirks(bytes_per_packet=per_packet, bytes_per_segment=segment, answers={"cvarlist": LONG.encode()})
    with ScriptedServer(quirks) as server:
        assert ask(server, "cvarlist") == LONG


def test_bytes_that_are_no_utf_8_are_replaced(ask):
    with ScriptedServer(Quirks(answers={"status": b"caf\xe9 \xff"})) as server:
        assert ask(server, "status") == "caf\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}"


def test_an_empty_answer_is_an_answer(ask):
    with ScriptedServer(Quirks(answers={"say": b""})) as server:
        assert ask(server, "say") == ""


def test_a_log_line_echoed_into_the_answer_is_part_of_its_text(ask):
    with ScriptedServer(Quirks(log_echo='L 01/02/2026 - 03:04:05: rcon from "127.0.0.1:4": command "x"\n')) as server:
        assert ask(server, "x").startswith("ran x\nL 01/02/2026")


def test_a_port_where_nobody_listens_is_unreachable(ask):
    with ScriptedServer() as server:
        pass
    with pytest.raises(rcon.Unreachable) as caught:
        ask(server, "status")
    assert not caught.value.sent


def test_a_server_that_hangs_up_on_sight_is_unreachable_and_the_ban_is_mentioned(ask):
    with ScriptedServer(Quirks(banned=True)) as server, pytest.raises(rcon.Unreachable, match="banned") as caught:
        ask(server, "status")
    assert not isinstance(caught.value, rcon.ConnectionLost)
    assert not caught.value.sent


@pytest.mark.parametrize("hang_up", [True, False])
def test_a_refused_password_is_not_offered_again_until_it_changes(ask, hang_up):
    with ScriptedServer(Quirks(hang_up_after_refusal=hang_up)) as server:
        for _ in range(3):
            with pytest.raises(rcon.PasswordRefused):
                ask(server, "status", password="wrong")
        assert server.logins == ["wrong"]
        assert ask(server, "status", password=PASSWORD) == "ran status\n"
        with pytest.raises(rcon.PasswordRefused):
            ask(server, "status", password="wrong")
    assert server.logins == ["wrong", PASSWORD, "wrong"]


def test_a_refused_password_is_offered_again_to_a_server_that_was_started_anew(ask):
    with ScriptedServer(Quirks(password="not yet executed")) as server:
        with pytest.raises(rcon.PasswordRefused):
            ask(server, "status")
        server.quirks.password = PASSWORD
        rcon.forget("127.0.0.1", server.port)
        assert ask(server, "status") == "ran status\n"


def test_a_login_without_an_answer_times_out_and_says_that_nothing_was_sent(ask):
    with ScriptedServer(Quirks(login_silent=True)) as server, pytest.raises(rcon.TimedOut) as caught:
        ask(server, "status", timeout=0.3)
    assert not caught.value.sent


def test_an_answer_without_its_end_times_out_with_what_came(ask):
    with ScriptedServer(Quirks(sentinel=False)) as server, pytest.raises(rcon.TimedOut) as caught:
        ask(server, "kick 3", timeout=0.5)
    assert caught.value.sent
    assert caught.value.partial == "ran kick 3\n"


def test_a_connection_cut_while_answering_says_that_the_command_may_have_run(ask):
    with (
        ScriptedServer(Quirks(hang_up_on=frozenset({"crash"}))) as server,
        pytest.raises(rcon.ConnectionLost) as caught,
    ):
        ask(server, "crash")
    assert caught.value.sent


@pytest.mark.parametrize("command", ["quit", "changelevel c1m1_hotel", "say bye; quit", '"MAP" c2m1_highway coop'])
def test_commands_that_end_the_connection_give_an_unconfirmed_answer(ask, command):
    with ScriptedServer(Quirks(hang_up_on=frozenset({command}))) as server:
        answer = ask(server, command)
    assert answer == ""
    assert not answer.confirmed
    assert server.commands == [command]


def test_a_map_change_that_falls_silent_gives_an_unconfirmed_answer_before_the_time_is_up(ask):
    command = "changelevel c1m1_hotel"
    with ScriptedServer(Quirks(silent_on=frozenset({command}))) as server:
        assert not ask(server, command, timeout=60).confirmed


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 64, b"\0" * 64, b"\x05\0\0\0" * 4])
def test_another_protocol_on_the_port_is_a_protocol_fault(ask, garbage):
    with ScriptedServer(Quirks(garbage=garbage)) as server, pytest.raises(rcon.ProtocolFault):
        ask(server, "status")


def test_an_answer_beyond_1_mb_is_a_protocol_fault(ask):
    with ScriptedServer(Quirks(answers={"flood": b"x" * 1_100_000})) as server, pytest.raises(rcon.ProtocolFault):
        ask(server, "flood")


@pytest.mark.parametrize(
    "command", ["", "  ", "say a\nquit", "say a\rquit", "say a\0", "x" * 1_001, "é" * 501, "\ud800"]
)
def test_commands_that_would_not_arrive_as_one_line_are_not_sent(ask, command):
    with ScriptedServer() as server, pytest.raises(rcon.InvalidCommand):
        ask(server, command)
    assert server.connections == 0


def test_1000_bytes_may_be_sent(ask):
    with ScriptedServer() as server:
        ask(server, "é" * 500)
    assert server.commands == ["é" * 500]


def test_no_error_tells_the_password(ask):
    with ScriptedServer(Quirks(password="other")) as server, pytest.raises(rcon.RconError) as caught:
        ask(server, "status", password="hunter2hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_long_answer_is_shown_while_it_arrives():
    quirks = Quirks(bytes_per_packet=1_000, seconds_between_packets=0.4, answers={"cvarlist": b"x" * 4_000})
    seen: list[int] = []
    with ScriptedServer(quirks) as server:
        answer = rcon.execute(
            "127.0.0.1", server.port, PASSWORD, "cvarlist", timeout=30, on_text=lambda text: seen.append(len(text))
        )
    assert len(answer) == 4_000
    assert seen[0] < 4_000
    assert seen == sorted(seen)
