"""Sign-in at an OpenID Connect provider, in a real browser, with a real provider's own page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from left4me.testing import openid_provider

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "correct horse battery"


def test_an_account_there_is_linked_and_signs_in(page, cast, live_server, settings, axe, picture):
    cast.owner.set_password(PASSWORD)
    cast.owner.save()
    # The page of the provider wants a stylesheet of the internet.
    page.route("https://cdn.jsdelivr.net/**", lambda route: route.fulfill(body="", content_type="text/css"))
    with openid_provider.running([f"{live_server.url}/accounts/doors/oidc/return"]) as provider:
        openid_provider.use(settings, provider)
        page.goto("/accounts/login/")
        axe(page)
        picture("doors-login")
        page.get_by_label("Username").fill("anna")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.locator(".user-menu-name")).to_have_text("anna")
        page.goto("/accounts/factors/")
        page.get_by_role("link", name="Link Example").click()
        page.get_by_role("button", name="anna-there").click()
        expect(page.get_by_text("Linked. You can sign in with it")).to_be_visible()
        axe(page)
        picture("doors-linked")

        page.locator(".user-menu > summary").click()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("link", name="Sign in with Example").click()
        page.get_by_role("button", name="anna-there").click()
        expect(page.locator(".user-menu-name")).to_have_text("anna")
