"""left4me as an installed app: its manifest, its service worker, and its page without network."""

from __future__ import annotations

import hashlib

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.staticfiles.storage import staticfiles_storage
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from left4me.core.version import VERSION

_GROUND = "#0c1211"
_THEME = "#0f766e"
# Each with its sizes, its type and its purpose; made by bin/app-icons.
_ICONS = [
    ("icons/icon-192.png", "192x192", "image/png", "any"),
    ("icons/icon-512.png", "512x512", "image/png", "any"),
    ("icons/maskable-512.png", "512x512", "image/png", "maskable"),
    ("favicon.svg", "any", "image/svg+xml", "any"),
]


@login_not_required
@require_safe
@cache_control(max_age=3600)
def manifest(request: HttpRequest) -> HttpResponse:
    """What browsers need to install left4me as an app."""
    icons = [
        {"src": static(f"left4me/{path}"), "sizes": sizes, "type": kind, "purpose": purpose}
        for path, sizes, kind, purpose in _ICONS
    ]
    shortcuts = [(_("Servers"), reverse("servers:list")), (_("Notifications"), reverse("bell"))]
    content = {
        "id": "/",
        "name": "left4me",
        "short_name": "left4me",
        "description": _("Left 4 Dead 2 servers for a group of people"),
        "start_url": reverse("dashboard"),
        "scope": "/",
        "display": "standalone",
        "background_color": _GROUND,
        "theme_color": _THEME,
        "icons": icons,
        "shortcuts": [{"name": name, "url": url, "icons": icons[:1]} for name, url in shortcuts],
    }
    return JsonResponse(content, content_type="application/manifest+json")


@login_not_required
@require_safe
@cache_control(no_cache=True)
def worker(request: HttpRequest) -> HttpResponse:
    """The service worker. It lies at the top of the site, because it only serves what is below its own address.

    Its text changes with each release and its static files, so that browsers then replace it and its cache.
    """
    files = getattr(staticfiles_storage, "manifest_hash", "")
    release = hashlib.sha256(f"{VERSION} {files}".encode()).hexdigest()[:12]
    context = {"release": release, "offline": reverse("offline"), "static_url": settings.STATIC_URL}
    return render(request, "sw.js", context, content_type="text/javascript")


@login_not_required
@require_safe
def offline(request: HttpRequest) -> HttpResponse:
    """What the app shows without a network. Browsers keep it, so it says nothing of who asked for it."""
    return render(request, "offline.html")
