"""Channels for programs: what the page can do."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from left4me.alerts import delivery
from left4me.alerts.models import Channel
from left4me.alerts.tests.factories import make_channel
from left4me.alerts.tests.receiver import Receiver
from left4me.core import secrets


def given(address: str = "https://hooks.example.org/secret-path-of-the-hook", **fields: Any) -> dict[str, Any]:
    return {"name": "bot", "kind": "webhook", "address": address, "events": ["server_gave_up"], **fields}


def test_from_post_to_the_receiver(api: Any, cast: Any, receiver: Receiver):
    anna = api.by(cast.owner)
    status, made = anna.post("/alerts", given(receiver.url()))
    assert status == 201
    assert made["address"] == f"{receiver.origin}/…hook"
    status, test = anna.post(f"/alerts/{made['id']}/test")
    assert (status, test["state"]) == (202, "waiting")
    delivery.send(now=timezone.now())
    assert [alert["event"] for alert in receiver.bodies[0]["alerts"]] == ["test"]
    _, deliveries = anna.get(f"/alerts/{made['id']}/deliveries")
    assert [(each["id"], each["state"]) for each in deliveries["items"]] == [(test["id"], "sent")]
    _, listed = anna.get("/alerts")
    assert listed["count"] == 1
    assert listed["items"][0]["last_delivered_at"]


def test_change_switch_and_delete(api: Any, cast: Any):
    anna = api.by(cast.owner)
    channel = make_channel(cast.owner, "https://hooks.example.org/kept")
    status, changed = anna.patch(f"/alerts/{channel.pk}", {"name": "new", "is_enabled": False})
    assert (status, changed["name"], changed["is_enabled"]) == (200, "new", False)
    assert anna.post(f"/alerts/{channel.pk}/test")[0] == 409
    assert anna.patch(f"/alerts/{channel.pk}", {"events": ["job_failed"]})[1]["events"] == ["job_failed"]
    channel.refresh_from_db()
    assert channel.address == "https://hooks.example.org/kept"
    assert anna.delete(f"/alerts/{channel.pk}")[0] == 204
    assert not Channel.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"address": "http://127.0.0.1:9/x"}, "address"),
        ({"address": "https://192.168.1.1/x"}, "address"),
        ({"events": ["host_silent"]}, "events"),
        ({"everything": True}, "everything"),
        ({"kind": "pigeon"}, "kind"),
        ({"events": []}, "events"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(api: Any, cast: Any, wrong: dict[str, Any], field: str):
    status, problem = api.by(cast.owner).post("/alerts", given(**wrong))
    assert status == 422
    assert [error["field"] for error in problem["errors"]] == [field]


def test_a_mailbox_is_confirmed_by_its_code(api: Any, cast: Any, settings: Any):
    settings.LEFT4ME_SENDS_MAIL = True
    anna = api.by(cast.owner)
    _, made = anna.post("/alerts", given("anna@example.org", kind="email"))
    assert made["is_confirmed"] is False
    code = secrets.unseal(Channel.objects.get().sealed_code)
    assert anna.post(f"/alerts/{made['id']}/confirm", {"code": "0" * 8})[0] == 409
    status, confirmed = anna.post(f"/alerts/{made['id']}/confirm", {"code": code})
    assert (status, confirmed["is_confirmed"]) == (200, True)
    _, deliveries = anna.get(f"/alerts/{made['id']}/deliveries")
    assert code not in str(deliveries)
