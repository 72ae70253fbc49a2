"""Passkeys, made and used by Chromium's virtual authenticator."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import Passkey, RecoveryCode, Session, User
from left4me.audit.models import AuditEntry

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "correct horse battery"


class Authenticator:
    """The virtual authenticator of a page: a device that verifies its owner, or does not."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = self._session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self._id = {"authenticatorId": made["authenticatorId"]}

    def send(self, command: str, **values: object) -> dict:
        return self._session.send(f"WebAuthn.{command}", {**self._id, **values})

    def credentials(self) -> list[dict]:
        return self.send("getCredentials")["credentials"]


@pytest.fixture
def anna(cast) -> User:
    cast.owner.set_password(PASSWORD)
    cast.owner.save()
    return cast.owner


@pytest.fixture
def site(live_server) -> str:
    """Passkeys belong to a name, and never to an address such as 127.0.0.1."""
    return f"http://localhost:{urlsplit(live_server.url).port}"


@pytest.fixture
def authenticator(page: Page) -> Authenticator:
    return Authenticator(page)


def enter(page: Page, site: str, *, name: str = "anna") -> None:
    page.goto(f"{site}/accounts/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def add_passkey(page: Page, site: str, *, name: str = "Phone") -> None:
    page.goto(f"{site}/accounts/factors/")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Add passkey").click()


def sign_out(page: Page) -> None:
    page.locator(".user-menu > summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def signed_in(page: Page) -> None:
    expect(page.locator(".user-menu-name")).to_have_text("anna")


def sign_in_and_add_passkey(page: Page, site: str) -> None:
    enter(page, site)
    signed_in(page)
    add_passkey(page, site)
    page.get_by_role("link", name="I have saved them").click()


def test_a_passkey_is_made_and_signs_in_without_a_password(page, site, anna, authenticator, axe, picture):
    enter(page, site)
    signed_in(page)
    add_passkey(page, site)
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.get_by_role("link", name="I have saved them").click()
    expect(page.get_by_role("rowheader", name="Phone")).to_be_visible()
    axe(page)
    picture("passkeys")
    sign_out(page)
    axe(page)
    picture("passkey-login")
    page.get_by_role("button", name="Sign in with a passkey").click()
    signed_in(page)
    assert Passkey.objects.get().last_used_at is not None
    entry = AuditEntry.objects.filter(action="session.start").latest("pk")
    assert (entry.user, entry.details) == (anna, {"means": "passkey"})
    assert len(authenticator.credentials()) == 1


def test_a_passkey_is_the_second_step_after_the_password(page, site, anna, authenticator):
    sign_in_and_add_passkey(page, site)
    sign_out(page)
    Session.objects.all().delete()
    enter(page, site)
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    assert not Session.objects.exists()
    page.get_by_role("button", name="Use a passkey").click()
    signed_in(page)


def test_a_passkey_confirms_a_change_of_factors_and_is_removed(page, site, anna, authenticator, axe):
    sign_in_and_add_passkey(page, site)
    expect(page.get_by_text("10 codes are left")).to_be_visible()
    forget_confirmation()
    page.get_by_role("button", name=re.compile("Remove")).click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="Confirm it's you")).to_be_visible()
    axe(page)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Sign-in security")).to_be_visible()
    page.get_by_role("button", name=re.compile("Remove")).click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Passkey “Phone” removed.")).to_be_visible()
    assert not Passkey.objects.exists()
    assert not RecoveryCode.objects.exists()


def forget_confirmation() -> None:
    """As if the sign-in were an hour ago."""
    from accounts.sessions import SessionStore

    for row in Session.objects.filter(user__isnull=False):
        data = SessionStore().decode(row.data)
        data["confirmed_at"] = int((timezone.now() - timedelta(hours=1)).timestamp())
        Session.objects.filter(pk=row.pk).update(data=SessionStore().encode(data))


def test_a_device_that_does_not_verify_its_owner_signs_nobody_in(page, site, anna, authenticator):
    sign_in_and_add_passkey(page, site)
    sign_out(page)
    authenticator.send("setUserVerified", isUserVerified=False)
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_text("The passkey was not used.")).to_be_visible()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_copied_passkey_is_refused(page, site, anna, authenticator):
    sign_in_and_add_passkey(page, site)
    sign_out(page)
    Passkey.objects.update(sign_count=1000)
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_text("may have been copied")).to_be_visible()
    assert AuditEntry.objects.filter(action="session.passkey_refused").exists()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_passkey_that_was_removed_here_is_not_known(page, site, anna, authenticator):
    sign_in_and_add_passkey(page, site)
    sign_out(page)
    Passkey.objects.all().delete()
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_text("This passkey is not known here")).to_be_visible()


def test_a_device_makes_one_passkey_for_an_account(page, site, anna, authenticator):
    sign_in_and_add_passkey(page, site)
    add_passkey(page, site)
    expect(page.get_by_text("has a passkey for this account already")).to_be_visible()
    assert Passkey.objects.count() == 1


def test_where_the_browser_offers_none_the_page_says_why(page, anna, live_server):
    enter(page, live_server.url)
    signed_in(page)
    page.add_init_script("delete window.PublicKeyCredential")
    page.goto("/accounts/factors/")
    expect(page.get_by_text("Your browser offers passkeys only over https")).to_be_visible()
    expect(page.get_by_role("button", name="Add passkey")).to_be_hidden()
