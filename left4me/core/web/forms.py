"""Helpers for forms that run an action."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _

from left4me.core.web.refusals import Invalid, Refused, Stale

Row = TypeVar("Row")


def submit(form: forms.BaseForm, action: Callable[[], Row]) -> tuple[Row | None, int]:
    """Run the action of a form that is bound and valid.

    Returns its result; or None, with the HTTP status of the page that shows the form with the errors that were added.
    """
    if not form.is_valid():
        return None, 422 if form.errors else 200
    try:
        return action(), 200
    except Stale as fault:
        _offer_overwriting(form, fault)
        return None, 409
    except Refused as fault:
        form.add_error(None, Invalid(str(fault), cure=fault.cure))
    except ValidationError as fault:
        add_errors(form, fault)
    return None, 422


def add_errors(form: forms.BaseForm, fault: ValidationError) -> None:
    """Add the errors of an action to the form; those of no field of the form become non-field errors."""
    if not hasattr(fault, "error_dict"):
        form.add_error(None, fault)
        return
    for field, errors in fault.error_dict.items():
        is_own = field != NON_FIELD_ERRORS and field in form.fields
        form.add_error(field if is_own else None, errors)


def _offer_overwriting(form: forms.BaseForm, fault: Stale) -> None:
    """Show at the form that the row was changed since it was read.

    The input is kept, and the form now holds the current version, so that saving again overwrites that version.
    """
    form.add_error(None, _("%(why)s Save again to overwrite their changes.") % {"why": fault})
    data = cast(QueryDict, form.data).copy()
    data["version"] = str(fault.current.version)
    form.data = data
