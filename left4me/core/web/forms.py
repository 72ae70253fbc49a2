"""Helpers for forms that run an action."""

from __future__ import annotations

from typing import cast

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _


def add_errors(form: forms.BaseForm, fault: ValidationError) -> None:
    """Add the errors of an action to the form; those of no field of the form become non-field errors."""
    if not hasattr(fault, "error_dict"):
        form.add_error(None, fault)
        return
    for field, errors in fault.error_dict.items():
        is_own = field != NON_FIELD_ERRORS and field in form.fields
        form.add_error(field if is_own else None, errors)


def offer_overwriting(form: forms.BaseForm, fault: Exception, *, version: int) -> None:
    """Show at the form that the row was changed since it was read.

    The input is kept, and the form now holds the current version, so that saving again overwrites that version.
    """
    form.add_error(None, _("%(why)s Save again to put your version over it.") % {"why": fault})
    data = cast(QueryDict, form.data).copy()
    data["version"] = str(version)
    form.data = data
