"""Who may see and operate a job, by the standing to its resource, by who requested it, and by what the user is."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.http import Http404

from left4me.core.web.sse import signals
from left4me.jobs import operations, permissions, resources
from left4me.jobs.models import Job
from left4me.jobs.resources import GONE, Label, Standing

LABEL = Label("Friday", "/servers/1")


def person(pk: int = 1, *, is_admin: bool = False, is_active: bool = True) -> Any:
    return SimpleNamespace(pk=pk, is_admin=is_admin, is_active=is_active)


@pytest.fixture
def stands(monkeypatch) -> Any:
    """Set how every user, who is no admin, stands to servers."""
    monkeypatch.setattr(resources, "_kinds", {})

    def stand(standing: Standing) -> None:
        resources.register("server", can_see=lambda *_: standing.may_see, stand=lambda *_: standing)

    return stand


def job(operation: str = "test-start", resource: str = "server:1", user_id: int | None = 9) -> Job:
    return Job(operation=operation, resource=resource, user_id=user_id)


def rights(user: Any, of: Job) -> tuple[bool, bool]:
    found = permissions.of(user, of)
    assert permissions.can_see(user, of) is found.can_see
    assert permissions.can_operate(user, of) is found.can_operate
    for check, may in (
        (permissions.check_can_see, found.can_see),
        (permissions.check_can_operate, found.can_operate),
    ):
        if may:
            check(user, of)
        else:
            with pytest.raises(Http404):
                check(user, of)
    return found.can_see, found.can_operate


@pytest.mark.parametrize(("may_see", "may_operate", "may_change"), list(product([False, True], repeat=3)))
def test_the_app_of_a_resource_decides_while_it_is_there(stands, monkeypatch, may_see, may_operate, may_change):
    changing = operations.Operation(
        **{**vars(operations.get("test-start")), "name": "test-change", "needs_change": True}
    )
    monkeypatch.setitem(operations._operations, "test-change", changing)
    stands(Standing(LABEL, may_see=may_see, may_operate=may_operate, may_change=may_change))
    for user in (person(1), person(9)):
        assert rights(user, job()) == (may_see, may_operate), "who requested it does not count"
        assert rights(user, job("test-change")) == (may_see, may_change)
        assert rights(user, job("of-another-release")) == (may_see, may_change), "as careful as can be"
    assert rights(person(is_admin=True), job()) == (True, True)
    assert rights(person(is_admin=True, is_active=False), job()) == (False, False)
    assert rights(person(is_active=False), job()) == (False, False)
    assert permissions.of(person(), job()).label == LABEL


def test_who_requested_a_job_counts_once_its_resource_is_gone(stands):
    stands(GONE)
    assert rights(person(9), job()) == (True, True)
    assert rights(person(1), job()) == (False, False)
    assert rights(person(9, is_active=False), job()) == (False, False)
    assert rights(person(1), job(user_id=None)) == (False, False)


def test_jobs_on_what_belongs_to_a_host_are_operated_by_admins_only(stands):
    assert rights(person(9), job(resource="game")) == (True, False)
    assert rights(person(1), job(resource="game")) == (False, False)
    assert rights(person(1, is_admin=True), job(resource="game")) == (True, True)


def test_those_who_see_a_resource_hear_of_its_jobs_and_else_who_requested_them(ask, anna, monkeypatch):
    monkeypatch.setattr(signals, "_audiences", {"server": lambda ids: {each: {7, 8} for each in ids if each == 1}})
    seen, gone, of_host, of_system = (
        ask("test-start", "server:1", by=anna),
        ask("test-start", "server:2", by=anna),
        ask("test-install", "game", by=anna),
        ask("test-start", "server:3"),
    )
    ids = [each.pk for each in (seen, gone, of_host, of_system)]
    assert permissions.audience([*ids, 10**9]) == dict(zip(ids, [{7, 8}, {anna.pk}, {anna.pk}, set()], strict=True))


# --- kinds of resources ---


@pytest.fixture
def kinds(monkeypatch) -> dict[str, Any]:
    monkeypatch.setattr(resources, "_kinds", {})
    return resources._kinds


def test_rules_that_are_not_given_are_the_ones_before_them(kinds):
    resources.register("a", can_see=lambda user, number: user == "anna")
    assert resources.standing("anna", "a:1") == Standing(None, True, True, True)
    assert resources.standing("stan", "a:1") == Standing(None, False, False, False)
    resources.register("a", can_see=lambda *_: True, can_operate=lambda *_: False, labels=lambda _: {"1": LABEL})
    assert resources.standing("anna", "a:1") == Standing(LABEL, True, False, False)
    assert resources.standing("anna", "a:2") == Standing(None, True, False, False)
    resources.register("a", can_see=lambda *_: False, can_operate=lambda *_: False, can_change=lambda *_: True)
    assert resources.standing("anna", "a:1") == Standing(None, False, False, True)
    assert resources.standing("anna", "b:1") is None
    assert not resources.may_see("anna", "b:1")
    assert not resources.may_see("anna", "a:1")


def test_what_a_kind_does_not_say_is_nothing(kinds):
    resources.register("a", can_see=lambda *_: True)
    assert resources.labels(["a:1", "b:2"]) == {}
    assert resources.owners("a:1") == resources.owners("b:1") == set()
    assert resources.mend(person(), "a:1") is None is resources.mend(person(), "b:1")
    resources.before_retry("a:1", "start")
    resources.before_retry("b:1", "start")
    assert resources.hidden(person()) == []


def test_what_a_kind_says_gets_the_number(kinds):
    calls: list[Any] = []
    resources.register(
        "a",
        can_see=lambda *_: True,
        labels=lambda numbers: {number: Label(number, "/") for number in numbers if number != "9"},
        owners=lambda number: [int(number), 7, 7],
        mend=lambda user, number: calls.append(number) or "cure",
        before_retry=lambda number, operation: calls.append((number, operation)),
        hidden=lambda user: "rows",
    )
    assert resources.labels(["a:1", "a:1", "a:9", "game"]) == {"a:1": Label("1", "/")}
    assert resources.owners("a:3") == {3, 7}
    assert resources.mend(person(), "a:3") == "cure"
    resources.before_retry("a:4", "start")
    assert calls == ["3", ("4", "start")]
    assert resources.hidden(person()) == ["rows"]
    assert resources.hidden(person(is_admin=True)) == []


def test_labels_are_asked_for_once_a_kind(kinds):
    asked: list[Any] = []
    resources.register("a", can_see=lambda *_: True, labels=lambda numbers: asked.append(sorted(numbers)) or {})
    resources.labels(["a:2", "a:1", "b:1"])
    assert asked == [["1", "2"]]


@pytest.mark.django_db
@pytest.mark.parametrize(("changes", "expected"), [(None, (True, False, False)), (True, (True, False, True))])
def test_rows_are_judged_by_their_rules_and_known_by_their_names(kinds, monkeypatch, changes, expected):
    monkeypatch.setattr(Group, "get_absolute_url", lambda row: f"/rows/{row.name}", raising=False)
    row = Group.objects.create(name="Friday")
    rules = {"can_see": lambda user, row: row.name == "Friday", "can_operate": lambda user, row: False}
    if changes is not None:
        rules["can_change"] = lambda user, row: changes
    resources.register_rows("row", Group, **rules)
    label, there, gone = Label("Friday", "/rows/Friday"), f"row:{row.pk}", f"row:{row.pk + 1}"
    assert resources.standing(person(), there) == Standing(label, *expected)
    assert resources.standing(person(), gone) == GONE
    assert resources.may_see(person(), there) and not resources.may_see(person(), gone)
    assert resources.labels([there, gone]) == {there: label}
