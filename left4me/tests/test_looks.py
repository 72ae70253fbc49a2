"""Every page: clean for axe-core in both schemes and on a phone, no sideways scrolling, nothing in the console."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
NARROWEST = {"width": 360, "height": 740}


def sideways(page) -> list[str]:
    """The elements that stick out to the right, when the page can be scrolled there."""
    return page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
           [...document.querySelectorAll('body *')]
             .filter(each => each.getBoundingClientRect().right > innerWidth + 1)
             .slice(0, 5).map(each => each.outerHTML.slice(0, 120))"""
    )


def look_at(page, path, axe):
    page.set_viewport_size(WIDE)
    page.goto(path)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        axe(page)
    page.set_viewport_size(PHONE)
    axe(page)
    page.set_viewport_size(NARROWEST)
    assert not sideways(page)


@pytest.mark.parametrize("path", ["/", "/styleguide"])
def test_a_page_is_fine_for_everybody(path, cast, sign_in, axe):
    look_at(sign_in(cast.admin), path, axe)


def test_the_login_page_is_fine_for_everybody(page, axe):
    look_at(page, "/accounts/login/", axe)


def test_an_error_page_is_fine_for_everybody(page, complaints, cast, sign_in, axe):
    complaints.expect("404")
    look_at(sign_in(cast.owner), "/nothing-here", axe)


def test_the_menu_of_the_visitor_is_fine_when_open(cast, sign_in, axe):
    page = sign_in(cast.admin)
    page.goto("/")
    page.locator(".user-menu > summary").click()
    axe(page)
    page.set_viewport_size(PHONE)
    axe(page)
    page.keyboard.press("Escape")
    assert not page.locator(".user-menu").evaluate("each => each.open")
