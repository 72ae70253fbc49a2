"""Calls from pages to hosts over a real Redis; the host's worker is a thread."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import redis
from django.utils import timezone

from left4me.core.lines import Masker
from left4me.core.redis import hosts
from servers import tasks
from servers.hosts import rpc, rpc_handlers, this_host
from servers.hosts.rpc import Reply
from servers.models import Host
from servers.tests.fake_runtime import FakeRuntime

HOST = Host(name="local")


@pytest.fixture
def host(redis_client: redis.Redis, monkeypatch, tmp_path: Path, settings) -> FakeRuntime:
    """A host that takes messages."""
    # Now, not when the module was read: that is minutes ago in a long run, and a silent host is not asked.
    monkeypatch.setattr(HOST, "last_seen_at", timezone.now())
    settings.LEFT4ME_ROOT = tmp_path
    runtime = FakeRuntime()
    monkeypatch.setattr(this_host, "runtime", lambda: runtime)
    # The thread has no database.
    monkeypatch.setattr(rpc_handlers, "_masker", lambda server_id: Masker())

    def take(name: str, *, args: list[object], queue: str, **options: object) -> None:
        assert (name, queue) == (rpc.TASK, "host.local")
        threading.Thread(target=tasks.answer, args=args).start()

    monkeypatch.setattr(hosts.current_app, "send_task", take, raising=False)
    return runtime


def test_the_console_comes_as_text(host: FakeRuntime):
    host.lines = ["one", "zwei “Ä”"]
    text = rpc.call(HOST, "console_log", server=1).data.decode()
    assert text == "2030-01-01 00:00:00 one\n2030-01-01 00:00:00 zwei “Ä”\n"


def test_pieces_carry_bytes_as_they_are(host: FakeRuntime, tmp_path: Path):
    logs = tmp_path / "servers/1/upper/left4dead2/logs"
    logs.mkdir(parents=True)
    (logs / "L1.log").write_bytes(b"\x00\xff\nline\n")
    [file] = rpc.call(HOST, "log_files", server=1).facts
    assert (file["name"], file["size"]) == ("left4dead2/logs/L1.log", 8)
    answer = rpc.call(HOST, "log_piece", server=1, file=file["name"], offset=0)
    assert (answer.facts["size"], answer.data) == (8, b"\x00\xff\nline\n")


def test_what_is_not_there_is_told_apart_from_silence(host: FakeRuntime):
    with pytest.raises(rpc.NotFound):
        rpc.call(HOST, "log_piece", server=1, file="left4dead2/logs/L1.log", offset=0)


def test_answers_do_not_stay(host: FakeRuntime, redis_client: redis.Redis):
    rpc.reply("token", Reply(["one"]))
    assert 0 < redis_client.ttl("left4me:answer:token") <= 60


def test_a_host_that_does_not_answer_is_silent(host: FakeRuntime, monkeypatch):
    monkeypatch.setattr(hosts.current_app, "send_task", lambda *args, **options: None, raising=False)
    monkeypatch.setattr(rpc, "TIMEOUT_SECONDS", 0.1)
    with pytest.raises(rpc.HostSilent):
        rpc.call(HOST, "log_files", server=1)


def test_a_host_that_is_down_is_not_waited_for(host: FakeRuntime):
    with pytest.raises(rpc.HostSilent):
        rpc.call(Host(name="local"), "log_files", server=1)
