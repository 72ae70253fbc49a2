"""Pictures of every page for `bin/pictures --all FOLDER`: new, empty, in use, on a bad day; wide and on a phone; light
and dark; what opens on it; its forms with errors; the pages of errors.

It judges nothing, so it is no test of the suite.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.test import Client
from playwright.sync_api import Error, Page, expect

from left4me.core.redis.rate_limit import RateLimited
from left4me.site import views
from left4me.testing.browser import PICTURES
from left4me.tests import inventory
from left4me.tests.states import PHONE, STATES, WIDE, silent

# Languages of the pictures, separated by commas.
LANGUAGES = "LEFT4ME_TEST_LANGUAGES"
# Half of the ways suffice to find most faults in half of the time.
HALF = "LEFT4ME_TEST_HALF"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_server"),
    pytest.mark.timeout(0),
]

_SETTLED_MS = 400
_TALLEST = 6_000
_SCHEMES = {"wide": ("light", "dark"), "phone": ("light", "dark")}
_HALF_OF_THEM = {"wide": ("light",), "phone": ("dark",)}
_FULL = STATES["full"]
# What somebody types who means no good, and somebody who types nothing.
_FILL = """(form, isEmpty) => {
  form.noValidate = true;
  for (const each of form.elements) {
    if (each.type === 'checkbox') each.checked = !isEmpty;
    else if (each.matches('textarea, input:not([type=hidden], [type=file], [type=radio], [type=submit])'))
      each.value = isEmpty ? '' : each.type === 'number' ? '-1' : `<b>;"quit\\u200b ${'W'.repeat(300)}`;
  }
  form.dataset.noDraft = '';
  form.requestSubmit(form.querySelector('[type=submit], button:not([type])'));
}"""
_FORMS = "#main form[method=post]:has(textarea, select, input:not([type=hidden], [type=checkbox], [type=radio]))"
_SHOWN_FAULTS = ".field-errors, .form-errors, .errorlist, .toast, [role=alert], dialog[open], .message"


def new(owner, friend, monkeypatch):
    """An installation after its first sign-in."""
    silent(monkeypatch)
    return {"users": owner.pk, "hosts": 1, "query": {}}


class Camera:
    """Keeps pictures of pages, in a wide window and in one of a phone with its fingers."""

    def __init__(self, browser, url: str) -> None:
        self._url = url
        self._contexts = {
            "wide": browser.new_context(base_url=url, viewport=WIDE, reduced_motion="reduce", service_workers="block"),
            "phone": browser.new_context(
                base_url=url,
                viewport=PHONE,
                has_touch=True,
                is_mobile=True,
                reduced_motion="reduce",
                service_workers="block",
            ),
        }
        self.pages = {name: context.new_page() for name, context in self._contexts.items()}
        self.languages = os.environ.get(LANGUAGES, "en").split(",")
        self._schemes = _HALF_OF_THEM if os.environ.get(HALF) else _SCHEMES

    def enter(self, client: Client) -> None:
        """See pages as whoever `client` has signed in, or as nobody."""
        session = client.cookies.get("sessionid")
        for name, context in self._contexts.items():
            self.pages[name].goto("about:blank")
            context.clear_cookies()
            if session and session.value:
                context.add_cookies([{"name": "sessionid", "value": session.value, "url": self._url}])

    def speak(self, language: str) -> None:
        for context in self._contexts.values():
            context.add_cookies([{"name": django_settings.LANGUAGE_COOKIE_NAME, "value": language, "url": self._url}])

    def take(self, folder: str, path: str) -> None:
        """The page in every language, width and scheme."""
        for language in self.languages:
            self.speak(language)
            for width, page in self.pages.items():
                with contextlib.suppress(Error, AssertionError):
                    self.open(page, path)
                for scheme in self._schemes[width]:
                    self.keep(page, folder, f"{width}-{scheme}" + (f"-{language}" if language != "en" else ""), path)

    def open(self, page: Page, path: str) -> None:
        page.goto(path)
        self.wait(page)

    def wait(self, page: Page) -> None:
        expect(page.locator(".htmx-request")).to_have_count(0)
        page.wait_for_timeout(_SETTLED_MS)

    def keep(self, page: Page, folder: str, way: str, path: str) -> None:
        page.emulate_media(color_scheme=way.split("-")[1])  # type: ignore[arg-type]
        name = re.sub(r"[^\w=-]+", "-", path.strip("/"))[:80] or "dashboard"
        # A window as tall as the page: pictures of full pages lose the fingers of a phone, and what is far down.
        size, height = page.viewport_size, page.evaluate("document.documentElement.scrollHeight")
        assert size is not None
        page.set_viewport_size({"width": size["width"], "height": min(max(size["height"], height), _TALLEST)})
        page.wait_for_timeout(_SETTLED_MS)
        page.screenshot(path=Path(os.environ[PICTURES], folder, way, f"{name}.png"))
        page.set_viewport_size(size)


@pytest.fixture
def camera(browser, live_server, settings) -> Iterator[Camera]:
    # A host that reported a minute ago is not offline: pictures take longer.
    settings.LEFT4ME_STATUS_SECONDS = 86_400
    camera = Camera(browser, live_server.url)
    yield camera
    for page in camera.pages.values():
        page.context.close()


def paths(client: Client, things, *, is_signed_in: bool = True) -> list[str]:
    areas = {each.area for each in inventory.addresses(things)} - {"api", "admin"}
    return [
        path for area in sorted(areas) for path in inventory.pages(client, things, area, is_signed_in=is_signed_in)
    ]


@pytest.mark.parametrize("state", [new, *STATES.values()], ids=lambda each: each.__name__)
def test_every_page(state, camera: Camera, cast, client, monkeypatch):
    things = state(cast.admin, cast.viewer, monkeypatch)
    client.force_login(cast.admin)
    camera.enter(client)
    for path in paths(client, things):
        camera.take(state.__name__, path)


@pytest.mark.parametrize("visitor", ["viewer", "nobody"])
def test_every_page_for_others(visitor, camera: Camera, cast, client, monkeypatch, settings):
    """For a user who may look at one server, and for those who are not signed in."""
    settings.LEFT4ME_SIGNUP = "open"
    things = _FULL(cast.admin, cast.viewer, monkeypatch)
    if visitor == "viewer":
        client.force_login(cast.viewer)
    camera.enter(client)
    for path in paths(client, things, is_signed_in=visitor == "viewer"):
        camera.take(visitor, path)


def test_what_opens_on_pages(camera: Camera, cast, client, monkeypatch):
    things = _FULL(cast.admin, cast.viewer, monkeypatch)
    client.force_login(cast.admin)
    camera.enter(client)
    page = camera.pages["wide"]
    for path in paths(client, things):
        camera.open(page, path)
        if page.evaluate(_OPEN_ALL):
            camera.wait(page)
            keep_both(camera, page, "opened", path)
        for number in range(page.locator("#main [data-dialog]").count()):
            camera.open(page, path)
            page.locator("#main [data-dialog]").nth(number).evaluate("each => each.click()")
            keep_both(camera, page, "opened", f"{path}-dialog-{number}")


_OPEN_ALL = "() => [...document.querySelectorAll('#main details')].map(each => each.open = true).length"


@pytest.mark.parametrize("is_empty", [True, False], ids=["nothing", "rubbish"])
def test_forms_with_errors(is_empty, camera: Camera, cast, client, monkeypatch):
    things = _FULL(cast.admin, cast.viewer, monkeypatch)
    client.force_login(cast.admin)
    camera.enter(client)
    page = camera.pages["wide"]
    for path in paths(client, things):
        page.goto(path)
        for number in range(page.locator(_FORMS).count()):
            with contextlib.suppress(Error, AssertionError):
                camera.open(page, path)
                page.locator(_FORMS).nth(number).evaluate(_FILL, is_empty)
                page.wait_for_load_state()
                camera.wait(page)
                if page.locator(_SHOWN_FAULTS).count():
                    keep_both(camera, page, "nothing" if is_empty else "rubbish", f"{path}-form-{number}")


def keep_both(camera: Camera, page: Page, folder: str, path: str) -> None:
    """The page as it stands now, wide and light, and narrow and dark."""
    camera.keep(page, folder, "wide-light", path)
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(_SETTLED_MS)
    camera.keep(page, folder, "phone-dark", path)
    page.set_viewport_size(WIDE)


FAULTS = {
    403: PermissionDenied(),
    429: RateLimited(40),
    500: KeyError("name"),
    503: OperationalError("database or disk is full"),
}


def test_pages_of_errors(camera: Camera, cast, client, monkeypatch):
    client.force_login(cast.viewer)
    camera.enter(client)
    camera.take("errors", "/?q=%00")
    camera.take("errors", "/nothing-here")
    for fault in FAULTS.values():

        def fail(*args, fault=fault, **values):
            raise fault

        monkeypatch.setattr(views.overview, "of", fail)
        camera.take("errors", f"/?{type(fault).__name__}")


def test_a_site_that_is_gone(camera: Camera, cast, client, monkeypatch):
    _FULL(cast.admin, cast.viewer, monkeypatch)
    client.force_login(cast.admin)
    camera.enter(client)
    page = camera.pages["wide"]
    camera.open(page, "/")
    page.context.set_offline(True)
    page.wait_for_timeout(12_000)
    keep_both(camera, page, "errors", "cut-off")
