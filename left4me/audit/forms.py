"""What the audit page can be filtered by."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from left4me.audit.models import AuditEntry, AuditEntryQuerySet


class Filter(forms.Form):
    who = forms.CharField(label=_("Who"), required=False, max_length=64)
    action = forms.ChoiceField(label=_("What"), required=False)
    target = forms.CharField(label=_("On what"), required=False, max_length=128)
    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, data: object) -> None:
        super().__init__(data)  # type: ignore[arg-type]
        names = list(AuditEntry.objects.order_by("action").values_list("action", flat=True).distinct())
        kinds = sorted({name.partition(".")[0] for name in names})
        self.fields["action"].choices = [  # type: ignore[attr-defined]
            ("", _("anything")),
            *((kind, f"{kind}.*") for kind in kinds),
            *((name, name) for name in names),
        ]

    def rows(self) -> AuditEntryQuerySet:
        """Entries that match; fields that make no sense match everything."""
        rows = AuditEntry.objects.all()
        if not self.is_valid():
            self.cleaned_data = getattr(self, "cleaned_data", {})
        asked = self.cleaned_data
        if who := asked.get("who"):
            rows = rows.by(who)
        if action := asked.get("action"):
            rows = rows.of_action(action)
        if target := asked.get("target"):
            rows = rows.filter(target=target) if ":" in target else rows.filter(target__startswith=f"{target}:")
        if since := asked.get("since"):
            rows = rows.filter(created_at__date__gte=since)
        if until := asked.get("until"):
            rows = rows.filter(created_at__date__lte=until)
        return rows
