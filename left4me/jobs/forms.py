"""The filter of lists of jobs, in pages and in the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from left4me.jobs import operations, resources
from left4me.jobs.models import Job, JobQuerySet
from left4me.jobs.states import LIVE, State

if TYPE_CHECKING:
    from left4me.core.web.request import Person


class Filter(forms.Form):
    """Filters jobs. Invalid choices are ignored, so that an old bookmark still shows a list."""

    whose = forms.ChoiceField(
        label=_("Owner"), choices=[("mine", _("Mine")), ("all", _("Everyone's"))], required=False
    )
    state = forms.ChoiceField(
        label=_("Status"), choices=[("", _("Any")), ("live", _("Active")), *State.choices], required=False
    )
    operation = forms.ChoiceField(label=_("Operation"), required=False)
    resource = forms.CharField(label=_("Resource"), max_length=96, required=False)

    def __init__(self, data: Any, *, user: Person) -> None:
        super().__init__(data)
        self._user = user
        self.fields["operation"].choices = [  # type: ignore[attr-defined]
            ("", _("Any")),
            *((name, operations.get(name).title) for name in operations.names()),
        ]
        if not user.is_admin:
            del self.fields["whose"]
        self.is_valid()

    @property
    def narrows(self) -> bool:
        """True if a filter beside `whose` is set."""
        return any(self.cleaned_data.get(name) for name in ("state", "operation", "resource"))

    def jobs(self) -> JobQuerySet:
        """The jobs that match the filter and that the user may see, newest first."""
        chosen = self.cleaned_data
        jobs = Job.objects.select_related("user").order_by("-pk")
        resource = chosen.get("resource", "")
        if not (chosen.get("whose") == "all" or (resource and resources.may_see(self._user, resource))):
            jobs = jobs.asked_by(self._user)
        if resource:
            jobs = jobs.filter(resource=resource)
        if operation := chosen.get("operation"):
            jobs = jobs.filter(operation=operation)
        if state := chosen.get("state"):
            jobs = jobs.filter(state__in=LIVE) if state == "live" else jobs.filter(state=state)
        return jobs
