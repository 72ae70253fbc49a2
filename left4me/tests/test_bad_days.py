"""What broken input and a broken machine are answered with: words, and never a bare 500."""

from __future__ import annotations

import errno
import sqlite3

import pytest
from django.db import OperationalError
from django.test import Client

from overlays.models import Overlay
from overlays.tests.factories import make_overlay
from servers.actions import blueprints
from servers.tests.factories import make_blueprint

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

TOO_LARGE = 2**63
BAD_JSON = [
    b'{"yaml": "\\ud83d"}',
    b'{"yaml": "\\u0000"}',
    b'{"name": "a", "kind": NaN}',
    b'{"name": "a", "size": Infinity}',
    b"[" * 50_000,
    b'{"a":' * 50_000,
    b'"\xff"',
]


@pytest.fixture
def anna(client: Client, cast) -> Client:
    client.force_login(cast.owner)
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize("body", BAD_JSON, ids=range(len(BAD_JSON)))
def test_json_that_no_database_takes_is_refused_by_the_api_and_by_pages(anna, cast, body):
    overlay = make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)
    for address in ("/api/v1/blueprints/import", "/api/v1/overlays", f"/overlays/{overlay.pk}/uploads"):
        answer = anna.post(address, body, content_type="application/json")
        assert answer.status_code in {400, 422}, address


@pytest.mark.parametrize("number", [TOO_LARGE, -TOO_LARGE - 1, -1])
def test_ids_that_no_row_has_are_refused_wherever_they_stand(anna, cast, number):
    blueprint = make_blueprint(cast.owner)
    body = {"name": "a", "overlays": [number]}
    assert anna.post("/api/v1/blueprints", body, content_type="application/json").status_code == 422
    form = {"name": "a", "overlays": [number], "version": blueprint.version, "arguments": "", "config": ""}
    assert anna.post(f"/blueprints/{blueprint.pk}/edit", form).status_code == 422
    assert anna.post("/blueprints/new", form).status_code == 422


@pytest.mark.parametrize("number", [TOO_LARGE, 10**30, "x"])
def test_jobs_of_a_resource_that_no_row_has_are_none(anna, number):
    for kind in ("server", "overlay"):
        assert anna.get(f"/jobs?resource={kind}:{number}").status_code == 200
        assert anna.get(f"/api/v1/jobs?resource={kind}:{number}").json()["items"] == []


def test_nul_in_an_address_is_refused(anna):
    assert anna.get("/servers/?q=a%00b").status_code == 400
    assert anna.get("/api/v1/overlays?q=%00").status_code == 400


def fail_writes(monkeypatch, fault):
    def fail(*args, **options):
        raise fault

    monkeypatch.setattr(blueprints.record, "write", fail)


def as_django_raises(message):
    fault = OperationalError(message)
    fault.__cause__ = sqlite3.OperationalError(message)
    return fault


OUTAGES = [
    (as_django_raises("database or disk is full"), "The disk of this host is full", "60"),
    (as_django_raises("database is locked"), "The database is busy", "5"),
    (OSError(errno.ENOSPC, "No space left on device", "/x"), "The disk of this host is full", "60"),
    (OSError(errno.EMFILE, "Too many open files"), "too many files", "5"),
]


@pytest.mark.parametrize(("fault", "words", "seconds"), OUTAGES, ids=lambda value: str(value)[:30])
def test_an_outage_is_named_on_pages_and_in_the_api_with_when_to_try_again(anna, monkeypatch, fault, words, seconds):
    fail_writes(monkeypatch, fault)
    given = {"name": "a", "arguments": "", "config": "", "connect_ports": "53"}
    page = anna.post("/blueprints/new", given)
    assert (page.status_code, page.headers["Retry-After"]) == (503, seconds)
    assert words in page.content.decode()
    answer = anna.post("/api/v1/blueprints", {"name": "a"}, content_type="application/json")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, seconds)
    assert words in answer.json()["title"]


def test_a_database_that_is_locked_for_everybody_is_named_too(client, monkeypatch):
    """Before any view: the session and the user cannot be read either."""
    client.raise_request_exception = False

    def fail(*args, **options):
        raise as_django_raises("database is locked")

    monkeypatch.setattr("accounts.sessions.SessionStore.load", fail)
    client.cookies["sessionid"] = "x" * 32
    for address, words in (("/servers", "The database is busy"), ("/api/v1/servers", "The database is busy")):
        answer = client.get(address)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert words in answer.content.decode()


def test_any_other_error_stays_a_fault_of_ours(anna, monkeypatch):
    fail_writes(monkeypatch, OperationalError("no such table: x"))
    assert anna.post("/api/v1/blueprints", {"name": "a"}, content_type="application/json").status_code == 500
