"""The environment of the tests. `-p` in pyproject.toml names it: pytest-django reads settings before conftest.py.

Nothing a test does may touch the checkout's own data or the developer's servers.
"""

import atexit
import os
import shutil
import tempfile

_root = tempfile.mkdtemp(prefix="left4me-test-")
atexit.register(shutil.rmtree, _root, ignore_errors=True)
os.environ["LEFT4ME_ROOT"] = _root
os.environ["LEFT4ME_GAME"] = "simulated"
os.environ["LANGUAGE"] = "en"  # of what speaks the developer's language
for _name in ("REDIS_URL", "LEFT4ME_BIND", "LEFT4ME_SIGNUP", "LEFT4ME_HOST", "LEFT4ME_DEBUG", "STEAM_WEB_API_KEY"):
    os.environ.pop(_name, None)
