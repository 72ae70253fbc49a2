"""The key of a host opens the passwords of its own servers, whatever happens to host and server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from deploy.doctor import application as doctor
from left4me.core import secrets
from left4me.core.net import fetch
from left4me.testing.cast import Cast
from servers import actions, tasks
from servers.hosts import host_keys, key_service, own_key
from servers.lifecycle import pending_changes
from servers.models import DeletedServer, Host, Server
from servers.tests.factories import make_host, make_server
from servers.tests.fake_runtime import FakeRuntime
from servers.tests.far_web import far_web, port_of_web, process_of_web  # noqa: F401 -- fixtures

pytestmark = pytest.mark.django_db


@pytest.fixture
def two() -> Host:
    return make_host(name="two")


@pytest.fixture
def running(cast: Cast, two: Host) -> Server:
    """A server of the second host whose game has the present password, from the time of one key for all hosts."""
    server = make_server(cast.owner, host=two, rcon_password="secret")
    Server.objects.update(applied_sealed_rcon_password=server.sealed_rcon_password)
    server.refresh_from_db()
    return server


@pytest.fixture
def as_host(settings, tmp_path):
    """Work with what the host has, and nothing else."""

    def enter(key: str) -> None:
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "x" * 50, []
        settings.LEFT4ME_HOST, settings.LEFT4ME_SEALING_KEY = "two", key
        settings.LEFT4ME_ROOT = tmp_path

    yield enter
    secrets._given.clear()


def test_a_host_is_given_a_key_of_its_own_and_its_passwords_are_encrypted_with_it(
    cast: Cast, running: Server, as_host
):
    here = make_server(cast.owner, rcon_password="of the web")
    _host, _token, key = actions.add_host(name="two", by=None)
    running.refresh_from_db()
    assert secrets.key_name_of(running.sealed_rcon_password) == running.host.key_name
    assert running.rcon_password == running.live_rcon_password == "secret"
    assert not pending_changes._password_differs(running), "the game has this password already"
    there = make_server(cast.owner, host=running.host, rcon_password="later")
    as_host(key)
    assert (running.rcon_password, there.rcon_password) == ("secret", "later")
    with pytest.raises(secrets.Unreadable):
        _password = here.rcon_password


def test_two_hosts_cannot_read_each_other(cast: Cast, as_host):
    three = actions.add_host(name="three", by=None)[0]
    _two, _token, key = actions.add_host(name="two", by=None)
    foreign = make_server(cast.owner, host=three)
    as_host(key)
    with pytest.raises(secrets.Unreadable):
        _password = foreign.rcon_password


def test_joining_again_makes_the_key_before_useless(cast: Cast, running: Server, as_host):
    first = actions.add_host(name="two", by=None)[2]
    second = actions.add_host(name="two", by=None)[2]
    assert first != second
    running.refresh_from_db()
    as_host(first)
    with pytest.raises(secrets.Unreadable):
        _password = running.rcon_password
    as_host(second)
    assert running.rcon_password == "secret"


def test_a_server_that_moves_is_read_by_its_new_host_only(running: Server, as_host):
    old = actions.add_host(name="two", by=None)[2]
    three, _token, new = actions.add_host(name="three", by=None)
    running.refresh_from_db()
    running.host = three
    assert running.seal_for(three)
    assert not running.seal_for(three)
    running.save()
    assert not pending_changes._password_differs(running)
    as_host(new)
    assert running.rcon_password == running.live_rcon_password == "secret"
    as_host(old)
    with pytest.raises(secrets.Unreadable):
        _password = running.rcon_password


def test_a_deleted_server_comes_back_with_the_present_key_of_its_host(cast: Cast, running: Server, as_host):
    actions.add_host(name="two", by=None)
    running.refresh_from_db()
    DeletedServer.remember(running, now=timezone.now())
    running.delete()
    # Encrypted at once, in case the secret key is replaced before it is restored.
    key = actions.add_host(name="two", by=None)[2]
    deleted = DeletedServer.objects.get()
    assert secrets.key_name_of(deleted.sealed_rcon_password) == deleted.host.key_name
    restored = actions.restore_server(deleted=deleted, by=cast.owner)
    as_host(key)
    assert restored.rcon_password == "secret"


def test_a_lost_host_reads_nothing_of_the_servers_that_moved(running: Server, as_host):
    key = actions.add_host(name="two", by=None)[2]
    actions.remove_lost_host(host=Host.objects.get(name="two"), by=None, heir=make_host())
    running.refresh_from_db()
    assert running.rcon_password != "secret"
    as_host(key)
    with pytest.raises(secrets.Unreadable):
        _password = running.rcon_password


def test_a_new_secret_key_changes_the_keys_of_hosts(running: Server, settings, as_host):
    old = actions.add_host(name="two", by=None)[2]
    Host.objects.filter(name="two").update(knows_web_key=True)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "n" * 50
    call_command("reseal_secrets", "--new-key")
    settings.SECRET_KEY_FALLBACKS = []
    running.refresh_from_db()
    assert running.rcon_password == "secret"
    assert not pending_changes._password_differs(running)
    assert not Host.objects.get(name="two").knows_web_key
    new = host_keys.present_key(running.host)
    as_host(old)
    with pytest.raises(secrets.Unreadable):
        _password = running.rcon_password
    as_host(new)
    assert running.rcon_password == "secret"


def ask(token: str, method: str = "GET") -> tuple[int, Any]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "method": method, "path": key_service.PATH, "headers": headers}
    asyncio.run(key_service.application(scope, None, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.django_db(transaction=True)
def test_a_host_fetches_its_key_with_its_token(cast: Cast):
    token, key = actions.add_host(name="two", by=None)[1:]
    assert ask(token) == (200, {"key": key})
    assert ask(token, "POST")[0] == 405
    assert ask("l4h_nothing")[0] == 401
    actions.revoke_token(host=Host.objects.get(name="two"), by=cast.admin)
    assert ask(token)[0] == 401


def test_a_host_from_the_time_of_one_key_gets_its_own_when_it_is_upgraded(
    running: Server, settings, as_host, monkeypatch, redis_client
):
    """Until then it reads with the web's key; in between nothing is unreadable; later the web's key opens nothing."""
    web_key, of_the_web = secrets.key_named(""), settings.SECRET_KEY
    Host.objects.filter(name="two").update(knows_web_key=True)
    assert "left4mectl upgrade" in doctor.keys_of_hosts()[0].cure
    as_host(web_key)
    assert running.rcon_password == "secret"

    def answer() -> str:
        # On the web, which has the secret key.
        settings.SECRET_KEY, settings.LEFT4ME_SEALING_KEY = of_the_web, ""
        key = host_keys.present_key(Host.objects.get(name="two"))
        as_host(web_key)
        return key

    monkeypatch.setattr(own_key, "_ask", answer)
    monkeypatch.setattr(own_key, "_asked_at", float("-inf"))
    monkeypatch.setattr("servers.hosts.this_host.runtime", FakeRuntime)
    settings.LEFT4ME_WEB_URL = "https://web.example.org"
    tasks.refresh()
    read_before = running
    running = Server.objects.get()
    assert running.rcon_password == read_before.rcon_password == "secret"
    assert secrets.key_name_of(running.sealed_rcon_password) == running.host.key_name
    # After a restart it has the key without asking.
    secrets._given.clear()
    monkeypatch.setattr(own_key, "_ask", lambda: pytest.fail("it was asked for again"))
    own_key.register()
    assert running.rcon_password == "secret"
    # The web's key alone opens nothing any more.
    secrets._given.clear()
    settings.LEFT4ME_WEB_URL = ""
    with pytest.raises(secrets.Unreadable):
        _password = running.rcon_password
    settings.LEFT4ME_SEALING_KEY = ""
    assert "left4mectl keys rotate" in doctor.keys_of_hosts()[0].cure


def test_a_web_that_is_away_is_asked_again_later(running: Server, settings, as_host, monkeypatch):
    actions.add_host(name="two", by=None)
    running.refresh_from_db()
    as_host(secrets.key_named("host-9.9"))
    asked: list[int] = []

    def nobody() -> str:
        asked.append(1)
        raise fetch.Unreachable("web.example.org: connection refused")

    monkeypatch.setattr(own_key, "_ask", nobody)
    monkeypatch.setattr(own_key, "_asked_at", float("-inf"))
    settings.LEFT4ME_WEB_URL = "https://web.example.org"
    for _ in range(3):
        with pytest.raises(secrets.Unreadable):
            _password = running.rcon_password
    assert len(asked) == 1


@pytest.mark.django_db(transaction=True)
def test_an_upgraded_host_gets_its_key_from_the_process_that_serves_overlays(
    cast: Cast,
    two: Host,
    web,
    settings,
    monkeypatch,
    tmp_path,
):
    """Over HTTP, with its token; also a second time, when it has lost the key."""
    server = make_server(cast.owner, host=two, rcon_password="secret")
    token = actions.add_host(name="two", by=None)[1]
    Host.objects.update(key_number=0)
    server.refresh_from_db()
    server.seal_for(Host.objects.get(name="two"))
    server.save()
    settings.LEFT4ME_SEALING_KEY, settings.LEFT4ME_ROOT = secrets.key_named(""), tmp_path
    settings.LEFT4ME_WEB_URL, settings.LEFT4ME_HOST_TOKEN = web.url, token
    monkeypatch.setattr(own_key, "_asked_at", float("-inf"))
    try:
        own_key.leave_the_key_of_the_web(Host.objects.get(name="two"))
        server.refresh_from_db()
        assert secrets.key_name_of(server.sealed_rcon_password) == f"host-{two.pk}.1"
        assert server.rcon_password == "secret"
        secrets._given.clear()
        monkeypatch.setattr(own_key, "_asked_at", float("-inf"))
        assert server.rcon_password == "secret"
        settings.LEFT4ME_HOST_TOKEN = "l4h_wrong"
        secrets._given.clear()
        monkeypatch.setattr(own_key, "_asked_at", float("-inf"))
        with pytest.raises(secrets.Unreadable):
            _password = server.rcon_password
    finally:
        secrets._given.clear()
