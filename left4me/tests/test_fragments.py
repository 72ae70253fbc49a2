"""No request for a part of a page is ever answered with a page: it would nest the application inside itself."""

from __future__ import annotations

import html
import re

import pytest
from django.utils import timezone

from left4me.tests.test_looks import ROUTES, is_page
from left4me.tests.world import furnish
from servers.hosts import rpc

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]

REQUESTED = re.compile(r'hx-get="([^"]*)"')
TARGETED = re.compile(r'hx-target="#([\w-]+)"')


def pages(things):
    for route in ROUTES:
        kind = route.partition("/<")[0].rpartition("/")[2]
        if "<" not in route:
            yield route
        elif route.count("<") == 1 and kind in things:
            yield re.sub("<[^>]*>", str(things[kind]), route)


def requests_of(page, path):
    """The address and target of each htmx request that an element of the page makes."""
    for tag in re.findall(r"<\w+[^>]*hx-get=[^>]*>", page):
        address = html.unescape(REQUESTED.search(tag)[1])
        own_id = re.search(r'\sid="([\w-]+)"', tag)
        target = TARGETED.search(tag) or own_id
        yield (path.partition("?")[0] + address if address.startswith("?") else address), target and target[1]


def test_what_a_page_asks_for_by_itself_is_a_part_and_never_a_page(cast, client, monkeypatch):
    def silent(*args, **values):
        raise rpc.HostSilent

    monkeypatch.setattr(rpc, "call", silent)
    things = furnish(cast.admin, cast.viewer, timezone.now())
    client.force_login(cast.admin)
    asked: dict[tuple[str, str | None], str] = {}
    for path in pages(things):
        response = client.get(path)
        if is_page(response):
            asked |= dict.fromkeys(requests_of(response.content.decode(), path), path)
    assert len(asked) > 15, "the pages of the world poll their parts"
    for (address, target), path in asked.items():
        headers = {"HX-Request": "true", **({"HX-Target": target} if target else {})}
        response = client.get(address, headers=headers)
        assert response.status_code in (200, 204), f"{address} on {path} answers {response.status_code}"
        assert "<html" not in response.content.decode(), f"{address} on {path} is answered with a page"
