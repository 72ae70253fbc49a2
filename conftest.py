"""What every test shares: a data directory of its own, real servers on demand, and what a test may need."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import django

# Before settings are read: nothing a test does may touch the checkout's own data or the developer's servers.
_root = tempfile.mkdtemp(prefix="left4me-test-")
atexit.register(shutil.rmtree, _root, ignore_errors=True)
os.environ["LEFT4ME_ROOT"] = _root
os.environ["LEFT4ME_GAME"] = "simulated"
for _name in ("REDIS_URL", "LEFT4ME_BIND", "LEFT4ME_SIGNUP", "LEFT4ME_HOST", "LEFT4ME_DEBUG", "STEAM_WEB_API_KEY"):
    os.environ.pop(_name, None)

os.environ["DJANGO_SETTINGS_MODULE"] = "left4me.settings"
Path(_root, "static").mkdir()

pytest_plugins = ["left4me.testing.cast", "left4me.testing.needs", "left4me.testing.redis_server"]


def pytest_configure() -> None:
    from django.conf import settings

    # Hashed names need a collectstatic first; tests serve the files as they lie in the tree.
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    django.setup()
