"""The API against its own OpenAPI document, and the page that shows the document."""

import json
import re
import sys
from collections import Counter
from unittest import mock

import ninja
import pytest
import schemathesis
from django.core.exceptions import ValidationError
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.http import HttpRequest
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.tests.factories import make_token
from left4me.api import api
from left4me.core.redis.rate_limit import Limit
from left4me.core.web import refusals
from left4me.wsgi import application

# Routers of all apps are found by themselves; what an operation answers must be what its document says.
schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", application)
OPERATIONS = [found.ok() for found in schema.get_all_operations()]


@pytest.fixture
def _in_one_transaction():
    """As Django's own test client does: a request must not close the connection that the test's rows live in."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def key(cast, monkeypatch, _in_one_transaction):
    monkeypatch.setattr("accounts.api.REQUESTS", Limit("api-schema-test", 10**9, 60))
    return make_token(cast.admin, scope="admin")


def test_no_two_schemas_have_the_same_name():
    """The document names schemas by their classes: the second of a name would silently take the place of the first."""

    def below(schema_class):
        for found in schema_class.__subclasses__():
            yield found
            yield from below(found)

    # Not those that ninja makes for itself while it runs.
    ours = {found for found in below(ninja.Schema) if vars(sys.modules[found.__module__]).get(found.__name__) is found}
    ours = {found for found in ours if not found.__module__.startswith("ninja")}
    named = Counter(found.__name__ for found in ours)
    assert [name for name, count in named.items() if count > 1] == []
    assert len(ours) > 100


# By hand and not by the schema's own parametrize: its cases share one id, of which parallel runs take the first only.
@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.label for operation in OPERATIONS])
def test_an_operation_answers_as_its_document_says(operation, key):
    @given(case=operation.as_strategy())
    @settings(
        max_examples=15,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def answers_as_documented(case):
        answer = case.call(headers={"Authorization": f"Bearer {key}"})
        case.validate_response(
            answer,
            checks=[
                not_a_server_error,
                status_code_conformance,
                content_type_conformance,
                response_schema_conformance,
            ],
        )

    answers_as_documented()


def test_the_documentation_needs_no_script_and_no_other_host(client, db):
    page = client.get(reverse("api:openapi-view"))
    assert page.status_code == 200
    text = page.content.decode()
    assert "/api/v1/me" in text
    assert not re.search(r"<script(?![^>]*\bsrc=\"/static/)", text)
    assert "cdn" not in text


def test_the_documentation_shows_every_operation(client, cast):
    client.force_login(cast.owner)
    text = client.get(reverse("api:openapi-view")).content.decode()
    for path, operations in api.get_openapi_schema()["paths"].items():
        assert path in text
        for operation in operations.values():
            assert f'id="{operation["operationId"]}"' in text


def test_the_document_is_made_once_however_often_it_is_asked_for(client):
    first = client.get(reverse("api:openapi-json"))
    with mock.patch("ninja.main.get_schema", side_effect=AssertionError("made again")):
        assert client.get(reverse("api:openapi-json")).json() == first.json()
        assert client.get(reverse("api:openapi-view")).status_code == 200


def test_a_fault_of_a_form_names_its_fields():
    answer = api.on_exception(HttpRequest(), ValidationError({"name": ["Too long."], "__all__": ["No."]}))
    assert answer.status_code == 422
    assert b'{"field": "name", "message": "Too long."}' in answer.content
    assert b'{"field": "", "message": "No."}' in answer.content


def test_what_nobody_foresaw_is_logged_and_shows_nothing(caplog):
    answer = api.on_exception(HttpRequest(), RuntimeError("the secret is 42"))
    assert answer.status_code == 500
    assert answer["Content-Type"] == "application/problem+json"
    assert b"42" not in answer.content
    assert "the secret is 42" in caplog.text


def test_a_body_larger_than_any_request_needs_is_refused_as_such(client, cast, redis_server):
    client.force_login(cast.owner)
    body = json.dumps({"name": "x" * 3_000_000})
    answer = client.post("/api/v1/blueprints", body, content_type="application/json")
    assert (answer.status_code, answer.json()["title"]) == (413, "Request too large")


class Row:
    version = 4


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (refusals.Refused("Not now."), {"title": "Not possible"}),
        (refusals.Stale("Too late.", current=Row()), {"title": "Changed by someone else", "version": 4}),
        (refusals.InUse("Two use it.", servers=[{"id": 1}]), {"title": "In use", "servers": [{"id": 1}]}),
    ],
    ids=["refused", "stale", "in use"],
)
def test_a_refusal_of_an_action_is_a_409_that_says_why(refusal, expected):
    answer = api.on_exception(HttpRequest(), refusal)
    problem = json.loads(answer.content)
    assert answer.status_code == problem["status"] == 409
    assert problem["detail"] == str(refusal)
    assert expected.items() <= problem.items()


def test_every_schema_has_a_name_of_its_own():
    """Of two with one name, the document describes one for the operations of both."""

    def subclasses(schema):
        for each in schema.__subclasses__():
            yield each
            yield from subclasses(each)

    taken = Counter(each.__name__ for each in set(subclasses(ninja.Schema)))
    del taken["NinjaResponseSchema"]  # the frame of every response, which the document leaves out
    assert not [name for name, count in taken.items() if count > 1]
