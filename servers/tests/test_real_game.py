"""The whole way on real parts: rows, the process runtime with its sandbox, the simulated game, RCON."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from left4me.core.redis import keys
from left4me.testing.cast import Cast
from left4me.testing.recorded_run import RecordedRun
from overlays import paths
from overlays.tests.factories import make_overlay
from servers.gamehost import rcon
from servers.gamehost.port import State
from servers.hosts import installs, reconcile, this_host
from servers.lifecycle import lifecycle, readiness
from servers.logs import publisher
from servers.models import Server
from servers.tests.factories import make_blueprint, make_host, make_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def host(tmp_path: Path, settings, db) -> Iterator[Path]:
    settings.LEFT4ME_ROOT = tmp_path
    this_host.runtime.cache_clear()
    installs.install(RecordedRun("game"))
    yield tmp_path
    for server_id in Server.objects.values_list("pk", flat=True):
        with contextlib.suppress(Exception):
            this_host.runtime().kill(server_id)
    this_host.runtime.cache_clear()


@pytest.fixture
def server(host: Path, cast: Cast) -> Server:
    overlay = make_overlay(name="House rules", path="house", expose_cfg=True)
    cfg = paths.directory(overlay) / paths.CFG
    cfg.parent.mkdir(parents=True)
    cfg.write_text('hostname "from the overlay"\nsv_alltalk 1\n')
    blueprint = make_blueprint(cast.owner, overlays=[overlay], config="sv_alltalk 0\nmotd_enabled 0")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return make_server(cast.owner, blueprint=blueprint, host=make_host(last_port=65535), port=port)


def _ask(server: Server, command: str) -> str:
    return rcon.execute("127.0.0.1", server.port, server.live_rcon_password, command, timeout=10)


def _until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_starts_as_its_rows_say_and_stops_without_a_trace(server: Server):
    lifecycle.start(server, RecordedRun(server.resource))
    assert "from the overlay" in _ask(server, "hostname")
    # The blueprint's lines stand after the overlay's and win.
    assert '"sv_alltalk" = "0"' in _ask(server, "sv_alltalk")
    lifecycle.stop(server, RecordedRun(server.resource))
    assert not readiness.answers(server, timeout=0.5)
    assert this_host.runtime().observe([server.pk])[server.pk].state is State.STOPPED


def test_a_crash_is_seen_and_mended(server: Server):
    lifecycle.start(server, RecordedRun(server.resource))
    before = this_host.runtime().observe([server.pk])[server.pk]
    with contextlib.suppress(rcon.RconError):
        _ask(server, "sim_crash SEGV")
    _until(lambda: this_host.runtime().observe([server.pk])[server.pk].restarts == 1)
    _until(lambda: readiness.answers(server, timeout=1))
    after = this_host.runtime().observe([server.pk])[server.pk]
    assert after.state is State.RUNNING
    assert after.pid != before.pid
    assert str(after.last_exit) == "signal 11 (segmentation fault)"


def test_the_log_is_carried_to_those_who_watch(server: Server, redis_client):
    lifecycle.start(server, RecordedRun(server.resource))
    redis_client.set(keys.server_log_watched(server.pk), "1", ex=60)
    heard: list[bytes] = []
    with redis_client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(keys.server_log_channel(server.pk))
        publisher.Tailers(this_host.runtime()).ensure(server.pk)

        def hears(text: bytes) -> bool:
            message = subscription.get_message(timeout=0.2)
            if message is not None:
                heard.append(message["data"])
            return any(text in one for one in heard)

        _until(lambda: hears(b"c1m1_hotel"))
        _ask(server, "say the tank is coming")
        _until(lambda: hears(b"the tank is coming"))
    redis_client.delete(keys.server_log_watched(server.pk))
    # A tailer without viewers ends.
    _until(lambda: not redis_client.exists(keys.server_log_tailer(server.pk)))
    assert redis_client.xlen(keys.server_log(server.pk)) > 3


def test_after_everything_died_at_once_the_sweep_asks_for_a_start(server: Server):
    lifecycle.start(server, RecordedRun(server.resource))
    Server.objects.update(desired_state=Server.Desired.RUNNING)
    seen = this_host.runtime().observe([server.pk])[server.pk]
    assert seen.started_at is not None
    this_host.runtime().kill(server.pk)
    summary = reconcile.refresh(
        server.host.name,
        runtime=this_host.runtime(),
        ready=readiness.ready,
        now=seen.started_at.replace(year=seen.started_at.year + 1),
        rebooted=True,
    )
    assert summary.brought_back == 1
