"""A minimal Django page for comparison: one view without middleware and database, served as left4me's pages are."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "left4me.settings")
django.setup()

from a2wsgi import WSGIMiddleware  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.template import Context, Engine  # noqa: E402
from django.urls import path  # noqa: E402

TEMPLATE = Engine().from_string("<!doctype html><title>bare</title><p>Hello, {{ name }}.</p>")


def bare(request: HttpRequest) -> HttpResponse:
    return HttpResponse(TEMPLATE.render(Context({"name": "world"})))


urlpatterns = [path("", bare)]
settings.ROOT_URLCONF = __name__
settings.MIDDLEWARE = []
application = WSGIMiddleware(get_wsgi_application(), workers=8)  # type: ignore[arg-type]
