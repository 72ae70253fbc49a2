from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.redis import hosts
from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from left4me.core.web.refusals import Refused
from livestate.bans import actions, effective
from livestate.bans.actions import Entry
from livestate.bans.models import Ban, BanList, Subscription
from livestate.bans.tests.factories import make_ban, make_list
from livestate.tests.factories import make_session
from servers.actions import restore_server
from servers.models import DeletedServer, ServerShare
from servers.tests.factories import make_host, make_server, share

pytestmark = pytest.mark.django_db(transaction=True)

ZOEY = str(STEAM_ID_64_BASE + 101)


@pytest.fixture(autouse=True)
def sent(monkeypatch) -> list[str]:
    """The hosts that were told to look at the bans; replaces the broker."""
    told: list[str] = []
    monkeypatch.setattr(hosts, "send", lambda host, task, **_: told.append(host) or True)
    return told


def add(ban_list: BanList, by, target: str = ZOEY, **fields) -> Ban:
    return actions.add(ban_list=ban_list, target=target, by=by, **fields)


def test_a_ban_knows_the_player_the_reason_and_who_made_it(cast):
    server = make_server(cast.owner)
    make_session(server, 101, timezone.now(), name_at_join="Zoey")
    ban = add(actions.default_list(cast.owner), cast.owner, "STEAM_1:1:50", reason=" Cheating ", minutes=60)
    assert (ban.target, ban.name, ban.reason, ban.created_by) == (ZOEY, "Zoey", "Cheating", cast.owner)
    assert (ban.minutes, ban.state) == (60, Ban.State.ACTIVE)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor, entry.details["name"]) == ("ban.add", "anna", ZOEY)
    assert "Zoey" not in str(entry.details)


def test_the_hosts_of_all_running_servers_that_it_concerns_are_told_once(cast, sent):
    second, third = make_host(name="second"), make_host(name="third")
    make_server(cast.owner, actual_state="running")
    make_server(cast.owner, actual_state="running", host=second)
    make_server(cast.owner, actual_state="running", host=second)
    make_server(cast.stranger, actual_state="running", host=third)
    make_server(cast.owner, actual_state="stopped", host=make_host(name="fourth"))
    shared = actions.default_list(cast.owner)
    BanList.objects.update(is_shared=True)
    actions.subscribe(ban_list=BanList.objects.get(), by=cast.stranger)
    assert sent == ["third"]
    sent.clear()
    add(BanList.objects.get(pk=shared.pk), cast.owner)
    assert sorted(sent) == ["local", "second", "third"]


def test_a_target_is_on_a_list_once_and_again_after_its_ban_has_ended(cast):
    bans = actions.default_list(cast.owner)
    ban = add(bans, cast.owner, minutes=1)
    with pytest.raises(ValidationError, match="already"):
        add(bans, cast.owner)
    past = timezone.now() - timedelta(hours=1)
    Ban.objects.update(created_at=past, expires_at=past + timedelta(minutes=1))
    again = add(bans, cast.owner)
    ban.refresh_from_db()
    assert (ban.state, again.state) == (Ban.State.EXPIRED, Ban.State.ACTIVE)
    actions.lift(ban=again, by=cast.owner)
    again.refresh_from_db()
    assert (again.state, again.ended_by) == (Ban.State.LIFTED, cast.owner)
    assert add(bans, cast.owner).is_active


def test_a_ban_that_has_ended_is_neither_changed_nor_lifted(cast):
    ban = add(actions.default_list(cast.owner), cast.owner)
    actions.lift(ban=ban, by=cast.owner)
    ban.refresh_from_db()
    with pytest.raises(Refused, match="ended already"):
        actions.lift(ban=ban, by=cast.owner)
    with pytest.raises(Refused, match="ended already"):
        actions.change(ban=ban, by=cast.owner, reason="x")


def test_reason_and_length_are_changed_and_the_length_counts_from_the_beginning(cast):
    ban = add(actions.default_list(cast.owner), cast.owner)
    version = BanList.objects.get().version
    changed = actions.change(ban=ban, by=cast.owner, reason="Spam", minutes=60)
    assert (changed.reason, changed.expires_at) == ("Spam", ban.created_at + timedelta(hours=1))
    assert BanList.objects.get().version > version
    Ban.objects.update(created_at=ban.created_at - timedelta(days=1), expires_at=None)
    ban.refresh_from_db()
    with pytest.raises(ValidationError, match="passed already"):
        actions.change(ban=ban, by=cast.owner, minutes=60)


@pytest.mark.parametrize(
    "fields", [{"target": "Zoey"}, {"minutes": -1}, {"minutes": 10**9}, {"evidence": "javascript:x"}]
)
def test_what_cannot_be_a_ban_is_refused_by_field(cast, fields):
    with pytest.raises(ValidationError) as caught:
        actions.add(ban_list=actions.default_list(cast.owner), by=cast.owner, **{"target": ZOEY, **fields})
    assert set(caught.value.message_dict) == set(fields)
    assert not Ban.objects.exists()


def test_an_operator_bans_on_the_server_and_not_on_the_lists_of_its_owner(cast):
    server = make_server(cast.owner)
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    share(server, cast.viewer)
    ban = add(actions.list_of_server(server, by=cast.operator), cast.operator)
    assert ban.ban_list.server == server and ban.ban_list.owner == cast.owner
    with pytest.raises(PermissionDenied):
        add(actions.default_list(cast.owner), cast.operator)
    with pytest.raises(PermissionDenied):
        actions.list_of_server(server, by=cast.viewer)
    with pytest.raises(Http404):
        actions.list_of_server(server, by=cast.stranger)
    actions.lift(ban=ban, by=cast.admin)


def test_an_import_adds_what_is_new_and_nothing_twice(cast, sent):
    make_server(cast.owner, actual_state="running")
    bans = actions.default_list(cast.owner)
    add(bans, cast.owner)
    sent.clear()
    now = timezone.now()
    entries = [
        Entry(ZOEY),
        Entry("203.0.113.7", reason="Flood"),
        Entry("203.0.113.7"),
        Entry(str(STEAM_ID_64_BASE + 7), expires_at=now - timedelta(1)),
        Entry(str(STEAM_ID_64_BASE + 8), created_at=now - timedelta(days=9), expires_at=now + timedelta(days=1)),
    ]
    assert actions.import_entries(ban_list=bans, entries=entries, by=cast.owner) == 2
    assert actions.import_entries(ban_list=bans, entries=entries, by=cast.owner) == 0
    assert bans.bans.count() == 3
    assert sent == ["local"]


def test_a_list_that_is_shared_no_longer_loses_its_subscribers(cast):
    bans = actions.create_list(owner=cast.owner, by=cast.owner, name="Cheaters", is_shared=True)
    actions.subscribe(ban_list=bans, by=cast.stranger)
    actions.change_list(ban_list=bans, by=cast.owner, is_shared=False)
    assert not Subscription.objects.exists()
    with pytest.raises(Refused, match="not shared"):
        actions.subscribe(ban_list=bans, by=cast.stranger)


def test_lists_of_an_owner_have_different_names(cast):
    actions.create_list(owner=cast.owner, by=cast.owner, name="Cheaters")
    actions.create_list(owner=cast.stranger, by=cast.stranger, name="Cheaters")
    for name in ("cheaters ", ""):
        with pytest.raises(ValidationError):
            actions.create_list(owner=cast.owner, by=cast.owner, name=name)


def test_the_lists_that_are_always_there_cannot_be_deleted(cast):
    with pytest.raises(Refused, match="cannot be deleted"):
        actions.delete_list(ban_list=actions.default_list(cast.owner), by=cast.owner)
    own = make_list(cast.owner)
    make_ban(own)
    actions.delete_list(ban_list=own, by=cast.owner)
    assert not Ban.objects.exists()


def test_a_deleted_server_takes_its_own_list_with_it(cast):
    server = make_server(cast.owner)
    add(actions.list_of_server(server, by=cast.owner), cast.owner)
    server.delete()
    assert not BanList.objects.exists()


def test_a_restored_server_gets_its_own_list_back_with_ended_bans_and_their_authors(cast):
    server = make_server(cast.owner)
    own = make_list(cast.owner, server=server)
    at = timezone.now().replace(microsecond=0)
    make_ban(own, created_at=at, created_by=cast.owner)
    make_ban(own, 102, created_at=at, created_by=cast.viewer, ended_by=cast.owner, ended_at=at)
    before = list(Ban.objects.values())
    DeletedServer.remember(server, now=timezone.now())
    server.delete()
    assert not BanList.objects.exists()
    cast.viewer.delete()
    restore_server(deleted=DeletedServer.objects.get(), by=cast.owner)
    before[0]["created_by_id"] = None
    assert list(Ban.objects.values()) == before
    assert BanList.objects.get() == own


def test_a_restored_server_subscribes_to_the_same_lists_again(cast):
    server = make_server(cast.owner)
    own = make_list(cast.owner, server=server, is_shared=True)
    shared = make_list(cast.stranger, is_shared=True)
    actions.subscribe(ban_list=shared, by=cast.owner, server=server)
    actions.subscribe(ban_list=own, by=cast.stranger)
    # JSON keeps milliseconds.
    Subscription.objects.update(created_at=timezone.now().replace(microsecond=0))
    before = list(Subscription.objects.values())
    DeletedServer.remember(server, now=timezone.now())
    server.delete()
    assert not Subscription.objects.exists()
    restore_server(deleted=DeletedServer.objects.get(), by=cast.owner)
    assert list(Subscription.objects.values()) == before


def test_a_shared_list_is_subscribed_to_by_one_server(cast):
    bans = make_list(cast.stranger, is_shared=True)
    make_ban(bans)
    one, other = make_server(cast.owner, name="One"), make_server(cast.owner, name="Other")
    actions.subscribe(ban_list=bans, by=cast.owner, server=one)
    actions.subscribe(ban_list=bans, by=cast.owner, server=one)
    assert effective.of_server(one, now=timezone.now()) and not effective.of_server(other, now=timezone.now())
    assert effective.servers_with([bans]) == [one]
    actions.unsubscribe(ban_list=bans, by=cast.owner, server=other)
    assert Subscription.objects.get().server == one
    actions.subscribe(ban_list=bans, by=cast.owner)
    assert effective.of_server(other, now=timezone.now())
    # One by one is no longer needed.
    assert Subscription.objects.get().server is None
    actions.unsubscribe(ban_list=bans, by=cast.owner)
    assert not effective.of_server(one, now=timezone.now())


def test_the_list_of_one_server_is_subscribed_to_by_another_of_the_same_owner(cast):
    one, other = make_server(cast.owner), make_server(cast.owner)
    bans = make_list(cast.owner, server=one, is_shared=True)
    actions.subscribe(ban_list=bans, by=cast.owner, server=other)
    assert set(effective.servers_with([bans])) == {one, other}
    for server in (one, None):
        with pytest.raises(Refused):
            actions.subscribe(ban_list=bans, by=cast.owner, server=server)


def test_a_server_is_subscribed_by_its_owner_and_by_admins_alone(cast):
    bans = make_list(cast.stranger, is_shared=True)
    server = make_server(cast.owner)
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    with pytest.raises(PermissionDenied):
        actions.subscribe(ban_list=bans, by=cast.operator, server=server)
    with pytest.raises(Http404):
        actions.subscribe(ban_list=bans, by=cast.stranger, server=server)
    actions.subscribe(ban_list=bans, by=cast.admin, server=server)
    assert Subscription.objects.get().user == cast.owner
