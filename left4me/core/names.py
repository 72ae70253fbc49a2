"""Validator for display names: one line, no control characters, none that turn the direction of text."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

LONGEST = 64

# A quote would end the quoted `hostname "…"` of server.cfg; a line or control character would start a new command.
# With marks of direction, a name could look like another one and turn what follows it on a page.
is_plain = RegexValidator(
    r'^[^"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+\Z',
    _("Enter one line without quotation marks or invisible characters."),
    code="not_plain",
)
