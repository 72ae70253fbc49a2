"""Passwords in the processes of tests are hashed with Argon2 as everywhere, but at the least cost that it allows.

Otherwise one hash takes longer than most tests. Programs that a test starts use the cost of an installation.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> Iterator[None]:
    from accounts.secrets import Argon2  # a plugin is imported before Django is set up

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Argon2, "time_cost", 1)
        patch.setattr(Argon2, "memory_cost", 8 * Argon2.parallelism)
        yield
