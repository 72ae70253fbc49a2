from __future__ import annotations

import pytest

from left4me.core.env import Environment, Misconfigured, database_from_url


def test_an_empty_variable_means_the_default():
    env = Environment({"LEFT4ME_RUNTIME": "", "LEFT4ME_POLL_SECONDS": ""})
    assert env.choice("LEFT4ME_RUNTIME", ["process", "systemd"], "process") == "process"
    assert env.number("LEFT4ME_POLL_SECONDS", 5, least=1, most=60) == 5


@pytest.mark.parametrize(
    ("read", "value", "cure"),
    [
        (lambda e: e.choice("X", ["process", "systemd"], "process"), "docker", "Set it to one of: process, systemd"),
        (lambda e: e.flag("X", default=False), "perhaps", "Set it to true or false"),
        (lambda e: e.number("X", 5, least=1, most=60), "often", "a whole number from 1 to 60"),
        (lambda e: e.number("X", 5, least=1, most=60), "61", "a whole number from 1 to 60"),
        (lambda e: e.bind("X", "127.0.0.1:8000"), "8000", "Write host:port"),
        (lambda e: e.bind("X", "127.0.0.1:8000"), "127.0.0.1:99999", "Write host:port"),
        (lambda e: e.ports("X", "27015-27115"), "27115-27015", "Write first-last"),
        (lambda e: e.ports("X", "27015-27115"), "80-90", "between 1024 and 65535"),
        (lambda e: e.url("X", "", schemes=["redis", "unix"]), "http://cache", "redis:// or unix://"),
        (lambda e: e.host_name("X", "local"), "Box_1", "small letters"),
    ],
)
def test_a_wrong_value_names_the_variable_and_the_cure(read, value, cure):
    with pytest.raises(Misconfigured) as caught:
        read(Environment({"X": value}))
    assert "X" in str(caught.value)
    assert cure in str(caught.value)


def test_an_address_is_split_and_loopback_is_recognised():
    assert Environment({"X": "[::1]:8000"}).bind("X", "").is_loopback
    bind = Environment({"X": "0.0.0.0:80"}).bind("X", "")
    assert (bind.host, bind.port, bind.is_loopback) == ("0.0.0.0", 80, False)


@pytest.mark.parametrize(
    ("value", "name", "url"),
    [
        ("127.0.0.1:8000", "127.0.0.1", "http://127.0.0.1:8000"),
        ("[::1]:8000", "127.0.0.1", "http://[::1]:8000"),
        ("[::]:8000", "localhost", "http://[::1]:8000"),
        ("0.0.0.0:80", "127.0.0.1", "http://127.0.0.1:80"),
        ("[2001:db8::10]:80", "[2001:db8::10]", "http://[2001:db8::10]:80"),
        ("[::]:8000", "left4me.example.org", "http://left4me.example.org:8000"),
    ],
)
def test_the_url_of_an_address_leads_to_it(value: str, name: str, url: str):
    assert Environment({"X": value}).bind("X", "").url_as(name) == url


def test_sqlite_is_set_up_for_several_writers():
    config = database_from_url("sqlite:////tmp/x.sqlite3")
    assert config["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in config["OPTIONS"]["init_command"]


def test_postgresql_is_pooled():
    config = database_from_url("postgres://user:secret@db.example/left4me")
    assert config["ENGINE"] == "django.db.backends.postgresql"
    assert config["OPTIONS"]["pool"]["max_size"] > 1


@pytest.mark.parametrize("url", ["mysql://localhost/x", "left4me.sqlite3", ""])
def test_another_database_is_refused_with_the_cure(url):
    with pytest.raises(Misconfigured, match="DATABASE_URL"):
        database_from_url(url)
