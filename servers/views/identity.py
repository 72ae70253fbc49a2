"""The page of a blueprint on which its servers get their names and texts, and the preview of these texts."""

from __future__ import annotations

from csp.constants import NONE, SELF, UNSAFE_INLINE
from csp.decorators import csp, csp_update
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_http_methods, require_POST

from accounts.permissions import signed_in
from left4me.core.web import forms as lib_forms
from left4me.core.web import notices
from left4me.core.web.request import is_fragment
from servers import lookups
from servers.actions import identity as actions
from servers.identity import overview, values
from servers.identity.forms import IdentityForm
from servers.models import Blueprint, game_texts
from servers.models.game_texts import TextKind
from servers.views import versions

PER_PAGE = 50
# A text may be a page that anybody has written: it gets an origin of its own, runs nothing and loads nothing.
_PREVIEW = {
    "sandbox": [True],
    "default-src": [NONE],
    "style-src": [UNSAFE_INLINE],
    "img-src": ["data:"],
    "form-action": [NONE],
    "base-uri": [NONE],
    "frame-ancestors": [SELF],
}


@require_http_methods(["GET", "HEAD", "POST"])
@csp_update({"frame-src": [SELF]})  # type: ignore[arg-type]
def identity(request: HttpRequest, pk: int) -> HttpResponse:
    """The settings in the lines of the blueprint as a form, and what they make of its servers."""
    user = signed_in(request)
    row = lookups.blueprint_to_edit(user, pk)
    form = IdentityForm(request.POST or None, blueprint=row)

    def save() -> Blueprint:
        return actions.save(
            blueprint=row,
            seen_version=form.cleaned_data["version"] or 0,
            by=user,
            settings=form.changes(),
            texts=form.texts(),
        )

    saved, status = lib_forms.submit(form, save)
    if saved is not None:
        undo = versions.offer_undo(saved, by=user) if saved.version != row.version else None
        notices.done(request, _("Identity saved."), undo=undo)
        return redirect("servers:blueprint_identity", pk)
    return _page(request, row, form, status=status)


def _page(request: HttpRequest, row: Blueprint, form: IdentityForm, *, status: int) -> HttpResponse:
    page = Paginator(row.servers.listed(), PER_PAGE).get_page(request.GET.get("page"))
    named = overview.named(row, page.object_list)
    context = {
        "blueprint": row,
        "page": page,
        "named": named,
        "has_pending": any(each.is_applied is False for each in named),
    }
    if is_fragment(request):
        return render(request, "servers/blueprint_identity.html#named", context)
    context |= {
        "form": form,
        "notes": overview.notes(row),
        "previews": [
            (f"{text}-preview", reverse(f"servers:blueprint_{text}", args=[row.pk]), form[text])
            for text in values.FILES
        ],
    }
    return render(request, "servers/blueprint_identity.html", context, status=status)


@require_POST
def apply(request: HttpRequest, pk: int) -> HttpResponse:
    """Have the running games take over the identity that the lines have now."""
    actions.apply(lookups.blueprint_to_edit(signed_in(request), pk))
    messages.success(request, _("Running games are told. What they cannot take over applies at their next start."))
    return redirect("servers:blueprint_identity", pk)


@require_http_methods(["GET", "HEAD", "POST"])
@xframe_options_sameorigin
@csp(_PREVIEW)  # type: ignore[arg-type]
def preview(request: HttpRequest, pk: int, text: str) -> HttpResponse:
    """A text as a player sees it: the stored one, or the one that was sent. Addresses are shown and not opened."""
    row = lookups.blueprint_to_edit(signed_in(request), pk)
    shown = game_texts.normal(request.POST.get(text, "")) if request.method == "POST" else getattr(row, text)
    is_page = game_texts.kind_of(shown) == TextKind.PAGE
    return HttpResponse(shown, content_type=f"text/{'html' if is_page else 'plain'}; charset=utf-8")
