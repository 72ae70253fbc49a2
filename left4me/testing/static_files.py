"""Serves static files from the source tree, so that tests need no collectstatic. Hashed names have their own test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from django.conf import settings

PLAIN = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    settings.STORAGES = {**settings.STORAGES, "staticfiles": PLAIN}
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = True
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)


class CollectedStatic:
    """The static files that the first bin/up of this test process collected, reused by those that start later."""

    def __init__(self, kept: Path) -> None:
        self._kept = kept

    def lay_out(self, root: Path) -> None:
        """Copy the collected files to a new data directory, if there are any yet."""
        if self._kept.exists():
            shutil.copytree(self._kept, root / "static")

    def keep(self, root: Path) -> None:
        if not self._kept.exists():
            shutil.copytree(root / "static", self._kept)


@pytest.fixture(scope="session")
def collected_static(tmp_path_factory: pytest.TempPathFactory) -> CollectedStatic:
    return CollectedStatic(tmp_path_factory.mktemp("collected") / "static")
