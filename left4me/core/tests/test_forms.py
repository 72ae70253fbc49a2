"""What a form answers when its action is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django import forms as django_forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from left4me.core.web import forms
from left4me.core.web.refusals import Cure, Refused, Stale


class _Form(django_forms.Form):
    name = django_forms.CharField()


def _form(text: str = "name=Friday&version=1") -> _Form:
    return _Form(QueryDict(text))


def _raising(fault: Exception):
    def act():
        raise fault

    return act


def test_an_action_that_is_done_returns_its_row():
    assert forms.submit(_form(), lambda: "row") == ("row", 200)


@pytest.mark.parametrize(("form", "status"), [(_form("name="), 422), (_Form(), 200)], ids=["wrong", "not yet sent"])
def test_the_action_of_a_form_that_is_wrong_or_was_not_sent_is_not_run(form, status):
    assert forms.submit(form, _raising(AssertionError("was run"))) == (None, status)


@pytest.mark.parametrize(
    ("fault", "status", "errors"),
    [
        (Refused("The host is away."), 422, {"__all__": ["The host is away."]}),
        (ValidationError("Too many."), 422, {"__all__": ["Too many."]}),
        (ValidationError({"name": "Taken."}), 422, {"name": ["Taken."]}),
        (ValidationError({"port": "Taken."}), 422, {"__all__": ["Taken."]}),
    ],
)
def test_a_refusal_is_shown_at_the_field_or_at_the_form(fault, status, errors):
    form = _form()
    assert forms.submit(form, _raising(fault)) == (None, status)
    assert form.errors == errors


def test_a_refusal_keeps_the_cure():
    form, cure = _form(), Cure(label="Open job", url="/jobs/1/")
    forms.submit(form, _raising(Refused("Wait.", cure=cure)))
    (error,) = form.non_field_errors().as_data()
    assert error.cure == cure


def test_a_form_whose_row_was_changed_in_between_overwrites_it_when_it_is_sent_again():
    form = _form()
    stale = Stale("Anna changed it.", current=SimpleNamespace(version=7))
    assert forms.submit(form, _raising(stale)) == (None, 409)
    assert form.non_field_errors() == ["Anna changed it. Save again to overwrite their changes."]
    assert (form.data["name"], form.data["version"]) == ("Friday", "7")
