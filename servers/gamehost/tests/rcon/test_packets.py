"""The codec against itself and against hostile bytes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from servers.gamehost.rcon import packets
from servers.gamehost.rcon.conversation import Conversation
from servers.gamehost.rcon.errors import RconError

ids = st.integers(-(2**31), 2**31 - 1)
bodies = st.binary(max_size=5_000).map(lambda body: body.rstrip(b"\0"))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(st.tuples(ids, ids, bodies), max_size=6), st.lists(st.integers(0, 2**20), max_size=12))
def test_packets_survive_any_cut(sent, cuts):
    stream = b"".join(packets.encode(*packet) for packet in sent)
    decoder = packets.Decoder()
    assert [tuple(packet) for piece in pieces(stream, cuts) for packet in decoder.feed(piece)] == sent


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_hostile_bytes_raise_nothing_but_our_errors(stream):
    conversation = Conversation()
    conversation.login("secret")
    for data in stream:
        try:
            conversation.receive(data)
        except RconError:
            return


@given(st.text(max_size=400), st.lists(st.integers(0, 2**20), max_size=12))
def test_an_answer_is_whole_however_it_is_cut_into_packets(text, cuts):
    conversation = Conversation()
    conversation.login("secret")
    conversation.receive(packets.encode(1, packets.AUTH_RESPONSE, b""))
    conversation.ask("status")
    clean = text.replace("\0", "").encode(errors="replace")
    for piece in pieces(clean, cuts):
        assert not conversation.receive(packets.encode(2, packets.RESPONSE_VALUE, piece))
    assert conversation.receive(packets.encode(3, packets.RESPONSE_VALUE, b""))
    assert conversation.text == clean.decode()
