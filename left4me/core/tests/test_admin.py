"""The bases of Django's admin: rows are written by actions, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from django import forms
from django.contrib.admin import AdminSite
from django.contrib.auth.models import Group
from django.contrib.messages import get_messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest
from django.test import RequestFactory

from left4me.core.web import admin
from left4me.core.web.refusals import Refused

pytestmark = pytest.mark.django_db


class GroupForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Group
        fields = ("name",)


class GroupAdmin(admin.ActionAdmin):
    """Raises what stands in `fault`."""

    form = GroupForm
    fault: Exception | None = None

    def __init__(self) -> None:
        super().__init__(Group, AdminSite())
        self.calls: list[tuple[str, Any]] = []

    def _note(self, what: str, given: Any) -> None:
        if self.fault is not None:
            raise self.fault
        self.calls.append((what, given))

    def create(self, *, values: dict[str, Any], request: HttpRequest) -> Model:
        self._note("create", values["name"])
        return Group.objects.create(name=values["name"])

    def update(self, *, row: Any, values: dict[str, Any], request: HttpRequest) -> Model:
        self._note("update", (row.pk, values["name"]))
        return row

    def delete(self, *, row: Any, request: HttpRequest) -> None:
        self._note("delete", row.pk)


@pytest.fixture
def request_(rf: RequestFactory, cast) -> HttpRequest:
    request = rf.post("/")
    request.user, request.session = cast.admin, {}
    request._messages = FallbackStorage(request)
    return request


def test_rows_that_only_the_application_writes_are_only_shown(request_: HttpRequest):
    site = admin.ReadOnlyAdmin(Group, AdminSite())
    may = [site.has_add_permission, site.has_change_permission, site.has_delete_permission]
    assert [ask(request_) for ask in may] == [False] * 3
    assert not site.show_full_result_count


def sent(site: GroupAdmin, request: HttpRequest, row: Group | None = None, **data: Any) -> Any:
    return site.get_form(request, row)(data, instance=row)


def test_a_form_runs_the_action_once_it_is_valid(request_: HttpRequest):
    site = GroupAdmin()
    assert not sent(site, request_, name="").is_valid()
    assert site.calls == []
    form = sent(site, request_, name="a")
    assert form.is_valid()
    assert site.save_form(request_, form, change=False) == Group.objects.get(name="a")
    row = Group.objects.get()
    assert sent(site, request_, row, name="b").is_valid()
    assert site.calls == [("create", "a"), ("update", (row.pk, "b"))]


@pytest.mark.parametrize(
    ("fault", "errors"),
    [
        (ValidationError({"name": "Taken."}), {"name": ["Taken."]}),
        (ValidationError({"port": "Taken."}), {"__all__": ["Taken."]}),
        (Refused("The host is away."), {"__all__": ["The host is away."]}),
    ],
)
def test_a_form_shows_why_its_action_was_refused(request_: HttpRequest, fault: Exception, errors: dict[str, Any]):
    site = GroupAdmin()
    site.fault = fault
    form = sent(site, request_, name="a")
    assert not form.is_valid()
    assert form.errors == errors


def test_a_form_gets_what_its_admin_gives_it_and_has_its_fields(request_: HttpRequest, monkeypatch):
    site = GroupAdmin()
    assert site.get_fields(request_) == ["name"]
    monkeypatch.setattr(site, "form_arguments", lambda request, obj: {"prefix": "x"})
    assert sent(site, request_, **{"x-name": "a"}).is_valid()


def test_nothing_is_saved_beside_the_action(request_: HttpRequest):
    site, row = GroupAdmin(), Group(name="unsaved")
    site.save_model(request_, row, None, change=False)
    site.save_related(request_, None, [], change=False)
    assert not Group.objects.exists()


def test_a_row_is_deleted_by_its_action_and_a_list_of_what_depends_on_it_is_not_made(request_: HttpRequest):
    site = GroupAdmin()
    row = Group.objects.create(name="a")
    site.delete_model(request_, row)
    assert site.calls == [("delete", row.pk)]
    assert site.get_deleted_objects([row], request_) == (["a"], {"groups": 1}, set(), [])
    assert site.actions is None


def test_a_deletion_that_is_refused_says_why_on_the_page_of_the_row(request_: HttpRequest, monkeypatch):
    def refuse(*args: object) -> None:
        raise Refused("In use.")

    monkeypatch.setattr(admin.admin.ModelAdmin, "delete_view", refuse)
    monkeypatch.setattr(admin, "reverse", lambda page, args: f"/{page}/{args[0]}")
    answer = GroupAdmin().delete_view(request_, "7")
    assert answer.url == "/admin:auth_group_change/7"
    assert [(each.level_tag, each.message) for each in get_messages(request_)] == [("error", "In use.")]
