"""What forms of several apps share."""

from __future__ import annotations

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError


def add_errors(form: forms.BaseForm, fault: ValidationError) -> None:
    """Show at the form what an action refused; what belongs to no field of it stands above all."""
    if not hasattr(fault, "error_dict"):
        form.add_error(None, fault)
        return
    for field, errors in fault.error_dict.items():
        known = field != NON_FIELD_ERRORS and field in form.fields
        form.add_error(field if known else None, errors)  # type: ignore[arg-type]
