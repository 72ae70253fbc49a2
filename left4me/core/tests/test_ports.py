from __future__ import annotations

import socket

import pytest

from left4me.core.net import ports


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_held_over_either_protocol_is_taken_until_it_is_let_go(kind: socket.SocketKind):
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        port = holder.getsockname()[1]
        assert not ports.is_free(port)
    assert ports.is_free(port)
