"""Factories for status pages."""

from __future__ import annotations

from typing import Any

from accounts.models import User
from left4me.status_pages.models import StatusPage
from servers.models import Server


def make_page(owner: User, *servers: Server, **fields: Any) -> StatusPage:
    """A page that is on and shows these servers."""
    page = StatusPage.objects.create(owner=owner, **{"title": "Friday night", "is_enabled": True, **fields})
    page.servers.set(servers)
    return page
