"""What forms of several apps share."""

from __future__ import annotations

from typing import cast

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _


def add_errors(form: forms.BaseForm, fault: ValidationError) -> None:
    """Show at the form what an action refused; what belongs to no field of it stands above all."""
    if not hasattr(fault, "error_dict"):
        form.add_error(None, fault)
        return
    for field, errors in fault.error_dict.items():
        known = field != NON_FIELD_ERRORS and field in form.fields
        form.add_error(field if known else None, errors)


def offer_overwriting(form: forms.BaseForm, fault: Exception, *, version: int) -> None:
    """Tell at the form that somebody else was faster. What was typed stays, and to save again is a decision: the
    form now carries the version that it would overwrite."""
    form.add_error(None, _("%(why)s Save again to put your version over it.") % {"why": fault})
    data = cast(QueryDict, form.data).copy()
    data["version"] = str(version)
    form.data = data
