"""A small fixed cast of users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from accounts.models import User


@dataclass(frozen=True)
class Cast:
    """Anna owns things, Otto operates and Vera views what she shares, Stan is a stranger, Ada is admin."""

    owner: User
    operator: User
    viewer: User
    stranger: User
    admin: User


@pytest.fixture
def cast(db: None) -> Cast:
    """Users without passwords (hashing costs time): sign in with `client.force_login(cast.owner)`."""
    from accounts.models import User  # a plugin is imported before Django is set up

    return Cast(
        owner=User.objects.create_user("anna"),
        operator=User.objects.create_user("otto"),
        viewer=User.objects.create_user("vera"),
        stranger=User.objects.create_user("stan"),
        admin=User.objects.create_user("ada", is_admin=True),
    )
