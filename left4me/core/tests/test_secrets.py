"""Secrets at rest, and whom else they are opened by."""

import base64
import hashlib

import pytest
from cryptography.fernet import Fernet

from left4me.core import secrets

ONE, TWO = "host-1.1", "host-2.1"


@pytest.fixture
def on_host(settings):
    """Enter the process of a host that has this key."""

    def enter(key: str) -> None:
        settings.SECRET_KEY = "of the other host, and of no use to it" * 2
        settings.LEFT4ME_SEALING_KEY = key

    yield enter
    secrets._given.clear()


def test_another_host_opens_what_is_its_own_with_its_key_alone(on_host):
    sealed, key = secrets.seal("hunter2", key_name=ONE), secrets.key_named(ONE)
    assert secrets.unseal(sealed) == "hunter2"
    on_host(key)
    assert secrets.unseal(sealed) == "hunter2"


@pytest.mark.parametrize("key_name", ["", TWO, "host-1.2"])
def test_a_host_opens_nothing_of_the_web_of_other_hosts_and_of_its_next_key(on_host, key_name: str):
    sealed, key = secrets.seal("hunter2", key_name=key_name), secrets.key_named(ONE)
    on_host(key)
    # Also under another label: the label chooses the key, and proves nothing.
    for text in (sealed, sealed.rpartition(":")[2], f"{ONE}:{sealed.rpartition(':')[2]}"):
        with pytest.raises(secrets.Unreadable):
            secrets.unseal(text)


def test_a_host_asks_for_its_key_when_it_was_replaced_and_keeps_reading_what_it_has_read(on_host):
    old, new = secrets.seal("old", key_name=ONE), secrets.seal("new", key_name="host-1.2")
    first, second = secrets.key_named(ONE), secrets.key_named("host-1.2")
    on_host(first)
    renewals, before = [], list(secrets._renewals)
    secrets.on_unreadable(lambda: renewals.append(secrets.use(second)) or True)
    try:
        assert (secrets.unseal(new), secrets.unseal(old)) == ("new", "old")
        assert len(renewals) == 1
    finally:
        secrets._renewals[:] = before


def test_what_is_sealed_with_the_present_key_stays_the_same_text(settings):
    sealed = secrets.seal("hunter2", key_name=ONE)
    assert secrets.resealed(sealed, key_name=ONE) == sealed
    for name in (TWO, ""):
        other = secrets.resealed(sealed, key_name=name)
        assert (secrets.key_name_of(other), secrets.unseal(other)) == (name, "hunter2")
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "n" * 50
    again = secrets.resealed(sealed, key_name=ONE)
    assert again != sealed
    settings.SECRET_KEY_FALLBACKS = []
    assert secrets.unseal(again) == "hunter2"
    assert secrets.resealed("", key_name=ONE) == ""


def test_what_was_sealed_before_there_was_a_sealing_key_stays_readable(settings):
    """Sealed by the release before with this secret key."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "k" * 50, []
    key = base64.urlsafe_b64encode(hashlib.sha256(b"left4me.secrets:" + b"k" * 50).digest())
    assert secrets.unseal(Fernet(key).encrypt(b"old").decode()) == "old"


def test_texts_carry_the_name_of_their_key_and_nothing_stays_nothing():
    assert secrets.seal("") == secrets.unseal("") == ""
    assert secrets.key_name_of(secrets.seal("x", key_name=ONE)) == ONE
    assert secrets.key_name_of(secrets.seal("x")) == ""
    with pytest.raises(secrets.Unreadable, match="another LEFT4ME_SECRET_KEY"):
        secrets.unseal("nonsense")


def test_a_sealing_key_is_one_of_fernet():
    assert secrets.is_sealing_key(secrets.key_named(ONE))
    assert secrets.is_sealing_key(secrets.sealing_key("x"))
    assert not secrets.is_sealing_key("x" * 43)
    assert not secrets.is_sealing_key("")


def test_a_host_keeps_its_last_three_keys(monkeypatch):
    monkeypatch.setattr(secrets, "_given", [])
    for key in "abcab":
        secrets.use(key)
    assert secrets._given == ["b", "a", "c"]
    secrets.use("d")
    assert secrets._given == ["d", "b", "a"]


def test_a_key_that_nobody_can_renew_leaves_a_text_unreadable(on_host, monkeypatch):
    asked: list[bool] = []
    monkeypatch.setattr(secrets, "_renewals", [lambda: bool(asked.append(True))])
    sealed = secrets.seal("x", key_name=TWO)
    with pytest.raises(secrets.Unreadable):
        secrets.unseal("host-1.1:nonsense")
    assert asked == [], "the web has no key to ask for"
    on_host(secrets.key_named(ONE))
    with pytest.raises(secrets.Unreadable):
        secrets.unseal(sealed)
    assert asked == [True]
    monkeypatch.setattr(secrets, "_renewals", [lambda: True])
    with pytest.raises(secrets.Unreadable):
        secrets.unseal(sealed)


def test_a_new_password_needs_no_quotes():
    passwords = {secrets.new_password() for _ in range(5)}
    assert len(passwords) == 5
    assert all(len(each) == 43 and each.isalnum() and each.isascii() for each in passwords)
    assert len(secrets.new_password(8)) == 8


def test_a_text_is_resealed_for_another_name_also_where_all_names_have_one_key(on_host):
    sealed, key = secrets.seal("hunter2", key_name=ONE), secrets.key_named(ONE)
    on_host(key)
    for name in (TWO, "host-0.9", ""):
        other = secrets.resealed(sealed, key_name=name)
        assert (secrets.key_name_of(other), secrets.unseal(other)) == (name, "hunter2")
    assert secrets.resealed(sealed, key_name=ONE) == sealed
