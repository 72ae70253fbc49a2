"""The flood rules with packets in networks of their own: who plays passes, who floods is stopped and counted."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.doctor import installation as doctor
from deploy.ops.layout import Layout
from deploy.ops.machine import flood_rules, services
from left4me.core.processes import commands
from left4me.testing import namespaces
from left4me.testing.namespaces import Namespace

QUERY = b"\xff\xff\xff\xffTSource Engine Query\x00"
CONNECT = b"\xff\xff\xff\xffk1234567"
ACCEPTED = b"\xff\xff\xff\xffB"
IN_GAME = b"\x07\x00\x00\x00what a player does"
PORT = 27015
BURST = 60

_SO_RCVBUFFORCE = 33  # of Linux; Python has no name for it


class Machine:
    """A machine with a game server and the rules, and the network beside it where players and others are."""

    def __init__(self, near: Namespace, far: Namespace) -> None:
        self.near = near
        self.far = far
        self.games: dict[int, socket.socket] = {}
        self._opened: list[socket.socket] = []

    def close(self) -> None:
        for each in self._opened:
            each.close()

    def open(self, side: Namespace, *kind: int) -> socket.socket:
        opened: socket.socket = side.run(socket.socket, *kind)
        self._opened.append(opened)
        return opened

    def load(self, **settings: str) -> None:
        self.near.run(flood_rules.load, flood_rules.of(settings))

    def serve(self, family: int = socket.AF_INET, port: int = PORT) -> socket.socket:
        game = self.open(self.near, family, socket.SOCK_DGRAM)
        # Room for all that a test sends at once.
        game.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 32 << 20)
        game.bind(("", port))
        game.settimeout(0.3)
        self.games[port] = game
        return game

    def sender(self, address: str = "10.9.0.2", port: int = PORT) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sender = self.open(self.far, family, socket.SOCK_DGRAM)
        sender.bind((address, 0))
        sender.connect(("fd09::1" if ":" in address else "10.9.0.1", port))
        sender.settimeout(5)
        return sender

    def join(self, address: str) -> socket.socket:
        """A player whose connection the game has accepted."""
        player = self.sender(address)
        player.send(CONNECT)
        _packet, sent_from = self.games[PORT].recvfrom(100)
        self.games[PORT].sendto(ACCEPTED, sent_from)
        assert player.recv(100) == ACCEPTED
        return player

    def received(self, port: int = PORT) -> Counter[tuple[str, bytes]]:
        """The packets that the game has got since the last call, by address and kind."""
        packets: Counter[tuple[str, bytes]] = Counter()
        try:
            while True:
                packet, (address, *_) = self.games[port].recvfrom(2000)
                packets[address, packet] += 1
        except TimeoutError:
            return packets

    def dropped(self) -> dict[str, int]:
        listed = json.loads(self.near.sh("nft", "--json", "list", "counters", "table", "inet", "left4me"))
        found = [each["counter"] for each in listed["nftables"] if "counter" in each]
        return {each["name"]: each["packets"] for each in found if each["packets"]}


@pytest.fixture
def machine() -> Iterator[Machine]:
    with namespaces.joined() as (near, far):
        machine = Machine(near, far)
        yield machine
        machine.close()


@pytest.mark.nftables
def test_players_behind_one_address_pass_while_another_address_floods(machine: Machine):
    machine.load()
    machine.serve()
    machine.far.sh("ip", "address", "add", "10.9.0.9/16", "dev", "cable")
    players = [machine.join("10.9.0.2") for _ in range(8)]
    flooder = machine.sender("10.9.0.9")
    began = time.monotonic()
    for _ in range(500):
        for player in players:
            player.send(IN_GAME)
        for packet in (QUERY, CONNECT, IN_GAME, b""):
            flooder.send(packet)
    # What a browser of servers asks, for two who refresh their lists.
    for _ in range(2):
        for query in (QUERY, b"\xff\xff\xff\xffU1234", b"\xff\xff\xff\xffV1234"):
            players[0].send(query)
    got = machine.received()
    # The rate lets a few more through for each second of the flood.
    most = BURST + 10 * (time.monotonic() - began) + 1
    assert got["10.9.0.2", IN_GAME] == 8 * 500
    assert got["10.9.0.2", QUERY] == 2
    assert all(BURST <= got["10.9.0.9", packet] <= most for packet in (QUERY, CONNECT, IN_GAME))
    assert machine.dropped() == {
        "queries": 500 - got["10.9.0.9", QUERY],
        "connections": 500 - got["10.9.0.9", CONNECT],
        "strangers": 500 - got["10.9.0.9", IN_GAME],
        "malformed": 500,
    }


@pytest.mark.nftables
def test_a_player_who_was_in_the_game_when_the_rules_were_loaded_is_not_limited(machine: Machine):
    game = machine.serve()
    player = machine.join("10.9.0.2")
    machine.load()
    game.sendto(IN_GAME, player.getsockname())
    for _ in range(300):
        player.send(IN_GAME)
    assert machine.received()["10.9.0.2", IN_GAME] == 300
    # One who sends what no client sends is limited too.
    for _ in range(2000):
        player.send(IN_GAME)
    assert machine.received()["10.9.0.2", IN_GAME] < 1900
    assert machine.dropped()["players"] > 100


@pytest.mark.nftables
def test_a_storm_of_made_up_addresses_is_bounded_and_lets_those_in_who_played(machine: Machine):
    machine.load()
    machine.serve()
    player = machine.join("10.9.0.2")
    storm = machine.open(machine.far, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for number in range(1000):
        source = f"10.9.{100 + number // 200}.{1 + number % 200}"
        for packet in (QUERY, CONNECT):
            storm.sendto(_datagram(source, "10.9.0.1", packet), ("10.9.0.1", 0))
        if number % 50 == 0:
            for packet in (IN_GAME, QUERY, CONNECT):
                player.send(packet)
    got = machine.received()
    assert got["10.9.0.2", IN_GAME] == got["10.9.0.2", QUERY] == got["10.9.0.2", CONNECT] == 20
    assert 800 <= got.total() < 1600
    assert machine.dropped() == {"storms": 2000 + 60 - got.total()}


@pytest.mark.nftables
def test_a_network_of_64_bits_counts_as_one_address(machine: Machine):
    machine.load()
    machine.serve(socket.AF_INET6)
    for address in ("fd09::3", "fd09:0:0:1::3"):
        machine.far.sh("ip", "address", "add", f"{address}/16", "dev", "cable", "nodad")
    for address in ("fd09::2", "fd09::3", "fd09:0:0:1::3"):
        sender = machine.sender(address)
        for _ in range(50):
            sender.send(QUERY)
    got = machine.received()
    assert BURST <= got["fd09::2", QUERY] + got["fd09::3", QUERY] < 80
    assert got["fd09:0:0:1::3", QUERY] == 50


@pytest.mark.nftables
def test_without_limits_rcon_is_closed_and_all_else_passes(machine: Machine):
    machine.near.sh("nft", "add table inet mine; add chain inet mine input; add rule inet mine input counter accept")
    mine = machine.near.sh("nft", "list", "table", "inet", "mine")
    machine.load()
    machine.load(LEFT4ME_FLOOD_LIMITS="false")
    assert machine.near.sh("nft", "list", "table", "inet", "mine") == mine
    machine.serve()
    machine.serve(port=28000)
    flooder, other = machine.sender(), machine.sender(port=28000)
    for _ in range(200):
        flooder.send(QUERY)
        other.send(b"")
    assert machine.received()["10.9.0.2", QUERY] == 200
    assert machine.received(28000)["10.9.0.2", b""] == 200
    rcon = machine.near.run(socket.create_server, ("", PORT))
    with rcon:
        machine.near.run(socket.create_connection, ("127.0.0.1", PORT), timeout=5).close()
        with pytest.raises(TimeoutError):
            machine.far.run(socket.create_connection, ("10.9.0.1", PORT), timeout=0.3)
    assert machine.dropped()["rcon"] >= 1


def test_a_setting_that_is_not_understood_is_named_and_replaced():
    given = {"LEFT4ME_PORTS": "all", "LEFT4ME_FLOOD_REQUESTS": "10; drop", "LEFT4ME_FLOOD_LIMITS": "perhaps"}
    rules = flood_rules.of(given)
    assert rules.text == flood_rules.of({}).text
    assert [problem.partition("=")[0] for problem in rules.problems] == [
        "LEFT4ME_FLOOD_LIMITS",
        "LEFT4ME_FLOOD_REQUESTS",
        "LEFT4ME_PORTS",
    ]
    other = flood_rules.of({"LEFT4ME_FLOOD_REQUESTS": "25"})
    assert "25/second burst 150 packets" in other.text
    assert other.digest != rules.digest


@pytest.mark.parametrize(
    ("settings", "loaded", "has_counters", "level", "said"),
    [
        ("", "", True, "ok", "rules are loaded"),
        ("LEFT4ME_FLOOD_LIMITS=false", "LEFT4ME_FLOOD_LIMITS=false", True, "ok", "floods are not limited"),
        ("LEFT4ME_FLOOD_REQUESTS=25", "", True, "warning", "of an older release or of other settings"),
        ("", "", False, "warning", "nobody reads what they drop"),
        ("LEFT4ME_FLOOD_PACKETS=1", "", True, "warning", "no whole number from 200"),
        ("", None, True, "warning", "may be open to the internet"),
    ],
)
def test_the_doctor_says_what_is_wrong_with_the_rules(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: str,
    loaded: str | None,
    has_counters: bool,
    level: str,
    said: str,
):
    layout = Layout(tmp_path)
    layout.settings.mkdir(parents=True)
    layout.settings_file.write_text(settings)
    name, _, value = (loaded or "").partition("=")
    listed = flood_rules.of({name: value}).text if loaded is not None else ""
    monkeypatch.setattr(commands, "run", lambda *_, **__: SimpleNamespace(output=listed))
    monkeypatch.setattr(services, "are_active", lambda _units: has_counters)
    first = next(iter(doctor._firewall(layout)))
    assert (first.level, said in first.message) == (level, True)
    assert bool(first.cure) is (level != "ok")


def test_an_upgrade_renews_the_rules_only_where_they_are_in_use(monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(services, "systemctl", _recorder(asked))
    monkeypatch.setattr(services, "are_active", lambda _units: False)
    services.renew_firewall()
    assert not asked
    monkeypatch.setattr(services, "are_active", lambda _units: True)
    services.renew_firewall()
    assert asked == [("reload", "left4me-firewall.service"), ("start", "left4me-firewall-counters.timer")]


def _recorder(asked: list[tuple[str, ...]]) -> Callable[..., str]:
    def systemctl(*arguments: str, check: bool = True) -> str:
        del check
        asked.append(arguments)
        return ""

    return systemctl


def _datagram(source: str, target: str, content: bytes) -> bytes:
    """A UDP packet with its IP header, as from `source`; the kernel fills in the checksum of the header."""
    size = 20 + 8 + len(content)
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses
    return head + struct.pack("!HHHH", 40000, PORT, 8 + len(content), 0) + content
