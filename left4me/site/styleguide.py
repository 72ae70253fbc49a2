"""The style guide for admins: every component in every state, in both colour schemes side by side."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache

from django import forms
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from left4me.core.web.request import is_admin
from servers.blueprints import maps

COLOURS = [
    "ground",
    "surface",
    "surface-sunk",
    "surface-raised",
    "surface-hover",
    "line",
    "line-strong",
    "ink",
    "ink-soft",
    "link",
    "accent",
    "accent-soft",
    "focus",
    "ok-fill",
    "busy-fill",
    "warn-fill",
    "bad-fill",
    "idle-fill",
    "note-fill",
    "danger",
]
SCHEMES = ["light", "dark"]
PARTS = [
    ("colours", _("Colours")),
    ("letters", _("Typography")),
    ("buttons", _("Buttons")),
    ("states", _("Statuses")),
    ("messages", _("Messages")),
    ("toasts", _("Toasts and cures")),
    ("forms", _("Forms")),
    ("editor", _("Editor")),
    ("maps", _("Map picker")),
    ("tables", _("Tables")),
    ("bulk", _("Bulk bar and saved filters")),
    ("tabs", _("Tabs and breadcrumbs")),
    ("cards", _("Cards")),
    ("progress", _("Progress")),
    ("charts", _("Charts")),
    ("palette", _("Palette")),
    ("bar", _("Server bar")),
    ("log", _("Log")),
    ("icons", _("Icons")),
]
SERVER_STATES = ["unknown", "stopped", "starting", "running", "stopping", "crashed", "gave_up", "initializing"]
JOB_STATES = ["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]


class Specimen(forms.Form):
    """A form with one field of each kind; bound to `{}` it shows its errors."""

    name = forms.CharField(label=_("Name"), help_text=_("Players see this name in the server browser."))
    port = forms.IntegerField(label=_("Port"), required=False, min_value=27015, max_value=27115)
    kind = forms.ChoiceField(label=_("Kind"), choices=[("files", _("Files")), ("workshop", _("Workshop"))])
    config = forms.CharField(label=_("server.cfg lines"), widget=forms.Textarea(attrs={"rows": 4}))
    scope = forms.ChoiceField(
        label=_("Permissions"),
        choices=[("read", _("Read")), ("operate", _("Start and stop"))],
        widget=forms.RadioSelect,
    )
    upload = forms.FileField(label=_("File"), required=False)
    sure = forms.BooleanField(
        label=_("Restart if unresponsive"), help_text=_("When the game has not responded for a minute.")
    )


@cache
def _icons() -> list[str]:
    listed = json.loads((settings.BASE_DIR / "left4me/site/static/vendor/vendor.json").read_text())
    return list(listed["icons"]["names"])


def _forms(scheme: str) -> list[Specimen]:
    """A form without and one with errors. Both appear once per colour scheme, so their ids are prefixed."""
    usual = {"name": "Friday versus", "config": "sv_alltalk 1\nmp_gamemode versus"}
    wrong = f"{scheme}-wrong"
    return [Specimen(prefix=scheme, initial=usual), Specimen({f"{wrong}-port": "80"}, prefix=wrong)]


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    if not is_admin(request.user):
        raise PermissionDenied
    now = timezone.now()
    context = {
        "parts": [{"id": name, "title": title, "template": f"styleguide/{name}.html"} for name, title in PARTS],
        "schemes": SCHEMES,
        "colours": COLOURS,
        "icons": _icons(),
        "server_states": SERVER_STATES,
        "job_states": JOB_STATES,
        "specimens": [(scheme, form) for scheme in SCHEMES for form in _forms(scheme)],
        "campaigns": maps.grouped(maps.stock()),
        "layers": ["Competitive config", "Friday maps", "SourceMod"],
        "page": Paginator(range(1, 501), 25).page(7),
        "lately": now - timedelta(minutes=5),
        "started": now - timedelta(hours=1, minutes=4, seconds=7),
        "soon": now + timedelta(seconds=45),
        "took": timedelta(minutes=3, seconds=21),
        "log_lines": [("stdout", f"L 11/21/2026 - 20:1{n}: World triggered Round_Start") for n in range(8)],
    }
    return render(request, "styleguide.html", context)
