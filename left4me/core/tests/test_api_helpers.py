"""What the routers of the API share: problems, windows of lists, scopes of tokens."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ninja import Schema
from pydantic import ValidationError

from left4me.core.web import api
from left4me.core.web.api import Body, Problem, Window


def test_a_problem_is_a_document_with_the_headers_of_its_status():
    answer = api.problem_response(Problem(429, "Too many", "Wait.", retry_after=7, limit=3))
    assert (answer.status_code, answer["Content-Type"]) == (429, "application/problem+json")
    assert json.loads(answer.content) == {
        "type": "about:blank",
        "title": "Too many",
        "status": 429,
        "detail": "Wait.",
        "retry_after": 7,
        "limit": 3,
    }
    assert answer["Retry-After"] == "7"
    assert "WWW-Authenticate" not in answer


def test_who_is_not_signed_in_is_told_how():
    answer = api.problem_response(Problem(401, "Authentication required"))
    assert answer["WWW-Authenticate"] == 'Bearer realm="left4me"'
    assert "Retry-After" not in answer
    assert "WWW-Authenticate" not in api.problem_response(Problem(402, "x"))
    assert "WWW-Authenticate" not in api.problem_response(Problem(400, "x"))


def test_a_misspelt_field_is_an_error():
    class Rename(Body):
        name: str

    assert Rename(name="a").name == "a"
    with pytest.raises(ValidationError):
        Rename(name="a", nmae="b")


@pytest.mark.parametrize(
    ("given", "is_valid"),
    [
        ({}, True),
        ({"limit": 1}, True),
        ({"limit": 0}, False),
        ({"limit": 500}, True),
        ({"limit": 501}, False),
        ({"offset": 0}, True),
        ({"offset": -1}, False),
        ({"offset": 10_000_000}, True),
        ({"offset": 10_000_001}, False),
    ],
)
def test_a_window_of_a_list_has_bounds(given: dict[str, int], is_valid: bool):
    if is_valid:
        assert Window(**given)
        return
    with pytest.raises(ValidationError):
        Window(**given)


class Numbers:
    def count(self) -> int:
        return 100

    def __getitem__(self, part: slice) -> list[int]:
        return list(range(100))[part]


def test_a_list_is_one_window_of_its_rows_and_their_number():
    assert api.listed(Numbers(), Window(limit=3, offset=5)) == {"items": [5, 6, 7], "count": 100}
    assert api.listed(Numbers(), Window())["items"] == list(range(50))


def test_the_schema_of_a_list_has_its_items():
    class Item(Schema):
        name: str

    page = api.page_of(Item, "ItemsOut")
    assert page.__name__ == "ItemsOut"
    assert page(items=[{"name": "a"}], count=1).model_dump() == {"items": [{"name": "a"}], "count": 1}
    with pytest.raises(ValidationError):
        page(count=1)
    with pytest.raises(ValidationError):
        page(items=[])


def test_a_patch_changes_what_it_names():
    class Change(Body):
        name: str | None = None
        port: int | None = None
        version: int = 0

    given = Change(name="a", version=3)
    assert api.changed_fields(given) == {"name": "a", "version": 3}
    assert api.changed_fields(given, besides={"version"}) == {"name": "a"}


@pytest.mark.parametrize(
    ("granted", "allowed"),
    [("read", ["read"]), ("operate", ["read", "operate"]), ("admin", ["read", "operate", "admin"])],
)
def test_a_token_reaches_up_to_its_scope(granted: str, allowed: list[str]):
    request = SimpleNamespace(token_scope=granted)
    found = []
    for scope in api.SCOPES:
        try:
            api.require_scope(request, scope)
            found.append(scope)
        except Problem as problem:
            assert problem.status == 403
            assert f"“{granted}”" in problem.detail and f"“{scope}”" in problem.detail
    assert found == allowed


def test_a_session_has_all_rights_of_its_user():
    api.require_scope(SimpleNamespace(), "admin")


def test_what_validates_a_schema_is_made_when_it_is_first_used():
    class Rare(Schema):
        name: str

    assert not Rare.__pydantic_complete__
    assert Rare(name="a").name == "a"
    assert Rare.__pydantic_complete__
