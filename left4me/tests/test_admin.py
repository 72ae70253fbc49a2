"""Django's admin: every model that it shows can be listed and opened, and what is read-only stays as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.factors import recovery_codes
from accounts.models import AuthenticatorApp, Identity, OneTimeLink
from accounts.models.links import Purpose
from accounts.tests.factories import make_passkey, make_token
from left4me.alerts.models import Channel, Incident
from left4me.audit import record
from left4me.core.web.admin import ReadOnlyAdmin
from left4me.testing.cast import Cast
from left4me.tests.world import furnish
from livestate.bans.models import AppliedBans, BanList, Subscription
from livestate.models import HostFigures, Order, PlayerSession, ServerFigures, Silence, Snapshot, Sweep
from overlays.models import Overlay, OverlayCopy
from servers.models import Host, Server, StarterBlueprint, StateChange
from workshop import inspection
from workshop.models import WorkshopContents, WorkshopItem

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
READ_ONLY = [model for model in MODELS if isinstance(admin.site._registry[model], ReadOnlyAdmin)]


def label(model: type[Model]) -> str:
    return model._meta.label


def address(model: type[Model], page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def admin_client(cast: Cast, client: Client) -> Iterator[Client]:
    """A signed-in admin, with rows of every model."""
    now = timezone.now()
    furnish(cast.owner, cast.viewer, now)
    server = Server.objects.earliest("pk")
    for number in range(3):
        StateChange.objects.create(server=server, at=now, state="crashed", last_lines=["Segmentation fault"])
        Order.objects.create(server=server, user=cast.owner, kind="say", value=f"hello {number}", created_at=now)
        OverlayCopy.objects.create(
            overlay=Overlay.objects.earliest("pk"), host=f"host{number}", content_version=1, made_at=now
        )
    AuthenticatorApp.objects.create(user=cast.owner, secret_sealed="sealed")
    make_passkey(cast.owner)
    Identity.objects.create(user=cast.owner, door="oidc", issuer="https://id.example", subject="1", label="anna")
    recovery_codes.renew(cast.owner)
    AppliedBans.objects.create(server=server, targets={"203.0.113.7": None})
    Subscription.objects.create(ban_list=BanList.objects.filter(is_shared=True)[0], user=cast.owner)
    Silence.objects.create(server=server, since=now, last_at=now, count=3, reason="timeout")
    ServerFigures.objects.create(server=server, step=ServerFigures.FINE, start=now)
    HostFigures.objects.create(host=server.host, step=HostFigures.COARSE, start=now)
    Sweep.objects.create(host=Host.objects.get(), writer="00000000-0000-4000-8000-000000000000", started_at=now)
    StarterBlueprint.objects.get_or_create(name="Versus")
    for item in WorkshopItem.objects.all():
        WorkshopContents.objects.create(item=item, packed_paths=inspection.pack_paths(["maps/a<b>.bsp"]))
    Incident.objects.create(key="server_crashed:1", subject="server:1", opened_at=now, last_at=now)
    OneTimeLink.objects.create(purpose=Purpose.INVITATION, digest="0" * 64, expires_at=now)
    make_token(cast.owner)
    record.write(action="server.start", by=cast.owner, target=server.resource)
    client.force_login(cast.admin)
    yield client


def test_the_domain_is_shown() -> None:
    shown = {model._meta.label for model in READ_ONLY}
    assert {Snapshot, PlayerSession, WorkshopItem, Order} <= set(READ_ONLY), shown


@pytest.mark.parametrize("model", MODELS, ids=label)
def test_rows_are_listed_and_opened(model: type[Model], admin_client: Client) -> None:
    row = model._default_manager.first()
    assert row is not None, "the fixture makes none"
    assert admin_client.get(address(model, "changelist")).status_code == 200
    assert admin_client.get(address(model, "changelist"), {"q": "1"}).status_code == 200
    assert admin_client.get(address(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("model", READ_ONLY, ids=label)
def test_read_only_rows_cannot_be_written(model: type[Model], admin_client: Client) -> None:
    row = model._default_manager.first()
    assert row is not None
    before = model._default_manager.values().get(pk=row.pk)
    assert admin_client.post(address(model, "add"), {}).status_code == 403
    assert admin_client.post(address(model, "change", row.pk), {}).status_code == 403
    assert admin_client.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    admin_client.post(address(model, "changelist"), {"action": "delete_selected", "_selected_action": [row.pk]})
    assert model._default_manager.values().get(pk=row.pk) == before


@pytest.mark.parametrize("model", READ_ONLY, ids=label)
def test_a_list_costs_as_many_queries_as_one_row(model: type[Model], admin_client: Client) -> None:
    with CaptureQueriesContext(connection) as many:
        admin_client.get(address(model, "changelist"))
    keys = list(model._default_manager.values_list("pk", flat=True))
    with CaptureQueriesContext(connection) as one:
        admin_client.get(address(model, "changelist"), {"pk__exact": keys[0]})
    assert len(many) <= len(one) + 1


def test_an_address_is_shown_in_part_only(admin_client: Client) -> None:
    channel = Channel.objects.exclude(kind="email").earliest("pk")
    for page in (address(Channel, "changelist"), address(Channel, "change", channel.pk)):
        text = admin_client.get(page).content.decode()
        assert channel.masked_address in text
        assert channel.address not in text


def test_rows_that_are_only_shown_go_with_what_they_belong_to(cast: Cast, admin_client: Client) -> None:
    channel = Channel.objects.get(name="our Discord")
    assert channel.deliveries.exists()
    admin_client.post(address(Channel, "delete", channel.pk), {"post": "yes"})
    assert not Channel.objects.filter(pk=channel.pk).exists()


def test_the_admin_has_the_look_of_the_site(admin_client: Client) -> None:
    text = admin_client.get(reverse("admin:index")).content.decode()
    assert "left4me/css/admin" in text and "Back to left4me" in text
