"""Whose address a request has."""

from __future__ import annotations

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from left4me.core.net import addresses


def seen(settings, *, secret: str = "", **headers: str) -> HttpRequest:
    """The request behind the middleware, from the proxy at 127.0.0.1."""
    settings.LEFT4ME_BEHIND_TLS, settings.LEFT4ME_PROXY_SECRET = True, secret
    requests: list[HttpRequest] = []
    middleware = addresses.ForwardedAddress(lambda request: requests.append(request) or HttpResponse())
    middleware(RequestFactory().get("/", headers=headers, REMOTE_ADDR="127.0.0.1"))
    (request,) = requests
    return request


def test_without_a_proxy_nobody_may_write_an_address(settings):
    settings.LEFT4ME_BEHIND_TLS = False
    with pytest.raises(MiddlewareNotUsed):
        addresses.ForwardedAddress(lambda request: HttpResponse())


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("6.6.6.6,203.0.113.7 ", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("203.0.113.7, unknown", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_the_last_address_is_that_of_the_client(settings, forwarded: str, address: str):
    assert seen(settings, x_forwarded_for=forwarded).META["REMOTE_ADDR"] == address


def test_who_does_not_know_the_secret_of_the_proxy_keeps_their_own_address(settings):
    given = {"x_forwarded_for": "203.0.113.7", "x_forwarded_proto": "https"}
    for headers in (given, {**given, "x_left4me_proxy_secret": "wrong"}):
        request = seen(settings, secret="s3cret", **headers)
        assert request.META["REMOTE_ADDR"] == "127.0.0.1"
        assert "HTTP_X_FORWARDED_PROTO" not in request.META
    request = seen(settings, secret="s3cret", **given, x_left4me_proxy_secret="s3cret")
    assert request.META["REMOTE_ADDR"] == "203.0.113.7"
    assert request.META["HTTP_X_FORWARDED_PROTO"] == "https"
    assert "HTTP_X_LEFT4ME_PROXY_SECRET" not in request.META


@pytest.mark.parametrize(
    ("remote", "address"),
    [("203.0.113.7", "203.0.113.7"), ("::ffff:203.0.113.7", "203.0.113.7"), ("", ""), ("unix:", "")],
)
def test_a_client_s_address_is_plain(remote: str, address: str):
    assert addresses.client_address(RequestFactory().get("/", REMOTE_ADDR=remote)) == address


def test_a_request_without_an_address_has_none():
    assert addresses.client_address(HttpRequest()) == ""


@pytest.mark.parametrize(
    ("address", "network"),
    [("203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("", "")],
)
def test_a_client_of_ipv6_is_its_network(address: str, network: str):
    assert addresses.network(address) == network
