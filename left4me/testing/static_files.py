"""Serves static files from the source tree, so that tests need no collectstatic. Hashed names have their own test."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from deploy.up import prepare
from left4me.core.processes import commands

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

_SECONDS = 300
_COLLECT = """
import django, os
os.environ["DJANGO_SETTINGS_MODULE"] = "left4me.settings"
django.setup()
from django.conf import settings
from deploy.up import prepare
prepare.collect_static(settings)
"""
PLAIN = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    settings.STORAGES = {**settings.STORAGES, "staticfiles": PLAIN}
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = True
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)


@pytest.fixture(scope="session", autouse=True)
def _browsers_keep_static_files() -> Iterator[None]:
    """As they keep those of an installation. Otherwise they ask for each file of a new clone again on each page."""
    from django.contrib.staticfiles.handlers import StaticFilesHandlerMixin

    serve = StaticFilesHandlerMixin.serve

    def serve_to_keep(handler: StaticFilesHandlerMixin, request: HttpRequest) -> HttpResponseBase:
        answer = serve(handler, request)
        answer["Cache-Control"] = "max-age=86400, immutable"
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StaticFilesHandlerMixin, "serve", serve_to_keep)
        yield


@pytest.fixture(scope="session")
def collected_static(request: pytest.FixtureRequest) -> Path:
    """The collected static files, to be copied. They are kept for later runs as long as no source changes.

    The first process that wants them makes them, while the others wait.
    """
    kept = request.config.cache.mkdir("static")
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not prepare.is_collected(kept / "files"):
            commands.run(
                [sys.executable, "-c", _COLLECT],
                timeout=_SECONDS,
                env={**os.environ, "LEFT4ME_STATIC_ROOT": str(kept / "files"), "PYTHONWARNINGS": "ignore"},
                cwd=settings.BASE_DIR,
            )
    return kept / "files"
