"""The record, for admins."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from left4me.audit.forms import Filter


@require_safe
def entries(request: HttpRequest) -> HttpResponse:
    if not getattr(request.user, "is_admin", False):
        raise PermissionDenied(_("This is for admins."))
    form = Filter(request.GET or {})
    page = Paginator(form.rows(), 50).get_page(request.GET.get("page"))
    return render(request, "audit/entries.html", {"form": form, "page": page})
