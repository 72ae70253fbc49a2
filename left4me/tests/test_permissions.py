"""Every address, asked by everybody: what docs/permissions.md says is what happens, and it says all."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from accounts.tests.factories import bearer, make_token
from left4me.testing.cast import Cast
from left4me.tests import permission_world
from left4me.tests.permission_bodies import REFERENCES, Reference, uncovered
from left4me.tests.permission_table import (
    METHODS,
    OF_TOKENS,
    RIGHTS,
    ROLES,
    ROWS,
    SCOPES,
    Row,
    body,
    contexts,
    expected_of_token,
    leads_to_another_object,
    outcome,
    overlay_kind,
    plain,
    routes,
    said,
    unlisted,
)
from left4me.tests.permission_world import World

NAMES = sorted({row.right for row in ROWS})


@pytest.fixture
def world(cast: Cast, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_client: object) -> World:
    settings.LEFT4ME_ROOT = tmp_path
    settings.LEFT4ME_SIGNUP = "open"
    # Nothing answers there: what asks Steam must be allowed to, not to succeed.
    settings.LEFT4ME_STEAM_API_URL = "http://127.0.0.1:9"
    monkeypatch.setattr("workshop.steam._BACK_OFF_SECONDS", ())
    return permission_world.furnish(cast.owner, viewer=cast.viewer, operator=cast.operator)


@pytest.fixture
def other_world(world: World, cast: Cast) -> World:
    """What the stranger has."""
    return permission_world.furnish(cast.stranger, viewer=cast.viewer, operator=cast.operator, catalog=world.ids)


def signed_in(cast: Cast, role: str) -> Client:
    client = Client()
    if role != "anonymous":
        client.force_login(getattr(cast, role))
    return client


def answer(client: Client, row: Row, path: str, world: World) -> str:
    """What the client gets, in the document's words; nothing of it stays, not even that it signed out."""
    cookies = copy.copy(client.cookies)
    sent = {"data": body(row, world.ids), "content_type": "application/json"} if row.is_api else {}
    with transaction.atomic():
        response = getattr(client, row.method)(path, **({} if row.method == "get" else sent))
        transaction.set_rollback(True)
    client.cookies = cookies
    world.put_back_files()
    return outcome(response)


def rows_of(right: str) -> Iterator[tuple[Row, str, str]]:
    """Each row that names the right, with its right and the place of its overlay."""
    for row in ROWS:
        if row.right == right:
            yield from ((row, *context) for context in contexts(row))


def test_every_address_stands_in_the_document() -> None:
    assert not unlisted(), "Add these to docs/permissions.md, with the right that each needs."


def test_the_document_names_only_what_there_is() -> None:
    assert {plain(row.pattern) for row in ROWS} <= {plain(route.pattern) for route in routes()}
    assert {row.right for row in ROWS} <= {name.partition(": ")[0] for name in RIGHTS}
    assert set(RIGHTS) == set(OF_TOKENS)


@pytest.mark.parametrize("right", NAMES)
def test_everybody_gets_what_the_document_says(cast: Cast, world: World, right: str) -> None:
    wrong = []
    for role in ROLES:
        client = signed_in(cast, role)
        for row, full_right, place in rows_of(right):
            got = answer(client, row, world.address(row.pattern, place=place), world)
            if got != RIGHTS[full_right][role]:
                wrong.append(f"{row} for {role}, {full_right}: {got} instead of {RIGHTS[full_right][role]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("right", NAMES)
def test_a_stranger_cannot_tell_what_is_there_from_what_is_not(cast: Cast, world: World, right: str) -> None:
    client = signed_in(cast, "stranger")
    for row, full_right, place in rows_of(right):
        if RIGHTS[full_right]["stranger"] != "404" or "<" not in row.pattern:
            continue
        first = re.findall(r"<(?:\w+:)?(\w+)>", row.pattern)[0]
        paths = [world.address(row.pattern, place=place, missing=missing) for missing in ("", first)]
        there, missing = (client.generic(row.method.upper(), path) for path in paths)
        assert (there.status_code, said(there)) == (missing.status_code, said(missing)), str(row)


@pytest.mark.parametrize("right", NAMES)
def test_a_token_gives_no_more_than_its_scope(cast: Cast, world: World, right: str) -> None:
    """Those of an admin, of each scope, and one of an owner that only reads. `bench/authz` asks with all."""
    wrong = []
    for role, scope in (*(("admin", scope) for scope in SCOPES), ("owner", "read")):
        client = Client(headers=bearer(make_token(getattr(cast, role), scope=scope)))
        for row, full_right, place in rows_of(right):
            if not row.is_api:
                continue
            expected = expected_of_token(row, full_right, scope, role)
            got = answer(client, row, world.address(row.pattern, place=place), world)
            if got != expected:
                wrong.append(f"{row} for {role} with {scope}, {full_right}: {got} instead of {expected}")
    assert not wrong, "\n".join(wrong)


def test_a_method_that_the_document_does_not_name_is_not_allowed(cast: Cast, world: World) -> None:
    client = signed_in(cast, "admin")
    wrong = []
    # The root of the API is no page.
    for pattern in sorted({route.pattern for route in routes()} - {"/api/v1/"}):
        named = {row.method for row in ROWS if plain(row.pattern) == plain(pattern)}
        path = world.address(pattern, place="catalog" if overlay_kind(pattern) == "_script" else "private")
        for method in sorted(set(METHODS) - named):
            if (got := getattr(client, method)(path).status_code) != 405:
                wrong.append(f"{method} {path}: {got}")
    assert not wrong, "\n".join(wrong)


def test_what_belongs_to_an_object_of_others_is_not_reached_by_way_of_an_own_one(
    cast: Cast, world: World, other_world: World
) -> None:
    client = signed_in(cast, "stranger")
    wrong = []
    for row in ROWS:
        if not leads_to_another_object(row):
            continue
        path = other_world.address(row.pattern, place="private", other=world)
        if (got := answer(client, row, path, other_world)) != "404":
            wrong.append(f"{row}: {got}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("reference", REFERENCES, ids=str)
def test_a_body_that_names_an_object_of_others_is_answered_as_if_it_were_not_there(
    reference: Reference, cast: Cast, world: World, other_world: World
) -> None:
    assert not reference.faults(signed_in(cast, "stranger"), other_world, world)


def test_every_field_of_the_api_that_names_an_object_is_asked_with_one_of_others() -> None:
    assert not uncovered(), "Add these to permission_bodies.REFERENCES, or to the open ones with the reason."
