"""The advisories of Crafty Controller, tried here. `docs/advisories.md` says what each of them was there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from left4me.alerts import delivery, incidents
from left4me.alerts.tests.factories import crash, make_channel
from left4me.alerts.tests.receiver import Receiver
from left4me.testing.cast import Cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client")]

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/users/{pk}/admin", {"is_admin": "yes"}),
        ("/users/{pk}/active", {"is_active": "no"}),
        ("/users/{pk}/password-link", {}),
        ("/users/{pk}/steam-id", {"steam_id": "76561197960287930"}),
    ],
)
@pytest.mark.parametrize("target", ["stan", "anna", "ada"])
def test_cve_2026_5652_a_user_changes_an_account(cast: Cast, path: str, fields: dict[str, Any], target: str) -> None:
    client = Client()
    client.force_login(cast.owner)
    before = User.objects.values().get(username=target)
    answer = client.post(path.format(pk=before["id"]), fields)
    assert answer.status_code == 403
    assert answer.context is None or "link" not in answer.context
    assert User.objects.values().get(username=target) == before


def test_cve_2026_5652_own_settings_name_no_account(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.owner)
    for path in ("/accounts/", "/accounts/time-zone/", "/accounts/language/"):
        client.post(path, {"id": cast.admin.pk, "user": cast.admin.pk, "is_admin": "on", "language": "de"})
    cast.owner.refresh_from_db()
    cast.admin.refresh_from_db()
    assert (cast.owner.is_admin, cast.admin.is_admin, cast.admin.language) == (False, True, "")


@pytest.mark.parametrize("name", ["{{ 7*7 }}", "{% debug %}", "${7*7}", "{0.__class__}", "%(title)s", "{alert.title}"])
def test_cve_2025_14700_what_a_webhook_gets_is_no_template(cast: Cast, receiver: Receiver, name: str) -> None:
    make_channel(cast.owner, receiver.url())
    make_channel(cast.owner, receiver.url("/api/webhooks/2/x"), kind="discord")
    title = f"“{name}” crashed"
    incidents.report(crash(cast.owner, title=title, text=name), now=NOW)
    assert delivery.send(now=NOW).messages == 2
    plain = next(body for body in receiver.bodies if "alerts" in body)
    rich = next(body for body in receiver.bodies if "embeds" in body)
    assert (plain["alerts"][0]["title"], plain["alerts"][0]["text"], rich["embeds"][0]["title"]) == (
        title,
        name,
        title,
    )
