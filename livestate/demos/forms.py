"""The form of what SourceTV does on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from servers.sourcetv import options
from servers.sourcetv.options import Options

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class SourceTvForm(forms.Form):
    """A field for each option, with the present values; the action checks them."""

    is_enabled = forms.BooleanField(
        label=_("SourceTV"),
        required=False,
        help_text=_("Records games and shows them to spectators. A change applies at the next restart."),
    )
    records = forms.BooleanField(
        label=_("Record every map"),
        required=False,
        help_text=_("One demo for each map. This and everything below applies at once."),
    )
    spectators = forms.IntegerField(
        label=_("Spectators"),
        max_value=options.MOST_SPECTATORS,
        min_value=0,
        help_text=_("How many can watch live. 0: nobody can connect to SourceTV."),
    )
    delay = forms.IntegerField(
        label=_("Delay in seconds"),
        max_value=options.LONGEST_DELAY,
        min_value=0,
        help_text=_("For those who watch live, so that they cannot help a team. Demos have none."),
    )
    password = forms.CharField(
        label=_("Password of spectators"), max_length=options.LONGEST_PASSWORD, required=False, strip=False
    )
    keep_days = forms.IntegerField(label=_("Keep for (days)"), max_value=options.MOST_DAYS, min_value=0)
    keep_gb = forms.IntegerField(label=_("Keep at most (gigabytes)"), max_value=options.MOST_GB, min_value=0)

    def __init__(self, data: QueryDict | None, *, options: Options) -> None:
        super().__init__(data, initial=options.stored())
        days, size = settings.LEFT4ME_DEMO_DAYS, settings.LEFT4ME_DEMO_GB
        self.fields["keep_days"].help_text = _of_site(days, _("0: as long as this site allows, %d days."))
        self.fields["keep_gb"].help_text = _of_site(size, _("0: as much as this site allows, %d GB."))


def _of_site(limit: int, text: StrOrPromise) -> str:
    """The help of a limit that may be lowered, but not raised."""
    return str(text) % limit if limit else gettext("0: no limit.")
