"""What views ask about a request, and what its JSON may say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.test import RequestFactory

from left4me.core.web import request as requests


@pytest.mark.parametrize(
    ("is_active", "is_admin", "expected"),
    [(True, True, True), (False, True, False), (True, False, False), (False, False, False)],
)
def test_an_admin_is_an_active_user(is_active: bool, is_admin: bool, expected: bool):
    assert requests.is_admin(SimpleNamespace(is_active=is_active, is_admin=is_admin)) is expected


def test_nobody_is_no_admin():
    assert not requests.is_admin(AnonymousUser())


def test_who_is_not_signed_in_is_refused(rf: RequestFactory):
    request = rf.get("/")
    request.user = AnonymousUser()
    with pytest.raises(PermissionDenied, match="Sign in first"):
        requests.current_user(request)
    request.user = SimpleNamespace(is_authenticated=True)
    assert requests.current_user(request) is request.user


@pytest.mark.parametrize(
    ("method", "referrer", "before"),
    [
        ("post", "http://testserver/servers/1?page=2", "/servers/1?page=2"),
        ("post", "http://testserver/here", "/here"),
        ("get", "http://testserver/here", ""),
        ("get", "http://testserver/here?x=1", "/here?x=1"),
        ("get", "http://testserver/there", "/there"),
        ("get", "http://evil.example/there", ""),
        ("get", "http://testserver//evil.example/", ""),
        ("get", "http://testserver", ""),
        ("get", "", ""),
    ],
)
def test_the_page_before_is_one_of_this_site(rf: RequestFactory, method: str, referrer: str, before: str):
    request = getattr(rf, method)("/here", headers={"referer": referrer})
    assert requests.page_before(request) == before
    assert requests.previous_page(request) == (before or "/")


def test_a_request_for_another_site_has_no_page_before(rf: RequestFactory, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    request = rf.get("/", headers={"referer": "http://evil.example/x", "host": "evil.example"})
    assert requests.page_before(request) == ""


@pytest.mark.parametrize(
    ("is_htmx", "boosted", "restores", "expected"),
    [(True, False, False, True), (True, True, False, False), (True, False, True, False), (False, False, False, False)],
)
def test_a_part_of_a_page_is_asked_for_by_htmx(is_htmx: bool, boosted: bool, restores: bool, expected: bool):
    class Details:
        def __init__(self) -> None:
            self.boosted, self.history_restore_request = boosted, restores

        def __bool__(self) -> bool:
            return is_htmx

    assert requests.is_fragment(SimpleNamespace(htmx=Details())) is expected


@pytest.mark.parametrize("text", ['{"a": ["x", {"b": null}], "c": 1.5}', '"x"', "[[]]", "7", '{"ü": "日本"}'])
def test_json_is_read(text: str):
    assert requests.read_json(text.encode()) is not None or text == "null"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "NaN",
        '{"a": Infinity}',
        "[-Infinity]",
        '"\\u0000"',
        '{"\\u0000": 1}',
        '["a", {"b": ["\\ud83d"]}]',
        '{"a": {"\\ud83d": 1}}',
        "[" * 100_000,
    ],
)
def test_json_that_cannot_be_stored_is_refused(text: str):
    with pytest.raises(ValueError):
        requests.read_json(text.encode())
