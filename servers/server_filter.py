"""The filters and orders of the list of servers, for the page and the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Self

from django.db.models import F
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from left4me.core.natural_order import NaturalOrder
from left4me.core.statements import select_for
from servers.models import Server
from servers.models.servers import ServerQuerySet
from servers.state import criteria
from servers.state.criteria import Criteria

SORTS: dict[str, str | Promise] = {
    "": _("Name"),
    "attention": _("Needs attention first"),
    "host": _("Host and port"),
    "started": _("Started last"),
    "created": _("Newest"),
}


@dataclass(frozen=True, kw_only=True)
class ServerFilter:
    """What was chosen; an empty choice leaves out nothing."""

    q: str = ""
    state: str = ""
    owner: str = ""
    host: str = ""
    tag: str = ""
    sort: str = ""
    attention: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        return cls(**{field.name: query.get(field.name, "").strip()[:100] for field in fields(cls)})

    @property
    def leaves_out(self) -> bool:
        return any([self.q, self.state, self.owner, self.host, self.tag, self.attention])

    def rows(self, user: User, *, now: datetime) -> ServerQuerySet:
        """The servers that `user` may see and that match, in the chosen order."""
        rows = Server.objects.visible_to(user)
        if self.q:
            rows = rows.filter(name__icontains=self.q)
        if self.state in Server.State.values:
            rows = rows.filter(actual_state=self.state)
        if self.owner:
            rows = rows.filter(owner__username=self.owner)
        if self.host:
            rows = rows.filter(host__name=self.host)
        if self.tag:
            rows = rows.tagged(self.tag)
        if self.attention == "1":
            rows = criteria.filter_servers(rows, Criteria.of(now), user=user)
        return _sorted(rows, self.sort)


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the servers of a user can be filtered by. A choice between one value is left out."""

    owners: list[str]
    hosts: list[str]
    tags: list[str]

    @classmethod
    def of(cls, user: User) -> Self:
        found = _choices.rows(user)
        owners, hosts = sorted({owner for owner, _, _ in found}), sorted({host for _, host, _ in found})
        stored = {text for _, _, text in found}
        tags = sorted({tag for text in stored for tag in Server(tags=text).tag_list})
        return cls(owners=owners if len(owners) > 1 else [], hosts=hosts if len(hosts) > 1 else [], tags=tags)


_choices = select_for(
    lambda visitor: (
        Server.objects.visible_to(visitor).order_by().values_list("owner__username", "host__name", "tags").distinct()
    )
)


def _sorted(rows: ServerQuerySet, sort: str) -> ServerQuerySet:
    if sort == "attention":
        return rows.needing_attention_first()
    if sort == "host":
        return rows.order_by("host__name", "port")
    if sort == "started":
        return rows.order_by(F("started_at").desc(nulls_last=True), NaturalOrder("name"), "pk")
    if sort == "created":
        return rows.order_by("-created_at", "-pk")
    return rows
