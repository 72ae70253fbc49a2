"""What lets other machines in: certificates by the real openssl, the join URL, and the files that are written."""

from __future__ import annotations

import argparse
import contextlib
import os
from dataclasses import asdict, replace

import pytest
import redis
from kombu.utils.url import url_to_parts

from deploy import arguments
from deploy.ops import environment, tls
from deploy.ops.database import copies
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn
from deploy.ops.worker_host import database_role, invitation, redis_acl, registry
from left4me.core.env import database_from_url
from left4me.core.processes import commands
from left4me.core.redis import keys
from left4me.testing import redis_server

INVITATION = invitation.Invitation(
    name="two",
    address="10.0.0.1",
    authority="-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
    database="left4me",
    role="left4me_host_two",
    database_password="a-b_c",
    redis_user="host-two",
    redis_password="d-e_f",
    token="l4h_token",
    sealing_key="o3-zT96bKFgJm2JjloqxMK1f5Ach9sC0DBiCZ3ed00o=",
)


@pytest.fixture
def layout(tmp_path) -> Layout:
    found = Layout(tmp_path)
    found.settings.mkdir(parents=True)
    found.redis_data.mkdir(parents=True)
    found.units.mkdir(parents=True)
    return found


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1", "web.example.org"])
def test_the_certificate_is_for_its_address_and_of_its_authority(tmp_path, address):
    authority = tmp_path / "ca.key", tmp_path / "ca.pem"
    key, certificate = tmp_path / "server.key", tmp_path / "server.pem"
    tls.make_authority(*authority)
    assert not tls.serves(certificate, address)
    tls.make_certificate(key, certificate, address=address, authority=authority)
    assert tls.serves(certificate, address)
    assert not tls.serves(certificate, "10.0.0.2")
    assert not tls.serves(certificate, "other.example.org")
    commands.run(["openssl", "verify", "-x509_strict", "-CAfile", authority[1], certificate], timeout=30)
    assert [oct(path.stat().st_mode)[-3:] for path in (authority[0], key)] == ["600", "600"]


def test_a_second_call_keeps_the_authority_that_hosts_trust(tmp_path):
    authority = tmp_path / "ca.key", tmp_path / "ca.pem"
    tls.make_authority(*authority)
    before = [path.read_bytes() for path in authority]
    tls.make_authority(*authority)
    assert [path.read_bytes() for path in authority] == before


@pytest.mark.parametrize("address", ["", "a b", "-x", "$(id)", "a\nb", "http://x", "x" * 300])
def test_what_is_no_address_gets_no_certificate(address):
    with pytest.raises(tls.TlsFault, match="is not an IP address or a host name"):
        tls.alternative_name(address)


def test_the_join_url_brings_everything_across_and_survives_line_breaks():
    url = INVITATION.url()
    assert invitation.read(url) == INVITATION
    assert invitation.read("\n".join(url[at : at + 60] for at in range(0, len(url), 60)) + "\n") == INVITATION


@pytest.mark.parametrize("url", ["", "https://x", "left4me://join/", INVITATION.url()[:-40], "left4me://join/e30"])
def test_a_join_url_that_is_not_whole_is_refused(url):
    with pytest.raises(invitation.JoinFault):
        invitation.read(url)


@pytest.mark.parametrize("field", [name for name in asdict(INVITATION) if not name.endswith("_port")])
def test_a_line_break_in_a_join_url_becomes_no_setting(layout, field):
    smuggled = replace(INVITATION, **{field: f"{getattr(INVITATION, field)}\nLEFT4ME_DEBUG=true"})
    with contextlib.suppress(invitation.JoinFault):
        invitation.write(layout, invitation.read(smuggled.url()))
        assert field == "authority", "the certificate is a file of its own"
    assert "LEFT4ME_DEBUG" not in environment.read(layout)


def test_joining_writes_settings_once_and_keeps_what_else_stands_there(layout):
    layout.settings_file.write_text("LEFT4ME_JOB_SLOTS=9\n")
    assert not invitation.has_joined(layout, INVITATION)
    invitation.write(layout, INVITATION)
    assert invitation.has_joined(layout, INVITATION)
    said = environment.read(layout)
    assert (said["LEFT4ME_JOB_SLOTS"], said["LEFT4ME_HOST"]) == ("9", "two")
    assert said["DATABASE_URL"].startswith(
        "postgres://left4me_host_two:a-b_c@10.0.0.1:5432/left4me?sslmode=verify-full"
    )
    assert said["REDIS_URL"].startswith("rediss://host-two:d-e_f@10.0.0.1:6380/0?ssl_cert_reqs=required")
    invitation.write(layout, INVITATION)
    assert environment.read(layout) == said, "the host's own secret key stays"


def test_the_urls_of_a_web_that_is_reached_over_ipv6_have_brackets(layout):
    joined = replace(INVITATION, address="2001:db8::10")
    assert invitation.read(joined.url()) == joined
    said = invitation.secret_settings(layout, joined)
    assert said["LEFT4ME_WEB_URL"] == "https://[2001:db8::10]:8443"
    database = database_from_url(said["DATABASE_URL"])
    assert (database["HOST"], database["PORT"]) == ("2001:db8::10", 5432)
    assert copies.connection_of(said["DATABASE_URL"])["PGHOST"] == "2001:db8::10"
    parts = redis.connection.parse_url(said["REDIS_URL"])
    assert (parts["host"], parts["port"]) == ("2001:db8::10", 6380)
    assert url_to_parts(said["REDIS_URL"])[1:3] == ("2001:db8::10", 6380)


@pytest.mark.parametrize("address", ["fe80::1%eth0", "::", "0.0.0.0"])
def test_an_address_that_others_cannot_use_gets_no_certificate(address):
    with pytest.raises(tls.TlsFault, match="Other machines cannot use"):
        tls.alternative_name(address)


@pytest.mark.parametrize(
    ("given", "network"),
    [
        ("192.0.2.20", "192.0.2.20/32"),
        ("192.0.2.20/24", "192.0.2.0/24"),
        ("2001:DB8::20", "2001:db8::20/128"),
        ("2001:db8::20/64", "2001:db8::/64"),
    ],
)
def test_postgresql_gets_networks_with_their_mask(given: str, network: str):
    assert arguments.network(given) == network


@pytest.mark.parametrize("given", ["", "two", "192.0.2.20/33", "10.0.0.1/32 trust", "::/0\nhost all all all trust"])
def test_what_is_no_network_does_not_reach_postgresql(given: str):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a network"):
        arguments.network(given)


def test_the_line_that_lets_hosts_in_asks_for_tls_and_a_password():
    assert database_role.access("left4me_hosts", ("10.0.0.2/32",)).splitlines()[1:-1] == [
        "hostssl all +left4me_hosts 10.0.0.2/32 scram-sha-256"
    ]


def test_a_host_s_user_reaches_its_own_queue_and_no_password_stands_in_the_list():
    rule = redis_acl.rule("two", "secret")
    assert "secret" not in rule
    assert "~host.two " in rule
    assert "~* " not in rule and "&* " not in rule
    assert "-@admin" in rule and "-@dangerous" in rule


def test_a_host_s_user_writes_nothing_of_the_web_s_into_the_cache(tmp_path):
    with redis_server.own_redis(tmp_path / "sock", tmp_path):
        admin = redis.Redis(unix_socket_path=str(tmp_path / "sock"))
        admin.execute_command("ACL", "SETUSER", *redis_acl.rule("two", "secret").split()[1:])
        client = redis.Redis(unix_socket_path=str(tmp_path / "sock"), username="host-two", password="secret")
        assert client.set(f"{keys.CACHE}{keys.CONSOLE_COMMANDS}1:2", "[]")
        for key in ("undo:x", "status-page:x:", "sparkline:1", "accounts:steam-nonce:x"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.set(f"{keys.CACHE}{key}", "x")
        client.close()
        admin.close()


def test_a_host_s_user_runs_the_scripts_of_celery_and_no_others(tmp_path):
    with redis_server.own_redis(tmp_path / "sock", tmp_path):
        admin = redis.Redis(unix_socket_path=str(tmp_path / "sock"))
        admin.execute_command("ACL", "SETUSER", *redis_acl.rule("two", "secret").split()[1:])
        client = redis.Redis(unix_socket_path=str(tmp_path / "sock"), username="host-two", password="secret")
        assert client.lock(keys.unacknowledged("two")["unacked_mutex_key"], timeout=5).acquire(blocking=False)
        queue = keys.host_queue("two")
        script = client.register_script("return redis.call('LLEN', KEYS[1])")
        with client.pipeline() as pipeline:
            script(keys=[queue], client=pipeline)
            assert pipeline.execute() == [0]
        with pytest.raises(redis.ResponseError):
            script(keys=["host.local"])
        for words in (["EVAL", "return 1", "0"], ["SCRIPT", "FLUSH"], ["SCRIPT", "KILL"], ["FUNCTION", "LIST"]):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*words)
        client.close()
        admin.close()


@pytest.fixture
def opened(layout, monkeypatch):
    """A machine that is open to hosts, whose Redis belongs to another user."""
    if os.geteuid() != 0:
        pytest.skip("hosts are added by root")
    (layout.units / "left4me-redis.service").write_text("[Service]\nExecStart=/usr/bin/redis-server\n")
    layout.secrets_file.write_text("REDIS_URL=unix://:own@/run/left4me/redis.sock\n")
    os.chown(layout.redis_data, 64123, 64123)
    monkeypatch.setattr(redis_acl, "_redis_cli", lambda *_: None)
    monkeypatch.setattr(services, "systemctl", lambda *_, **__: "")
    return layout


def test_root_follows_no_link_of_redis_to_a_file_or_directory(opened, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (opened.redis_data / "hosts").symlink_to(victim)
    redis_acl.allow(opened, host="two", password="secret")
    assert victim.stat().st_uid == 0
    assert list(victim.iterdir()) == []
    users = opened.redis_settings / "users.acl"
    assert redis_acl.rule("two", "secret") in users.read_text()
    assert (users.stat().st_uid, users.stat().st_mode & 0o022) == (0, 0)


def test_users_of_an_older_release_keep_their_passwords_and_get_the_rights_of_this_one(opened):
    (opened.redis_data / "hosts").mkdir()
    old = redis_acl.rule("two", "secret").partition(" ~")[0] + " ~* &* +@all"
    (opened.redis_data / "hosts/users.acl").write_text(f"user default on #{'0' * 64} ~* &* +@all\n{old}\nuser x on\n")
    redis_acl.allow(opened, host="three", password="another")
    assert (opened.redis_settings / "users.acl").read_text().splitlines()[1:] == [
        redis_acl.rule("two", "secret"),
        redis_acl.rule("three", "another"),
    ]
    redis_acl.forbid(opened, host="two")
    assert "host-two" not in (opened.redis_settings / "users.acl").read_text()


def test_redis_keeps_its_own_command_and_listens_besides(layout):
    (layout.units / "left4me-redis.service").write_text(
        "[Service]\nExecStart=/usr/bin/redis-server --port 0 \\\n    --dir /x\nRestart=always\n"
    )
    text = redis_acl._drop_in_text(layout, (layout.units / "left4me-redis.service").read_text(), "10.0.0.1")
    assert "ExecStart=\nExecStart=/usr/bin/redis-server --port 0 \\\n    --dir /x --bind 10.0.0.1" in text
    assert "--tls-port 6380" in text


def test_an_installation_on_sqlite_says_what_is_missing(layout):
    with pytest.raises(CannotGoOn, match="left4mectl database move postgres"):
        registry.database_url(layout)


@pytest.mark.parametrize("host", ["db.example.org", "10.9.9.9:6432"])
def test_a_database_elsewhere_is_not_opened_from_here(layout, host):
    layout.secrets_file.write_text(f"DATABASE_URL=postgres://left4me:x@{host}/left4me\n")
    with pytest.raises(CannotGoOn, match="second-host"):
        registry.database_url(layout)


@pytest.mark.parametrize("host", ["127.0.0.1:5432", "127.0.0.1", "localhost", "%2Frun%2Fpostgresql"])
def test_a_database_of_this_machine_is(layout, host):
    layout.secrets_file.write_text(f"DATABASE_URL=postgres://left4me:x@{host}/left4me\n")
    assert registry.database_url(layout).path == "/left4me"


@pytest.fixture
def worker(layout, monkeypatch) -> list[str]:
    """A machine that has joined, whose web answers; returns what is asked of systemd."""
    invitation.write(layout, INVITATION)
    asked: list[str] = []
    monkeypatch.setattr(invitation, "refuse_unreachable", lambda _: None)
    monkeypatch.setattr(services, "systemctl", lambda *words, **_: asked.append(" ".join(words)) or "")
    finished = commands.Finished(status=0, output="", seconds=0.0)
    monkeypatch.setattr(invitation.application, "manage", lambda *_, **__: finished)
    return asked


def test_new_secrets_replace_the_old_ones_and_only_the_worker_starts_again(layout, worker):
    layout.data.mkdir(parents=True, exist_ok=True)
    (layout.data / "host_key").write_text("older")
    own = environment.read(layout)["LEFT4ME_SECRET_KEY"]
    invitation.renew(layout, replace(INVITATION, token="l4h_new", database_password="new"))
    present = environment.read(layout)
    assert present["LEFT4ME_HOST_TOKEN"] == "l4h_new" and ":new@" in present["DATABASE_URL"]
    assert present["LEFT4ME_SECRET_KEY"] == own
    assert not (layout.data / "host_key").exists()
    assert worker == ["restart left4me-worker.service"]


def test_the_url_of_another_host_changes_nothing(layout, worker):
    before = layout.secrets_file.read_text()
    with pytest.raises(CannotGoOn, match="is the host “two”, and the URL is of “three”"):
        invitation.renew(layout, replace(INVITATION, name="three"))
    assert layout.secrets_file.read_text() == before and worker == []


def test_only_a_worker_host_that_is_there_gets_new_secrets(layout, monkeypatch):
    monkeypatch.setattr(registry, "_manage", lambda *_: "two\n")
    monkeypatch.setattr(redis_acl, "address", lambda _: "10.0.0.1")
    added: list[str] = []
    monkeypatch.setattr(registry, "add", lambda _layout, name, **_: added.append(name))
    registry.rekey(layout, "two")
    for name in ("three", "local"):
        with pytest.raises(CannotGoOn, match="no worker host named"):
            registry.rekey(layout, name)
    assert added == ["two"]


def test_a_name_that_postgresql_would_cut_off_is_refused(layout):
    with pytest.raises(CannotGoOn, match="50 characters at most"):
        registry.add(layout, "x" * 51, address="10.0.0.1", public="")
