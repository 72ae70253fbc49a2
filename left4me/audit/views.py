"""The page of the audit log, for admins."""

from __future__ import annotations

from django import forms
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from left4me.audit import sentences
from left4me.audit.models import AuditEntry, AuditEntryQuerySet
from left4me.core.web.request import is_admin


class Filter(forms.Form):
    who = forms.CharField(label=gettext_lazy("User"), required=False, max_length=64)
    action = forms.ChoiceField(label=gettext_lazy("Action"), required=False)
    target = forms.CharField(label=gettext_lazy("Target"), required=False, max_length=128)
    since = forms.DateField(label=gettext_lazy("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=gettext_lazy("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, data: object) -> None:
        super().__init__(data)  # type: ignore[arg-type]
        names = list(AuditEntry.objects.order_by("action").values_list("action", flat=True).distinct())
        kinds = sorted({name.partition(".")[0] for name in names})
        self.fields["action"].choices = [  # type: ignore[attr-defined]
            ("", _("Any")),
            *((kind, f"{kind}.*") for kind in kinds),
            *((name, name) for name in names),
        ]

    def rows(self) -> AuditEntryQuerySet:
        """The matching entries. Invalid fields are ignored."""
        rows = AuditEntry.objects.all()
        if not self.is_valid():
            self.cleaned_data = getattr(self, "cleaned_data", {})
        values = self.cleaned_data
        if who := values.get("who"):
            rows = rows.by(who)
        if action := values.get("action"):
            rows = rows.of_action(action)
        if target := values.get("target"):
            rows = rows.filter(target=target) if ":" in target else rows.filter(target__startswith=f"{target}:")
        if since := values.get("since"):
            rows = rows.filter(created_at__date__gte=since)
        if until := values.get("until"):
            rows = rows.filter(created_at__date__lte=until)
        return rows


@require_safe
def entries(request: HttpRequest) -> HttpResponse:
    if not is_admin(request.user):
        raise PermissionDenied(_("Only admins have access to this."))
    form = Filter(request.GET or {})
    page = Paginator(form.rows(), 50).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "entries": sentences.describe(page)}
    return render(request, "audit/entries.html", context)
