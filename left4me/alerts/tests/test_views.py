"""The page of one's channels."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from left4me.alerts import delivery, incidents
from left4me.alerts.events import Event
from left4me.alerts.models import Channel, Delivery
from left4me.alerts.tests.factories import crash, make_channel
from left4me.alerts.tests.receiver import Receiver
from left4me.audit.models import AuditEntry

PAGE = "/accounts/alerts/"
SECRET = "https://discord.com/api/webhooks/12/a-token-that-nobody-may-see-again"


@pytest.fixture
def anna(client: Client, cast: Any, redis_client: object) -> Client:
    client.force_login(cast.owner)
    return client


def given(**fields: Any) -> dict[str, Any]:
    return {"name": "our Discord", "kind": "discord", "address": SECRET, "events": ["server_gave_up"], **fields}


def test_a_channel_is_added_and_its_address_never_shown_again(anna: Client, cast: Any):
    assert anna.post(PAGE, given())["Location"] == PAGE
    channel = Channel.objects.get()
    assert (channel.user, channel.address, channel.events) == (cast.owner, SECRET, ["server_gave_up"])
    for path in (PAGE, f"{PAGE}{channel.pk}/"):
        shown = anna.get(path).content.decode()
        assert "our Discord" in shown
        assert "https://discord.com/…gain" in shown
        assert "a-token-that-nobody" not in shown
    entry = AuditEntry.objects.get(action="alert.create")
    assert "a-token" not in str(entry.details)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"address": "http://hooks.example.org/x"}, "starts with https"),
        ({"address": "https://user:pass@hooks.example.org/"}, "starts with https"),
        ({"address": "javascript:alert(1)"}, "starts with https"),
        ({"address": "https://127.0.0.1/x"}, "not on the public internet"),
        ({"address": "https://[::1]:8443/x"}, "not on the public internet"),
        ({"address": "https://169.254.169.254/latest"}, "not on the public internet"),
        ({"address": "https://10.1.2.3/x"}, "not on the public internet"),
        ({"address": "https://localhost/x"}, "not on the public internet"),
        ({"address": "https://[::ffff:10.0.0.1]/x"}, "not on the public internet"),
        (
            {"address": "http://Homeassistant.local:8123/x"},
            "add LEFT4ME_ALERT_ORIGINS=http://homeassistant.local:8123 to",
        ),
        ({"address": "https://bad\\host/x"}, "starts with https"),
        ({"address": "https://<b>evil</b>.example.org"}, "starts with https"),
        ({"address": "https://under_score.example.org/"}, "starts with https"),
        ({"address": "https://host:99999/x"}, "starts with https"),
        ({"events": []}, "required"),
        ({"events": ["disk_low"]}, "not one of the available choices"),
        ({"kind": "email", "address": "anna@example.org"}, "send e-mail yet"),
        ({"name": 'a "quoted" name'}, "without quotation marks"),
    ],
)
def test_what_cannot_be_is_refused_beside_its_field(anna: Client, wrong: dict[str, Any], words: str):
    answer = anna.post(PAGE, given(**wrong))
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Channel.objects.exists()


def test_an_address_is_shown_as_text(anna: Client, cast: Any):
    channel = make_channel(cast.owner, "https://<b>bold</b>.example.org/x")
    for path in (PAGE, f"{PAGE}{channel.pk}/"):
        assert "<b>bold" not in anna.get(path).content.decode()


def test_a_name_is_given_once(anna: Client, cast: Any):
    make_channel(cast.owner, name="our Discord")
    make_channel(cast.stranger, name="another")
    assert "already have a channel with this name" in anna.post(PAGE, given()).content.decode()
    assert anna.post(PAGE, given(name="another")).status_code == 302


def test_a_user_has_no_end_of_channels(anna: Client, cast: Any):
    for _ in range(20):
        make_channel(cast.owner)
    assert "Delete one first" in anna.post(PAGE, given()).content.decode()


def test_an_admin_may_choose_hosts_and_everybody(client: Client, cast: Any, redis_client: object):
    client.force_login(cast.admin)
    client.post(PAGE, given(events=["disk_low", "host_silent"], everything="on"))
    channel = Channel.objects.get()
    assert (channel.events, channel.everything) == (["disk_low", "host_silent"], True)


def test_changing_keeps_the_address_unless_a_new_one_is_given(anna: Client, cast: Any):
    channel = make_channel(cast.owner, SECRET, last_error="it failed", failures=4)
    page = f"{PAGE}{channel.pk}/"
    anna.post(page, {"name": "renamed", "events": ["job_failed"], "address": ""})
    channel.refresh_from_db()
    assert (channel.name, channel.address, channel.events) == ("renamed", SECRET, ["job_failed"])
    assert channel.failures == 4
    anna.post(page, {"name": "renamed", "events": ["job_failed"], "address": "https://hooks.example.org/new"})
    channel.refresh_from_db()
    assert (channel.address, channel.failures, channel.last_error) == ("https://hooks.example.org/new", 0, "")


def test_the_button_sends_a_test_and_the_page_says_how_it_went(anna: Client, cast: Any, receiver: Receiver):
    channel = make_channel(cast.owner, receiver.url())
    anna.post(f"{PAGE}{channel.pk}/test/")
    receiver.plan(500)
    delivery.send(now=timezone.now())
    assert receiver.bodies[0]["alerts"][0]["event"] == "test"
    assert "HTTP 500" in anna.get(PAGE).content.decode()
    anna.post(f"{PAGE}{channel.pk}/test/")
    delivery.send(now=timezone.now())
    shown = anna.get(PAGE).content.decode()
    assert "HTTP 500" not in shown
    assert "data-relative" in shown


def test_tests_are_throttled(anna: Client, cast: Any):
    channel = make_channel(cast.owner)
    answers = [anna.post(f"{PAGE}{channel.pk}/test/").status_code for _ in range(12)]
    assert answers == [302] * 10 + [429] * 2


def test_switching_off_drops_what_waits_and_refuses_tests(anna: Client, cast: Any):
    channel = make_channel(cast.owner)
    anna.post(f"{PAGE}{channel.pk}/test/")
    anna.post(f"{PAGE}{channel.pk}/switch/", {"on": "no"})
    assert Delivery.objects.get().state == "dropped"
    anna.post(f"{PAGE}{channel.pk}/test/")
    assert Delivery.objects.count() == 1
    anna.post(f"{PAGE}{channel.pk}/switch/", {"on": "yes"})
    channel.refresh_from_db()
    assert channel.is_enabled


def test_deleting_takes_what_waits_along(anna: Client, cast: Any):
    channel = make_channel(cast.owner)
    anna.post(f"{PAGE}{channel.pk}/test/")
    anna.post(f"{PAGE}{channel.pk}/delete/")
    assert not Channel.objects.exists()
    assert not Delivery.objects.exists()


def test_the_list_is_of_one_s_own_also_for_admins(client: Client, cast: Any):
    make_channel(cast.owner, name="Anna’s")
    client.force_login(cast.admin)
    assert "Anna’s" not in client.get(PAGE).content.decode()


def test_django_s_admin_shows_no_address(client: Client, cast: Any):
    channel = make_channel(cast.owner, SECRET)
    client.force_login(cast.admin)
    shown = client.get(f"/admin/alerts/channel/{channel.pk}/change/").content.decode()
    assert "https://discord.com/…gain" in shown
    assert "a-token-that-nobody" not in shown
    for page in ("channel", "incident", "delivery"):
        assert client.get(f"/admin/alerts/{page}/").status_code == 200


def mail_channel(anna: Client, settings: Any) -> Channel:
    settings.LEFT4ME_SENDS_MAIL = True
    anna.post(PAGE, given(kind="email", address="anna@example.org"))
    return Channel.objects.get()


def code_in(text: str) -> str:
    found = re.search(r"Your code: (\w+)\.", text)
    assert found is not None, text
    return found[1]


def test_a_mailbox_is_told_nothing_until_its_code_is_said(anna: Client, cast: Any, settings: Any):
    channel = mail_channel(anna, settings)
    now = timezone.now()
    incidents.report(crash(cast.owner, event=Event.SERVER_GAVE_UP), now=now)
    delivery.send(now=now)
    (question,) = mail.outbox
    assert question.subject == "[left4me] Confirm your e-mail address"
    assert "crashed" not in question.body
    page = anna.get(f"{PAGE}{channel.pk}/").content.decode()
    assert "Confirm the e-mail address" in page
    assert code_in(question.body) not in page
    anna.post(f"{PAGE}{channel.pk}/confirm/", {"code": "wrong"})
    delivery.send(now=now + timedelta(minutes=1))
    assert len(mail.outbox) == 1
    anna.post(f"{PAGE}{channel.pk}/confirm/", {"code": code_in(question.body).lower()})
    delivery.send(now=now + timedelta(minutes=2))
    assert len(mail.outbox) == 2
    assert "Your code:" not in mail.outbox[1].body


def test_a_new_address_has_to_be_confirmed_too(anna: Client, settings: Any):
    channel = mail_channel(anna, settings)
    Channel.objects.update(sealed_code="")
    form = {"name": "mail", "events": ["job_failed"]}
    anna.post(f"{PAGE}{channel.pk}/", {**form, "address": ""})
    channel.refresh_from_db()
    assert channel.is_confirmed
    anna.post(f"{PAGE}{channel.pk}/", {**form, "address": "stan@example.org"})
    channel.refresh_from_db()
    assert not channel.is_confirmed


def test_codes_cannot_be_guessed_nor_mailed_without_end(anna: Client, settings: Any):
    channel = mail_channel(anna, settings)
    guesses = [anna.post(f"{PAGE}{channel.pk}/confirm/", {"code": str(n)}).status_code for n in range(12)]
    assert guesses == [302] * 10 + [429] * 2
    mails = [anna.post(f"{PAGE}{channel.pk}/test/").status_code for _ in range(12)]
    assert mails == [302] * 9 + [429] * 3
    assert set(Delivery.objects.values_list("event", flat=True)) == {"confirm"}
