"""Second factors in a real browser."""

from __future__ import annotations

import re

import pyotp
import pytest
from playwright.sync_api import Page, expect

from accounts.models import AuthenticatorApp, User
from left4me.core import secrets

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "correct horse battery"


@pytest.fixture
def anna(cast) -> User:
    cast.owner.set_password(PASSWORD)
    cast.owner.save()
    return cast.owner


def enter(page: Page) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def set_up_app(page: Page, axe, picture) -> tuple[str, list[str]]:
    """The secret of the app and the recovery codes."""
    page.goto("/accounts/factors/")
    axe(page)
    page.get_by_role("link", name="Set up").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    assert page.get_by_role("img", name="QR code").evaluate("image => image.naturalWidth") > 100
    axe(page)
    picture("factors-app")
    secret = page.locator(".copy-field code").inner_text()
    page.get_by_label("Code").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Turn on").click()
    codes = page.locator("pre").inner_text().split()
    picture("factors-codes")
    axe(page)
    page.get_by_role("link", name="I have saved them").click()
    expect(page.get_by_text("10 codes are left")).to_be_visible()
    picture("factors")
    return secret, codes


def test_an_app_is_set_up_and_asked_for_and_replaced_by_a_recovery_code(page, anna, axe, picture):
    enter(page)
    secret, codes = set_up_app(page, axe, picture)
    page.locator(".user-menu > summary").click()
    page.get_by_role("button", name="Sign out").click()
    # The code that set the app up is used; what follows must not wait for the next one.
    AuthenticatorApp.objects.update(last_step=0)

    enter(page)
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    axe(page)
    picture("second-step")
    page.get_by_label("Code").fill("000 000")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("Wrong code")).to_be_visible()
    page.get_by_label("Code").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.locator(".user-menu-name")).to_have_text("anna")

    page.locator(".user-menu > summary").click()
    page.get_by_role("button", name="Sign out").click()
    enter(page)
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("9 codes are left")).to_be_visible()


def test_the_second_step_works_without_scripts(browser, live_server, anna, redis_client):
    secret = pyotp.random_base32()
    AuthenticatorApp.objects.create(user=anna, secret_sealed=secrets.seal(secret))
    User.objects.filter(pk=anna.pk).update(second_factor_at=anna.created_at)
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    page = context.new_page()
    enter(page)
    page.get_by_label("Code").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page).to_have_url(re.compile(r"/$"))
    page.goto("/accounts/factors/")
    expect(page.get_by_role("heading", name="Sign-in security")).to_be_visible()
    context.close()
