"""Filters of lists that a user saved under a name."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from left4me.core import names


class SavedFilter(models.Model):
    """A filter of one list: the query of its address. At most one of each list is applied when the list is opened."""

    class Place(models.TextChoices):
        SERVERS = "servers", _("Servers")
        JOBS = "jobs", _("Activity")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_filters")
    place = models.CharField(max_length=16, choices=Place)
    name = models.CharField(_("name"), max_length=names.LONGEST, validators=[names.is_plain])
    query = models.CharField(max_length=500)
    is_default = models.BooleanField(_("default"), default=False)

    class Meta:
        ordering = [Lower("name"), "pk"]
        constraints = [
            models.UniqueConstraint(
                "user",
                "place",
                Lower("name"),
                name="filter_name_unique_per_list",
                violation_error_code="name_taken",
                violation_error_message=_("You already have a filter with this name. Choose another name."),
            ),
            models.UniqueConstraint(
                fields=["user", "place"], condition=Q(is_default=True), name="one_default_filter_per_list"
            ),
        ]

    def __str__(self) -> str:
        return self.name


# The parameters of each list that a filter keeps.
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    SavedFilter.Place.SERVERS: ("q", "state", "owner", "host", "tag", "attention", "sort"),
    SavedFilter.Place.JOBS: ("whose", "state", "operation", "resource"),
}


def query_of(place: str, given: str) -> str:
    """The part of an address's query that a filter keeps, always in the same order; empty without a choice."""
    chosen = dict(parse_qsl(given))
    return urlencode([(name, chosen[name][:100]) for name in PARAMETERS[place] if chosen.get(name)])
