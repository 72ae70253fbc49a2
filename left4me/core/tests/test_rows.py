"""Rows that others change meanwhile: validated, named, inserted and deleted many at a time."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models.query import QuerySet
from django.test.utils import CaptureQueriesContext

from left4me.core import names, rows

pytestmark = pytest.mark.django_db


def test_a_row_is_read_again_or_is_gone():
    group = Group.objects.create(name="a")
    Group.objects.update(name="b")
    assert rows.still_there(Group.objects.all(), group).name == "b"
    Group.objects.all().delete()
    with pytest.raises(rows.Gone):
        rows.still_there(Group.objects.all(), group)


def test_a_user_s_row_is_locked_while_rows_of_that_user_are_added(cast):
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        rows.take_turns(cast.owner.pk)
    (query,) = [each["sql"] for each in queries if "SELECT" in each["sql"]]
    assert "FOR NO KEY UPDATE" in query or connection.vendor == "sqlite"
    assert f"= {cast.owner.pk}" in query


def test_a_row_that_is_valid_is_saved():
    rows.save_clean(Group(name="a"))
    assert Group.objects.get().name == "a"


def test_a_name_that_is_taken_is_a_fault_of_its_field():
    Group.objects.create(name="a")
    with pytest.raises(ValidationError) as fault:
        rows.save_clean(Group(name="a"))
    assert list(fault.value.error_dict) == ["name"]


def test_a_name_that_is_taken_between_check_and_save_is_the_same_fault(monkeypatch):
    full_clean = Group.full_clean

    def see_nothing_once(group: Group) -> None:
        monkeypatch.setattr(Group, "full_clean", full_clean)

    Group.objects.create(name="a")
    monkeypatch.setattr(Group, "full_clean", see_nothing_once)
    with pytest.raises(ValidationError) as fault:
        rows.save_clean(Group(name="a"))
    assert list(fault.value.error_dict) == ["name"]
    assert Group.objects.count() == 1


def test_a_fault_of_the_database_that_no_validation_explains_is_raised(monkeypatch):
    def fail(group: Group) -> None:
        raise IntegrityError("odd")

    monkeypatch.setattr(Group, "save", fail)
    with pytest.raises(IntegrityError, match="odd"):
        rows.save_clean(Group(name="a"))


def test_a_broken_constraint_is_shown_where_its_code_belongs():
    def full_clean() -> None:
        raise ValidationError(
            {
                NON_FIELD_ERRORS: [
                    ValidationError("The port is taken.", code="port_taken"),
                    ValidationError("No.", code="other"),
                ],
                "name": [ValidationError("Too long.", code="port_taken")],
            }
        )

    row = SimpleNamespace(full_clean=full_clean)
    with pytest.raises(ValidationError) as fault:
        rows.clean(row, places={"port_taken": "port"})
    assert fault.value.message_dict == {
        "port": ["The port is taken."],
        NON_FIELD_ERRORS: ["No."],
        "name": ["Too long."],
    }
    with pytest.raises(ValidationError) as fault:
        rows.clean(row)
    assert set(fault.value.message_dict) == {NON_FIELD_ERRORS, "name"}


def test_a_name_is_numbered_until_it_is_free():
    assert rows.free_name(Group.objects.all(), "Maps") == "Maps"
    for name in ("maps", "MAPS (2)"):
        Group.objects.create(name=name)
    assert rows.free_name(Group.objects.all(), "Maps") == "Maps (3)"


def test_a_long_name_keeps_room_for_its_number():
    long = "x" * 100
    Group.objects.create(name="x" * names.LONGEST)
    found = rows.free_name(Group.objects.all(), long)
    assert found == "x" * (names.LONGEST - 4) + " (2)"


def test_thousands_of_rows_are_inserted_in_steps_and_keep_their_order():
    with CaptureQueriesContext(connection) as queries:
        keys = rows.insert(Group, ["name"], [[f"group {number}"] for number in range(1_001)])
    assert [query["sql"].startswith("INSERT") for query in queries] == [True] * 3
    found = dict(Group.objects.values_list("pk", "name"))
    assert [found[key] for key in keys] == [f"group {number}" for number in range(1_001)]
    assert rows.insert(Group, ["name"], []) == []


def test_rows_are_deleted_some_at_a_time(monkeypatch):
    rows.insert(Group, ["name"], [[str(number)] for number in range(7)])
    kept = Group.objects.create(name="kept")
    steps: list[int] = []
    delete = QuerySet.delete

    def delete_and_note(these: QuerySet[Group]) -> tuple[int, dict[str, int]]:
        done = delete(these)
        steps.append(done[0])
        return done

    monkeypatch.setattr(QuerySet, "delete", delete_and_note)
    assert rows.delete_in_steps(Group.objects.exclude(pk=kept.pk), at_once=3) == 7
    assert steps == [3, 3, 1]
    assert rows.delete_in_steps(Group.objects.exclude(pk=kept.pk)) == 0
    assert list(Group.objects.all()) == [kept]


def test_a_text_is_made_storable():
    assert rows.storable("a\0bc", 3) == "a\N{REPLACEMENT CHARACTER}b"
