"""The language of pages: the browser's, a choice kept in a cookie, and the one stored with the account."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

pytestmark = pytest.mark.django_db

COOKIE = settings.LANGUAGE_COOKIE_NAME
LOGIN = "/accounts/login/"


def choose(client: Client, code: str):
    return client.post("/accounts/language/", {"language": code}, headers={"referer": f"http://testserver{LOGIN}"})


@pytest.mark.parametrize(
    ("accepted", "language", "word"),
    [
        ("de-AT,de;q=0.9", "de", "Anmelden"),
        ("zh-CN", "zh-hans", "登录"),
        ("fr", "en", "Sign in"),
        ("", "en", "Sign in"),
    ],
)
def test_a_page_is_in_the_language_that_the_browser_asks_for(client, accepted, language, word):
    page = client.get(LOGIN, headers={"accept-language": accepted}).content.decode()
    assert f'<html lang="{language}"' in page
    assert word in page


def test_a_choice_on_the_sign_in_page_overrides_the_browser_and_leads_back(client):
    assert choose(client, "de")["Location"] == LOGIN
    page = client.get(LOGIN, headers={"accept-language": "en"}).content.decode()
    assert "Passwort" in page
    assert 'value="de"\n            lang="de"\n            aria-pressed="true"' in page


@pytest.mark.parametrize("code", ["", "tlh", "../etc"])
def test_anything_else_leaves_the_language_to_the_browser_again(client, code):
    choose(client, "de")
    choose(client, code)
    assert not client.cookies[COOKIE].value
    assert "Passwort" not in client.get(LOGIN, headers={"accept-language": "en"}).content.decode()


def test_the_choice_of_a_signed_in_user_follows_to_another_browser(client, cast):
    cast.owner.set_password("correct horse battery")
    cast.owner.save()
    client.force_login(cast.owner)
    choose(client, "de")
    elsewhere = Client()
    elsewhere.post(LOGIN, {"username": cast.owner.username, "password": "correct horse battery"})
    assert '<html lang="de"' in elsewhere.get("/accounts/").content.decode()


def test_signing_in_keeps_the_language_that_was_chosen_on_the_page(client, cast):
    cast.owner.set_password("correct horse battery")
    cast.owner.save()
    choose(client, "de")
    client.post(LOGIN, {"username": cast.owner.username, "password": "correct horse battery"})
    assert client.cookies[COOKIE].value == "de"
