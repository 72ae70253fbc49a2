"""Pages of imports, for admins: the form, the plan that is confirmed, and what was created."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.permissions import administrator
from left4me.core.web import forms as lib_forms
from left4me.core.web import notices
from left4me.core.web.refusals import Refused
from left4me.core.web.request import is_fragment
from left4me.importer import actions, permissions, presentation, report
from left4me.importer.forms import ImportForm
from left4me.importer.models import Import
from left4me.jobs import queue_reasons


@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """The form, and the imports before."""
    user = administrator(request)
    form = ImportForm(request.POST or None, by=user)
    row, status = lib_forms.submit(form, lambda: actions.request(**form.cleaned_data, by=user))
    if row is not None:
        return redirect(row)
    rows = Import.objects.select_related("owner", "user", "job")
    context = {
        "form": form,
        "rows": [(each, presentation.state_of(each)) for each in rows],
        "places": settings.LEFT4ME_IMPORT_FROM,
    }
    return render(request, "importer/index.html", context, status=status)


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    user = administrator(request)
    row = permissions.import_to_see(user, pk)
    if row.job is not None and not row.job.has_ended:
        queue_reasons.explain([row.job], user=user)
    template = "importer/detail.html"
    return render(request, f"{template}#state" if is_fragment(request) else template, _context(row))


def _context(row: Import) -> dict[str, Any]:
    plan = presentation.plan_of(row)
    trees = presentation.trees(row)
    return {
        "row": row,
        "job": row.job,
        "state": presentation.state_of(row),
        "plan": plan,
        "kind": report.KINDS[plan.kind] if plan else "",
        "trees": trees,
        "open_servers": sum(not server.was_created for tree in trees for server in tree.servers),
        "has_begun": row.has_begun,
    }


@require_POST
def carry_out(request: HttpRequest, pk: int) -> HttpResponse:
    """Carry out the plan with the servers that were ticked."""
    user = administrator(request)
    row = permissions.import_to_see(user, pk)
    try:
        actions.carry_out(row=row, by=user, servers=request.POST.getlist("server"))
    except Refused as refusal:
        notices.refuse(request, refusal)
    return redirect(row)


@require_POST
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """Read the same directory as another import."""
    user = administrator(request)
    row = permissions.import_to_see(user, pk)
    form = ImportForm.again(row, by=user)
    fresh, status = lib_forms.submit(form, lambda: actions.request(**form.cleaned_data, by=user))
    if fresh is not None:
        return redirect(fresh)
    context = {"form": form, "rows": [], "places": settings.LEFT4ME_IMPORT_FROM}
    return render(request, "importer/index.html", context, status=status)


@require_POST
def discard(request: HttpRequest, pk: int) -> HttpResponse:
    user = administrator(request)
    row = permissions.import_to_see(user, pk)
    try:
        actions.discard(row=row, by=user)
    except Refused as refusal:
        notices.refuse(request, refusal)
        return redirect(row)
    messages.success(request, _("Import discarded. What it created stays."))
    return redirect("importer:index")
