"""Tells the job engine who may see jobs on servers, and who may cancel or retry them."""

from __future__ import annotations

from left4me.jobs import registry
from left4me.jobs.registry import Person
from servers import permissions
from servers.models import Server


def _sees(user: Person, number: str) -> bool:
    server = Server.objects.filter(pk=number).first()
    return server is not None and permissions.can_see_server(user, server)


def _operates(user: Person, number: str) -> bool:
    server = Server.objects.filter(pk=number).first()
    return server is not None and permissions.can_operate_server(user, server)


def register() -> None:
    """Called once when Django is ready."""
    registry.visibility("server", _sees, operates=_operates)
