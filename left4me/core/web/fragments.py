"""Parts of pages that are rendered once for all who see the same.

Rendering a template costs far more than comparing what it shows. A part that is made from one value with everything
that it shows can be kept, and equal values give equal HTML: there is nothing to invalidate.
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import get_language

_MOST_KEPT: Final = 2000  # of 1 to 3 kB
# Stands in what is kept where each visitor's own token belongs. Nobody can know it, and so name a thing like it.
_TOKEN_PLACE: Final = secrets.token_hex(32)


@dataclass(frozen=True)
class Values:
    """Values by name as one value, whose template sees each as an attribute of it."""

    items: tuple[tuple[str, Hashable], ...]

    def __getitem__(self, name: str) -> Hashable:
        return dict(self.items)[name]


def render(request: HttpRequest, template: str, name: str, shown: Hashable, *, keep: bool = True) -> SafeString:
    """The template with `shown` as its variable `name`, and with the visitor's own CSRF token.

    Apart from it, the template sees only `shown` and the language. One that reads the clock or the time zone
    (`relative`, `absolute`, `since`) must not be kept: pass such texts in `shown`, or `keep=False`.
    """
    make = _render_kept if keep else _render
    html = make(template, name, shown, get_language())
    # Asking for the token also has its cookie set.
    return SafeString(html.replace(_TOKEN_PLACE, _token(request)) if _TOKEN_PLACE in html else html)


def _token(request: HttpRequest) -> str:
    """The visitor's token, masked once for a page: each masking draws 32 letters by chance, for fifty rows."""
    if not hasattr(request, "token_of_parts"):
        request.token_of_parts = get_token(request)  # type: ignore[attr-defined]
    return str(request.token_of_parts)  # type: ignore[attr-defined]


def _render(template: str, name: str, shown: Hashable, _language: str | None) -> str:
    return render_to_string(template, {name: shown, "csrf_token": _TOKEN_PLACE})


_render_kept = lru_cache(maxsize=_MOST_KEPT)(_render)
