"""A damaged database is found, kept for `/ready`, and told to admins with the cure."""

from __future__ import annotations

import importlib
import sqlite3
from pathlib import Path

import pytest
from django.apps import apps
from django.db.utils import ConnectionHandler

from left4me.alerts.models import Channel, Delivery
from left4me.alerts.tests.factories import make_channel
from left4me.site import integrity

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]


@pytest.fixture
def database(tmp_path: Path, monkeypatch):
    """A database in the place of the site's own, for the check only."""
    path = tmp_path / "a.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE filler (text)")
        db.execute("CREATE INDEX by_text ON filler (text)")
        db.executemany("INSERT INTO filler VALUES (hex(randomblob(50)))", [()] * 2000)
    db.close()
    handler = ConnectionHandler({"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)}})
    monkeypatch.setattr(integrity, "connection", handler["default"])
    yield path
    handler["default"].close()


def damage(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 4096)


def ready(client) -> tuple[int, str]:
    answer = client.get("/ready")
    return answer.status_code, answer.json()["checks"]["database"]


def test_a_whole_database_is_fine_and_nobody_is_told(database, client):
    integrity.check()
    assert ready(client)[1] == "ok"
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("at", [0, 4096 * 20])
def test_garbage_in_the_database_is_found_kept_and_told_with_the_command_that_restores(database, client, cast, at):
    make_channel(cast.admin, events=["database_damaged"])
    make_channel(cast.owner, events=["server_crashed"])
    damage(database, at)
    integrity.check()
    status, words = ready(client)
    assert status == 503
    assert words.startswith("The database is damaged (")
    assert "left4mectl restore FILE" in words
    delivery = Delivery.objects.get()
    assert delivery.event == "database_damaged" and "left4mectl restore FILE" in delivery.text
    integrity.check()
    assert Delivery.objects.count() == 1, "told once"


def test_a_restored_database_is_ready_after_the_next_check(database, client):
    whole = database.read_bytes()
    damage(database, 4096 * 20)
    integrity.check()
    assert ready(client)[1] != "ok"
    database.write_bytes(whole)
    integrity.connection.close()
    integrity.check()
    assert ready(client)[1] == "ok"


def test_channels_that_watch_disks_watch_the_database_too(cast):
    watching, other = make_channel(cast.admin, events=["disk_low"]), make_channel(cast.admin, events=["job_failed"])
    migration = importlib.import_module("left4me.alerts.migrations.0005_database_damaged")
    migration.tell_those_who_watch_disks(apps, None)
    migration.tell_those_who_watch_disks(apps, None)
    assert Channel.objects.get(pk=watching.pk).events == ["disk_low", "database_damaged"]
    assert Channel.objects.get(pk=other.pk).events == ["job_failed"]
