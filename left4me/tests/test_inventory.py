"""The inventory of pages holds every address of the application: a new one is looked at, or fails here."""

from __future__ import annotations

import pytest
from django.utils import timezone

from left4me.tests import inventory

# Backups of overlays are not furnished yet; the pages of a server's backups are the same.
ABSENT = {"backups:plan", "backups:download"}

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server"), pytest.mark.timeout(300)]


def test_every_address_leads_to_something_that_is_furnished(cast, client):
    things = inventory.furnish_all(cast.admin, cast.viewer, timezone.now())
    client.force_login(cast.admin)
    absent = []
    for each in inventory.addresses(things):
        answer = client.get(each.path)
        inventory.is_page(answer)
        if answer.status_code == 404 and each.route.name not in ABSENT:
            absent.append(f"{each.path}: let inventory.furnish_all make what its parameters name")
    assert not absent, "\n".join(absent)


def test_every_app_has_pages_that_are_looked_at(cast, client):
    things = inventory.furnish_all(cast.admin, cast.viewer, timezone.now())
    client.force_login(cast.admin)
    pages = {each.route.name for each in inventory.addresses(things) if inventory.is_page(client.get(each.path))}
    assert len(pages) > 60
    assert {"overlays:archive_plan", "overlays:files", "servers:blueprint_version", "overlays:conflicts"} <= pages
