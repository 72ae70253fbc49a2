"""Every page: clean for axe-core in both schemes and on a phone, no sideways scrolling, nothing in the console."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.urls import URLResolver, get_resolver
from django.urls.resolvers import RoutePattern
from django.utils import timezone

from left4me.tests.world import furnish
from servers.hosts import rpc

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
NARROWEST = {"width": 360, "height": 740}


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


def look_at(page, path, axe):
    page.set_viewport_size(WIDE)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.goto(path)
        axe(page)
    page.set_viewport_size(NARROWEST)
    assert not sideways(page)
    # German words are the longest, so the phone is held in German.
    page.context.add_cookies([{"name": settings.LANGUAGE_COOKIE_NAME, "value": "de", "url": page.url}])
    page.set_viewport_size(PHONE)
    page.goto(path)
    assert page.locator("html").get_attribute("lang") == "de"
    axe(page)
    page.set_viewport_size(NARROWEST)
    assert not sideways(page)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    """No worker answers here: pages that ask one show that, and need not wait long for it."""
    monkeypatch.setattr(rpc, "TIMEOUT_SECONDS", 1)


@pytest.fixture
def look(request, live_server):
    """`look(user, path)` opens a page of the browser only now: half of all addresses are no pages."""

    def look(user, path):
        look_at(request.getfixturevalue("sign_in")(user), path, request.getfixturevalue("axe"))

    return look


def routes(resolver=None, prefix="/"):
    """Every address of the application's own pages; admin's inner pages and the API are not made of our templates."""
    for entry in (resolver or get_resolver()).url_patterns:
        route = prefix + str(entry.pattern)
        if not isinstance(entry.pattern, RoutePattern) or route.startswith("/api/v1/"):
            continue
        if isinstance(entry, URLResolver) and route != "/admin/":
            yield from routes(entry, route)
        else:
            yield route


def is_page(response):
    if response.status_code != 200 or response.streaming:
        return False
    return response.content.lstrip()[:20].lower().startswith(b"<!doctype html>")


ROUTES = [*routes(), "/api/v1/docs"]


@pytest.mark.parametrize("path", [route for route in ROUTES if "<" not in route])
def test_a_page_is_fine_for_everybody(path, cast, client, look):
    furnish(cast.admin, cast.viewer, timezone.now())
    client.force_login(cast.admin)
    if is_page(client.get(path)):
        look(cast.admin, path)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.count("<") == 1])
def test_a_page_of_an_object_is_fine_for_everybody(route, cast, client, look, complaints):
    # The live server of tests speaks no ASGI, so streams are not found.
    complaints.expect("status of 404")
    things = furnish(cast.admin, cast.viewer, timezone.now())
    client.force_login(cast.admin)
    # The word before the first parameter, as in /accounts/alerts/<id:pk>/.
    kind = route.partition("/<")[0].rpartition("/")[2]
    if kind in things:
        path = re.sub("<[^>]*>", str(things[kind]), route)
        if is_page(client.get(path)):
            look(cast.admin, path)


def test_the_login_page_is_fine_for_everybody(page, axe):
    look_at(page, "/accounts/login/", axe)


def test_the_sign_up_page_is_fine_for_everybody(page, axe, settings):
    settings.LEFT4ME_SIGNUP = "open"
    look_at(page, "/accounts/signup/", axe)


def test_an_error_page_is_fine_for_everybody(page, complaints, cast, sign_in, axe):
    complaints.expect("404")
    look_at(sign_in(cast.owner), "/nothing-here", axe)


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
