from __future__ import annotations

import os
import random
import socket
from pathlib import Path

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


@pytest.mark.parametrize(("address", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_service_learns_why_it_cannot_listen(address: str, family: socket.AddressFamily):
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        try:
            holder.bind((address, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        holder.listen()
        port = holder.getsockname()[1]
        refusal = ports.refusal(address, port)
        assert refusal is not None and refusal.strerror == "Address already in use"
    assert ports.refusal(address, port) is None


def test_a_connection_that_has_just_ended_keeps_no_server_from_its_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address, port = listening.getsockname()
        client = socket.create_connection((address, port))
        connection, _ = listening.accept()
        # Who closes first keeps the port in TIME_WAIT.
        connection.close()
        client.close()
    assert ports.refusal(address, port) is None
    assert ports.is_free(port)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize(("address", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_the_holder_of_a_port_is_named(kind: socket.SocketKind, address: str, family: socket.AddressFamily):
    with socket.socket(family, kind) as holder:
        try:
            holder.bind((address, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        if kind == socket.SOCK_STREAM:
            holder.listen()
        port = holder.getsockname()[1]
        name = Path("/proc/self/comm").read_text().strip()
        assert ports.holder(port) == f"{name} (process {os.getpid()})"
    assert ports.holder(port) == ""


def test_who_only_talks_from_a_port_does_not_hold_it():
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as client,
    ):
        assert ports.holder(client.getsockname()[1]) == ""
