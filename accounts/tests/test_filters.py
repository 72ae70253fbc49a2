"""Filters of lists that users keep under a name."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from accounts import filters
from accounts.models import SavedFilter
from accounts.models.filters import query_of
from left4me.audit.models import AuditEntry
from left4me.core.web.refusals import Refused
from left4me.testing.buttons import press


def save(user, name: str = "Running", query: str = "state=running", **options):
    return filters.save(user=user, place=options.pop("place", "servers"), name=name, query=query, **options)


def test_a_filter_keeps_the_choices_of_its_list_in_one_order(anna):
    row = save(anna, name=" Running ", query="page=3&state=running&q=a+b&tag=&odd=1")
    assert (row.name, row.query, row.user, row.is_default) == ("Running", "q=a+b&state=running", anna, False)
    entry = AuditEntry.objects.get(action="filter.save")
    assert (entry.user, entry.target, entry.details) == (
        anna,
        f"filter:{row.pk}",
        {"name": "Running", "default": False},
    )
    assert query_of("jobs", "state=failed&host=x&whose=mine") == "whose=mine&state=failed"
    assert query_of("servers", "q=" + "x" * 200) == "q=" + "x" * 100


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"place": "nowhere"}, "place"),
        ({"query": "page=2"}, "query"),
        ({"query": ""}, "query"),
        ({"name": " "}, "name"),
        ({"name": "RUNNING"}, "name"),
        ({"name": 'a"b'}, "name"),
        ({"name": "x" * 65}, "name"),
    ],
    ids=str,
)
def test_a_filter_that_cannot_be_saved_says_where(anna, fields, field):
    save(anna)
    with pytest.raises(ValidationError) as fault:
        save(anna, **{"name": "Other", **fields})
    assert list(fault.value.message_dict) == [field]
    assert SavedFilter.objects.count() == 1


def test_a_name_is_free_in_another_list_and_for_another_user(anna, stan):
    save(anna)
    save(anna, place="jobs", query="state=failed")
    save(stan)
    assert [(each.name, each.place) for each in filters.of(anna, "jobs")] == [("Running", "jobs")]
    assert len(filters.of(anna, "servers")) == len(filters.of(stan, "servers")) == 1


def test_filters_are_listed_by_name_in_any_case(anna):
    for name in ("b", "C", "a"):
        save(anna, name=name)
    assert [each.name for each in filters.of(anna, "servers")] == ["a", "b", "C"]


def test_a_user_has_so_many_filters(anna, stan, monkeypatch):
    monkeypatch.setattr(filters, "MOST", 2)
    save(anna, name="a")
    save(anna, name="b", place="jobs")
    with pytest.raises(Refused, match="already have 2 filters"):
        save(anna, name="c")
    save(stan, name="c")


def test_one_filter_of_a_list_is_its_default(anna, stan):
    first = save(anna, name="a", is_default=True)
    jobs = save(anna, name="a", place="jobs", is_default=True)
    other = save(stan, is_default=True)
    second = save(anna, name="b", query="state=stopped", is_default=True)
    assert list(SavedFilter.objects.filter(is_default=True).order_by("pk")) == [jobs, other, second]
    assert filters.default_query(filters.of(anna, "servers")) == "state=stopped"
    assert filters.default_query([first]) == "state=running"
    filters.change(row=second, by=anna, is_default=False)
    assert filters.default_query(filters.of(anna, "servers")) == ""


def test_a_filter_is_renamed_and_keeps_being_the_default(anna):
    row = save(anna, is_default=True)
    filters.change(row=row, by=anna, name=" On ")
    row.refresh_from_db()
    assert (row.name, row.is_default) == ("On", True)
    filters.change(row=row, by=anna, is_default=False)
    row.refresh_from_db()
    assert (row.name, row.is_default) == ("On", False)
    with pytest.raises(ValidationError):
        filters.change(row=row, by=anna, name="")


def test_what_was_deleted_comes_back(anna):
    row = save(anna, is_default=True)
    kept = filters.delete(row=row, by=anna)
    assert not SavedFilter.objects.exists()
    assert AuditEntry.objects.get(action="filter.delete").details == {"name": "Running"}
    again = filters.save(user=anna, **kept)
    assert (again.place, again.name, again.query, again.is_default) == ("servers", "Running", "state=running", True)


# --- pages ---


def post(client, address: str = "/filters", **fields: str):
    given = {"place": "servers", "name": "Running", "query": "page=3&state=running", **fields}
    return client.post(address, given)


def told(client, answer) -> list[str]:
    return [str(each) for each in client.get(answer["Location"], follow=True).context["messages"]]


def test_saving_leads_back_to_what_was_chosen(anna, anna_client):
    answer = post(anna_client)
    assert answer["Location"] == "/servers?state=running"
    assert told(anna_client, answer) == ["Filter “Running” saved."]
    jobs = post(anna_client, place="jobs", query="state=failed", name="Failures")
    assert jobs["Location"] == "/jobs?state=failed"


@pytest.mark.parametrize(
    ("fields", "address", "why"),
    [
        ({"name": ""}, "/servers?state=running", "Enter a name for the filter."),
        ({"query": "page=2"}, "/servers?all=1", "Choose what to filter by first."),
        ({"place": "nowhere"}, "/?all=1", "There is no such list."),
    ],
    ids=str,
)
def test_a_refusal_leads_back_too(anna_client, fields, address, why):
    answer = post(anna_client, **fields)
    assert answer["Location"] == address
    assert why in told(anna_client, answer)
    assert not SavedFilter.objects.exists()


def test_the_button_that_was_pressed_decides(anna, anna_client):
    row = save(anna)
    address = f"/filters/{row.pk}"

    def stored() -> tuple[str, bool]:
        row.refresh_from_db()
        return row.name, row.is_default

    assert (
        anna_client.post(address, {"operation": "default", "name": "Running"})["Location"] == "/servers?state=running"
    )
    assert stored() == ("Running", True)
    anna_client.post(address, {"operation": "rename", "name": "On"})
    assert stored() == ("On", True)
    anna_client.post(address, {"operation": "ordinary", "name": "On"})
    assert stored() == ("On", False)
    refused = anna_client.post(address, {"operation": "rename", "name": ""})
    assert told(anna_client, refused) == ["Enter a name for the filter."]
    assert stored() == ("On", False)


def test_a_deleted_filter_comes_back_by_the_button_of_its_message(anna, anna_client):
    row = save(anna, is_default=True)
    deleted = anna_client.post(f"/filters/{row.pk}", {"operation": "delete"}, follow=True)
    assert not SavedFilter.objects.exists()
    press(anna_client, deleted, "Undo")
    assert SavedFilter.objects.values_list("name", "query", "is_default").get() == ("Running", "state=running", True)


def test_somebody_else_s_filter_is_not_there(stan, anna_client):
    row = save(stan)
    assert anna_client.post(f"/filters/{row.pk}", {"operation": "delete"}).status_code == 404
    assert SavedFilter.objects.exists()
