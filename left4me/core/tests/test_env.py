from __future__ import annotations

from pathlib import Path

import pytest

from left4me.core.env import Bind, Environment, Misconfigured, database_from_url


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


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (lambda e: e.text("X", "d"), " a ", "a"),
        (lambda e: e.text("X"), None, ""),
        (lambda e: e.choice("X", ["a", "b"], "a"), "b", "b"),
        *((lambda e: e.flag("X", default=False), value, True) for value in ("1", "true", "YES", "on")),
        *((lambda e: e.flag("X", default=True), value, False) for value in ("", "0", "false", "No", "off")),
        (lambda e: e.flag("X", default=True), None, True),
        (lambda e: e.flag("X", default=False), None, False),
        (lambda e: e.number("X", 5, least=1, most=60), "1", 1),
        (lambda e: e.number("X", 5, least=1, most=60), "60", 60),
        (lambda e: e.number("X", 5, least=-3, most=60), "-3", -3),
        (lambda e: e.number("X", 5, least=1, most=60), None, 5),
        (lambda e: e.words("X", ["d"]), None, ["d"]),
        (lambda e: e.words("X", ["d"]), " a, ,b ", ["a", "b"]),
        (lambda e: e.folders("X"), "/srv, /var/lib/x", [Path("/srv"), Path("/var/lib/x")]),
        (lambda e: e.folders("X", ["/d"]), None, [Path("/d")]),
        (lambda e: e.folders("X", ["/d"]), "-", []),
        (lambda e: e.bind("X", "127.0.0.1:8000"), None, Bind("127.0.0.1", 8000)),
        (lambda e: e.bind("X", ""), "host:1", Bind("host", 1)),
        (lambda e: e.bind("X", ""), "[::1]:65535", Bind("::1", 65535)),
        (lambda e: e.ports("X", "27015-27115"), None, range(27015, 27116)),
        (lambda e: e.ports("X", ""), "1024-1024", range(1024, 1025)),
        (lambda e: e.ports("X", ""), "65535-65535", range(65535, 65536)),
        (lambda e: e.url("X", "https://d/", schemes=["https"]), None, "https://d"),
        (lambda e: e.url("X", "", schemes=["https"]), None, ""),
        (lambda e: e.url("X", "", schemes=["http", "https"]), "https://a/b/", "https://a/b"),
        (lambda e: e.origins("X"), None, []),
        (
            lambda e: e.origins("X"),
            "http://10.0.0.7:9000, HTTPS://a.example",
            ["http://10.0.0.7:9000", "HTTPS://a.example"],
        ),
        (lambda e: e.mail("X"), None, {}),
        (lambda e: e.host_name("X", "local"), None, "local"),
        (lambda e: e.host_name("X", "local"), "a" * 63, "a" * 63),
        (lambda e: e.host_name("X", "local"), "a", "a"),
    ],
)
def test_a_value_is_read_or_its_default(read, value, expected):
    assert read(Environment({} if value is None else {"X": value})) == expected


@pytest.mark.parametrize(
    ("read", "value", "cure"),
    [
        (lambda e: e.number("X", 5, least=1, most=60), "0", "from 1 to 60"),
        (lambda e: e.number("X", 5, least=1, most=60), "5.0", "a whole number"),
        *((lambda e: e.folders("X"), value, "no absolute path") for value in ("srv", "/", "/srv/../etc")),
        (lambda e: e.bind("X", ""), "host:0", "Write host:port"),
        (lambda e: e.bind("X", ""), "host:65536", "Write host:port"),
        (lambda e: e.bind("X", ""), "a b:80", "Write host:port"),
        (lambda e: e.ports("X", ""), "1023-2000", "between 1024 and 65535"),
        (lambda e: e.ports("X", ""), "2000-65536", "between 1024 and 65535"),
        (lambda e: e.ports("X", ""), "2000", "Write first-last"),
        *(
            (lambda e: e.origins("X"), value, "no origin")
            for value in ("a.example", "ftp://a", "http://a/b", "http://u@a")
        ),
        (lambda e: e.mail("X"), "http://mail.example", "must look like smtp"),
        *((lambda e: e.host_name("X", "local"), value, "at most 63") for value in ("a" * 64, "-a", "a-", "a.b")),
    ],
)
def test_what_is_just_beyond_is_refused(read, value, cure):
    with pytest.raises(Misconfigured, match=cure):
        read(Environment({"X": value}))


def test_the_settings_of_mail_come_from_its_address():
    given = Environment({"X": "smtp+tls://user:p%40ss@mail.example.org:587"}).mail("X")
    assert (given["EMAIL_HOST"], given["EMAIL_PORT"], given["EMAIL_HOST_USER"]) == ("mail.example.org", 587, "user")
    assert given["EMAIL_USE_TLS"] is True


def test_the_process_s_own_environment_is_read(monkeypatch):
    monkeypatch.setenv("LEFT4ME_TEST", "value")
    assert Environment().text("LEFT4ME_TEST") == "value"


def test_a_database_has_what_several_writers_need():
    lite = database_from_url("sqlite:////tmp/x.sqlite3")
    assert lite["OPTIONS"]["timeout"] == 20
    assert (lite["CONN_MAX_AGE"], lite["TEST"]["NAME"]) == (None, "/tmp/x.sqlite3.test")
    large = database_from_url("postgres://user:secret@db.example/left4me?sslmode=require")
    assert large["OPTIONS"]["pool"] == {"min_size": 1, "max_size": 20, "timeout": 10}
    assert large["OPTIONS"]["sslmode"] == "require"
    assert large["OPTIONS"]["keepalives"] == 1
