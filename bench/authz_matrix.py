"""The matrix of `bench/authz`: every actor, address and method, and the objects of others in paths and bodies."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.test import Client

from accounts.tests.factories import bearer, make_token
from left4me import streams
from left4me.testing.routes import all_routes
from left4me.tests import permission_world
from left4me.tests.permission_bodies import REFERENCES, uncovered
from left4me.tests.permission_table import (
    DJANGO_ADMIN,
    RIGHTS,
    ROLES,
    ROWS,
    SCOPES,
    STREAMS,
    Row,
    body,
    contexts,
    expected_of_token,
    leads_to_another_object,
    outcome,
    said,
    unlisted,
)
from left4me.tests.permission_world import World

# From nothing to everything: whoever gets what stands further right has more.
_LESS_TO_MORE = ("sign in", "404", "405", "403", "yes")


@dataclass(frozen=True)
class Actor:
    role: str
    client: Client
    # Of a token; empty for a session.
    scope: str = ""

    def __str__(self) -> str:
        return f"{self.role}, {f'token {self.scope}' if self.scope else 'session'}"

    def expected(self, row: Row, right: str) -> str:
        if not self.scope:
            return RIGHTS[right][self.role]
        if not row.is_api:
            # Pages know no tokens.
            return RIGHTS[right]["anonymous"]
        return expected_of_token(row, right, self.scope, self.role)


def run(cast: Any, report: Any) -> None:
    logging.disable(logging.CRITICAL)
    world = permission_world.furnish(cast.owner, viewer=cast.viewer, operator=cast.operator)
    other = permission_world.furnish(cast.stranger, viewer=cast.viewer, operator=cast.operator, catalog=world.ids)
    for address in [*unlisted(), *_unlisted_streams()]:
        report.fault(f"{address} is in no table of docs/permissions.md")
    print(f"{len(ROWS)} methods of addresses, by actor:")
    for actor in _actors(cast):
        _ask_for_everything(actor, world, report)
        report.show()
    print("Objects of others below one's own, by actor:")
    for actor in _actors(cast):
        if actor.role == "stranger":
            _cross(actor, other, world, report)
    report.show()
    print(f"Objects of others in bodies and queries, {len(REFERENCES)} fields:")
    for place in uncovered():
        report.fault(f"{place} names an object, and no reference asks with one of others")
    for reference in REFERENCES:
        faults = reference.faults(_session(cast, "stranger"), other, world)
        report.count("stranger", "answered alike" if not faults else "told apart")
        for fault in faults:
            report.fault(fault)
    report.show()
    _ask_django_admin(cast, report)
    logging.disable(logging.NOTSET)


def _session(cast: Any, role: str) -> Client:
    # A fault of the application is an answer to count, not the end.
    client = Client(raise_request_exception=False)
    if role != "anonymous":
        client.force_login(getattr(cast, role))
    return client


def _actors(cast: Any) -> Iterator[Actor]:
    for role in ROLES:
        yield Actor(role, _session(cast, role))
        for scope in SCOPES if role != "anonymous" else ():
            key = make_token(getattr(cast, role), scope=scope)
            yield Actor(role, Client(raise_request_exception=False, headers=bearer(key)), scope)


def _ask(client: Client, row: Row, path: str, world: World) -> Any:
    """The answer; nothing of it stays, not even that the actor signed out."""
    cookies = copy.copy(client.cookies)
    sent = {"data": body(row, world.ids), "content_type": "application/json"} if row.is_api else {}
    with transaction.atomic():
        response = getattr(client, row.method)(path, **({} if row.method == "get" else sent))
        if response.streaming:
            list(response)
        transaction.set_rollback(True)
    client.cookies = cookies
    world.put_back_files()
    return response


def _ask_for_everything(actor: Actor, world: World, report: Any) -> None:
    for row in ROWS:
        # Pages know no tokens, of whichever scope: one is asked with.
        if actor.scope in {"read", "operate"} and not row.is_api:
            continue
        for right, place in contexts(row):
            response = _ask(actor.client, row, world.address(row.pattern, place=place), world)
            got, expected = outcome(response), actor.expected(row, right)
            report.count(str(actor), got)
            if got != expected:
                is_more = got not in _LESS_TO_MORE or _LESS_TO_MORE.index(got) > _LESS_TO_MORE.index(expected)
                word = "more" if is_more else "something else"
                report.fault(f"{actor} gets {word} at {row}: {got} instead of {expected} ({right}, {place})")
            if expected == "404" and got == "404" and "<" in row.pattern:
                _compare_with_missing(actor, row, place, response, world, report)


def _compare_with_missing(actor: Actor, row: Row, place: str, there: Any, world: World, report: Any) -> None:
    name = re.findall(r"<(?:\w+:)?(\w+)>", row.pattern)[0]
    missing = _ask(actor.client, row, world.address(row.pattern, place=place, missing=name), world)
    if (there.status_code, said(there)) != (missing.status_code, said(missing)):
        report.fault(f"{actor} can tell what is there from what is not at {row}")


def _cross(actor: Actor, own: World, other: World, report: Any) -> None:
    """Ask for each thing that belongs to an object of others, by way of an own object."""
    for row in ROWS:
        if not leads_to_another_object(row) or (actor.scope and not row.is_api):
            continue
        response = _ask(actor.client, row, own.address(row.pattern, place="private", other=other), own)
        report.count(str(actor), outcome(response))
        if outcome(response) not in {"404", "403" if actor.scope == "read" else "404"}:
            report.fault(f"{actor} reaches what is somebody else's at {row}: {outcome(response)}")


def _ask_django_admin(cast: Any, report: Any) -> None:
    print("Django's admin:")
    for role in ROLES:
        client = _session(cast, role)
        for route in all_routes():
            if not route.pattern.startswith(DJANGO_ADMIN):
                continue
            response = client.get(route.path())
            is_login = response.status_code == 302 and response["Location"].startswith("/admin/login/")
            got = "sign in" if is_login else outcome(response)
            report.count(role, got)
            if role != "admin" and got == "yes" and route.name not in {"admin:login", "admin:logout"}:
                report.fault(f"{role} gets {route.pattern}")
    report.show()


def _unlisted_streams() -> Iterator[str]:
    patterns = [re.sub(r"\(.*?\)", "<id>", route.pattern) for route in streams.application._routes]
    yield from (pattern for pattern in patterns if pattern not in STREAMS)
