"""What every test shares: a small fixed cast of users."""

from __future__ import annotations

import os
import tempfile

# Before settings are read: nothing a test does may touch the checkout's own data.
os.environ["LEFT4ME_ROOT"] = tempfile.mkdtemp(prefix="left4me-test-")
os.environ.setdefault("LEFT4ME_GAME", "simulated")
