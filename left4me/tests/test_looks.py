"""Every page of the inventory, empty, full and with errors: clean for axe-core in light and dark, wide and on a phone;
nothing sticks out of a narrow screen in any language; nothing in the console."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from django.conf import settings
from playwright.sync_api import expect

from left4me.testing.routes import all_routes
from left4me.tests import inventory
from left4me.tests.states import PHONE, STATES, WIDE

pytestmark = [
    pytest.mark.browser,
    pytest.mark.looks,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_server"),
    # Each test looks at all pages of an app.
    pytest.mark.timeout(600),
]

NARROWEST = {"width": 360, "height": 740}
# German words are the longest, Chinese ones break anywhere.
LONGEST = "de"
TRANSLATED = [LONGEST, "zh-hans"]
AREAS = sorted({inventory.Address(route, "").area for route in all_routes()} - {"api", "admin"})


def sideways(page) -> list[str]:
    """The elements that stick out to the right, when the page can be scrolled there; not what a parent cuts off.

    A parent that is not positioned does not cut off what is positioned.
    """
    return page.evaluate(
        """() => {
             const isCut = each => {
               for (let above = each.parentElement; above !== document.body; above = above.parentElement) {
                 const { overflowX, position } = getComputedStyle(above);
                 const escapes = getComputedStyle(each).position === 'absolute' && position === 'static';
                 if (overflowX !== 'visible' && !escapes) return true;
               }
             };
             return document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('body *')]
               .filter(each => each.getBoundingClientRect().right > innerWidth + 1 && !isCut(each))
               .map(each => each.outerHTML.slice(0, 120)).concat(`${document.documentElement.scrollWidth} px`);
           }"""
    )


def cut_tables(page) -> list[str]:
    """The tables whose last columns, often their buttons, are only seen by scrolling."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.table-wrap')].filter(each => each.scrollWidth > each.clientWidth + 1)
             .map(each => `${each.innerText.slice(0, 40)}: ${each.scrollWidth} px in ${each.clientWidth}`)"""
    )


class Look:
    """Looks at pages in every language, scheme and width; a page is loaded once per language."""

    def __init__(self, page, url, axe, picture) -> None:
        self.page, self.url, self.axe, self._picture = page, url, axe, picture
        self.state = "page"

    def __call__(self, path: str, *, languages: Sequence[str] = TRANSLATED) -> None:
        """Raises AssertionError with what is wrong first."""
        self._name = path.partition("?")[0].strip("/").replace("/", "-")[:40] or "dashboard"
        # Each width in one scheme: the colors are the same tokens in both widths, and axe-core takes most of the time.
        self._load(path, "en", WIDE)
        self.axe(self.page)
        self._keep("wide")
        assert not sideways(self.page)
        assert not cut_tables(self.page)
        self._show(PHONE, "dark")
        self.axe(self.page)
        self._keep("phone-dark")
        self._fits("en")
        for language in languages:
            self._load(path, language, WIDE)
            assert not sideways(self.page), f"wide, in {language}"
            assert not cut_tables(self.page), f"wide, in {language}"
            self._keep(f"wide-{language}")
            self._show(PHONE, "light")
            if language == LONGEST:
                self.axe(self.page)
            self._keep(f"phone-{language}")
            self._fits(language)

    def _load(self, path: str, language: str, size: dict[str, int]) -> None:
        self.page.context.add_cookies([{"name": settings.LANGUAGE_COOKIE_NAME, "value": language, "url": self.url}])
        self._show(size, "light")
        self.page.goto(path)
        assert self.page.locator("html").get_attribute("lang") == language
        # The parts that the page fetches by itself.
        expect(self.page.locator(".htmx-request")).to_have_count(0)

    def _show(self, size: dict[str, int], scheme: str) -> None:
        self.page.set_viewport_size(size)
        self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")

    def _fits(self, language: str) -> None:
        self.page.set_viewport_size(NARROWEST)
        assert not sideways(self.page), f"on a phone, in {language}"

    def _keep(self, way: str) -> None:
        self._picture(self.state, f"{self._name} {way}")


@pytest.fixture
def look(page, live_server, axe, picture) -> Look:
    return Look(page, live_server.url, axe, picture)


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("state", STATES)
def test_the_pages_of_an_app_are_fine_for_everybody(
    state, area, cast, client, look, sign_in, page, complaints, monkeypatch, settings
):
    # A host that reported a minute ago is not offline: a test takes longer.
    settings.LEFT4ME_STATUS_SECONDS = 600
    # The live server of the tests speaks no ASGI, so streams are not found.
    complaints.expect("status of 404")
    things = STATES[state](cast.admin, cast.viewer, monkeypatch)
    look.state = state
    languages = TRANSLATED if state == "full" else []
    faults = []
    for visitor in (cast.admin, None):
        # What an open page asks for leads to sign-in once its session has ended.
        page.goto("about:blank")
        client.logout()
        page.context.clear_cookies()
        if visitor:
            client.force_login(visitor)
            sign_in(visitor)
        for path in inventory.pages(client, things, area, is_signed_in=visitor is not None):
            try:
                look(path, languages=languages)
            except AssertionError as fault:
                faults.append(f"{path}: {fault}")
            faults += [f"{path}: {line}" for line in complaints.take()]
    assert not faults, "\n".join(faults)


def test_the_sign_up_page_is_fine_for_everybody(look, settings):
    settings.LEFT4ME_SIGNUP = "open"
    look("/accounts/signup/")


def test_an_error_page_is_fine_for_everybody(complaints, cast, sign_in, look):
    complaints.expect("404")
    sign_in(cast.owner)
    look("/nothing-here")


def test_the_menu_of_the_visitor_is_fine_when_open(cast, sign_in, axe):
    page = sign_in(cast.admin)
    # Tall enough that the open menu covers none of the places above it.
    page.set_viewport_size({"width": 1280, "height": 1100})
    page.goto("/")
    page.locator(".user-menu > summary").click()
    axe(page)
    page.set_viewport_size(PHONE)
    axe(page)
    page.keyboard.press("Escape")
    assert not page.locator(".user-menu").evaluate("each => each.open")
