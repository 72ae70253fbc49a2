from __future__ import annotations

import random
import socket

import pytest

from left4me.core.net import ports

# Below the range that the kernel gives out by itself: another test's client would get the port that was let go.
_NEVER_GIVEN_OUT = range(20_000, 32_000)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_held_over_either_protocol_is_taken_until_it_is_let_go(kind: socket.SocketKind):
    port = next(filter(ports.is_free, random.sample(_NEVER_GIVEN_OUT, 100)))
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        assert not ports.is_free(port)
    assert ports.is_free(port)
