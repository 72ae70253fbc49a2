"""Minimal Django pages for comparison, behind the same middleware: the list of servers, and one that says nothing.

The rows of the list are read as those of left4me's; its template has no frame, no translations and no tags. The other
page costs what session, user and middleware do.
"""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "left4me.settings")
django.setup()

from django.core.paginator import Paginator  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.template import Context, Engine  # noqa: E402
from django.urls import include, path  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.permissions import signed_in  # noqa: E402
from servers.lifecycle import status  # noqa: E402
from servers.server_filter import ServerFilter  # noqa: E402

PATH = "/minimal-list"
NOTHING = "/nothing"
PER_PAGE = 50
TEMPLATE = Engine().from_string(
    "<!doctype html><title>servers</title><table>{% for each in statuses %}<tr>"
    '<td><a href="/servers/{{ each.server.pk }}">{{ each.server.name }}</a><td>{{ each.server.blueprint.name }}'
    "<td>{{ each.label }}<td>{{ each.live.players }}<td>{{ each.server.host.name }}:{{ each.server.port }}"
    "{% endfor %}</table>"
)


def rows(request: HttpRequest) -> HttpResponse:
    user, now = signed_in(request), timezone.now()
    found = ServerFilter.from_query(request.GET.dict()).rows(user, now=now).listed().with_role(user)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    statuses = status.of(list(page.object_list), user=user, now=now, with_live=True, with_sparks=True)
    return HttpResponse(TEMPLATE.render(Context({"statuses": statuses})))


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse(signed_in(request).username)


# Beside all pages, whose addresses the rows name.
urlpatterns = [
    path(PATH.removeprefix("/"), rows),
    path(NOTHING.removeprefix("/"), nothing),
    path("", include("left4me.urls")),
]
