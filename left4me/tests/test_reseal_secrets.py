"""`manage.py reseal_secrets`: after the secret key was replaced, nothing depends on the old one."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command

from left4me.alerts.models import Channel
from left4me.core import secrets
from left4me.site import sealed_texts
from left4me.testing.cast import Cast
from servers.models import Server
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db
OLD, NEW = "o" * 40, "n" * 40


@pytest.fixture
def server(cast: Cast, settings) -> Server:
    """A running server and a channel of the time of the old key."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OLD, []
    channel = Channel(user=cast.owner, name="chat", kind="webhook")
    channel.address = "https://hooks.example.org/secret"
    channel.save()
    server = make_server(cast.owner, rcon_password="before")
    Server.objects.filter(pk=server.pk).update(applied_sealed_rcon_password=secrets.seal("running"))
    return server


def _reseal(capsys) -> dict[str, object]:
    call_command("reseal_secrets", "--json")
    return json.loads(capsys.readouterr().out)


def test_every_secret_is_readable_with_the_new_key_alone(server: Server, settings, capsys):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]
    assert _reseal(capsys) == {"resealed": 3, "unreadable": []}
    settings.SECRET_KEY_FALLBACKS = []
    server.refresh_from_db()
    assert (server.rcon_password, server.live_rcon_password) == ("before", "running")
    assert Channel.objects.get().address == "https://hooks.example.org/secret"


def test_a_secret_that_no_key_opens_is_named_and_stays(server: Server, settings, capsys):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, []
    told = _reseal(capsys)
    assert told["resealed"] == 0 and f"server {server.pk}" in told["unreadable"]
    settings.SECRET_KEY_FALLBACKS = [OLD]
    server.refresh_from_db()
    assert server.rcon_password == "before"


def test_a_worker_host_refuses(settings):
    settings.LEFT4ME_SEALING_KEY = secrets.sealing_key(NEW)
    with pytest.raises(CommandError, match="machine of the web"):
        call_command("reseal_secrets")


def test_the_columns_of_secrets_are_found_by_their_name():
    assert {(model.__name__, name) for model, name in sealed_texts.fields()} >= {
        ("Server", "sealed_rcon_password"),
        ("Server", "applied_sealed_rcon_password"),
        ("DeletedServer", "sealed_rcon_password"),
        ("Channel", "sealed_address"),
        ("Channel", "sealed_code"),
    }
