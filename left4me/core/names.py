"""Validator for display names: one line, no control characters."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

LONGEST = 64

# A quote would end the quoted `hostname "…"` of server.cfg; a line or control character would start a new command.
is_plain = RegexValidator(
    r'^[^"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+\Z',
    _("A name is one line without quotation marks."),
    code="not_plain",
)
