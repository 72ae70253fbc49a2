"""No request for a part of a page is ever answered with a page: it would nest the application inside itself."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser

import pytest
from django.db import transaction
from django.utils import timezone

from left4me.tests import inventory
from servers.hosts import rpc

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client"), pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Ask:
    """What htmx would send: for a form with what is filled in, and with the button that is pressed."""

    method: str
    address: str
    target: str
    data: tuple[tuple[str, str], ...] = ()

    def send(self, client, data):
        headers = {"HX-Request": "true", **({"HX-Target": self.target} if self.target else {})}
        # htmx follows redirects with the same headers.
        return getattr(client, self.method)(self.address, dict(data), headers=headers, follow=True)


class Asks(HTMLParser):
    """Collects the htmx requests of a page's elements."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path, self._form, self._values, self._buttons = path, None, [], []
        self.found: set[Ask] = set()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        for method in ("get", "post"):
            if (address := given.get(f"hx-{method}")) is None:
                continue
            address = self._path.partition("?")[0] + address if address.startswith("?") else address or self._path
            target = (given.get("hx-target") or given.get("id") or "").removeprefix("#")
            self.found.add(Ask(method, address, target))
            if tag == "form":
                self._form, self._values, self._buttons = Ask(method, address, target), [], []
        # Its token differs on each page, but the form is the same.
        if self._form and (name := given.get("name")) not in (None, "", "csrfmiddlewaretoken"):
            field = (name, given.get("value") or "on")
            if tag == "button":
                self._buttons.append(field)
            elif given.get("type") not in {"checkbox", "radio"} or "checked" in given:
                self._values.append(field)

    def handle_endtag(self, tag):
        if tag == "form" and self._form:
            ask, self._form = self._form, None
            for pressed in self._buttons or [None]:
                data = (*self._values, *([pressed] if pressed else []))
                self.found.add(Ask(ask.method, ask.address, ask.target, data))


@pytest.mark.parametrize("furnish", [inventory.furnish_bare, inventory.furnish_all, inventory.furnish_spoiled])
def test_no_request_of_a_page_for_a_part_is_answered_with_a_page(furnish, cast, client, monkeypatch):
    def silent(*args, **values):
        raise rpc.HostSilent

    monkeypatch.setattr(rpc, "call", silent)
    things = furnish(cast.admin, cast.viewer, timezone.now())
    client.force_login(cast.admin)
    asked: dict[Ask, str] = {}
    for address in inventory.addresses(things):
        response = client.get(address.path)
        if inventory.is_page(response):
            asks = Asks(address.path)
            asks.feed(response.content.decode())
            asked |= dict.fromkeys(asks.found, address.path)
    assert len(asked) > 15, "the pages of the world poll their parts"
    for ask, page in asked.items():
        with transaction.atomic():
            answer = ask.send(client, ask.data)
            said = f"{ask.method} {ask.address} on {page} is answered {answer.status_code}"
            assert answer.status_code < 500, said
            assert answer.status_code in (200, 204) or ask.method == "post", said
            assert "<html" not in answer.content.decode(), f"{said} with a page"
            transaction.set_rollback(True)
