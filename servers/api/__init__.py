"""Servers, blueprints and hosts in the JSON API. Fixtures in tests/wire fix the wire format."""

from ninja import Router

from servers.api import (
    blueprints,
    deletions,
    facts,
    game_access,
    hosts,
    own_copies,
    servers,
    sharing,
    suspects,
    versions,
)

router = Router()
router.add_router("", servers.router)
router.add_router("", deletions.router)
router.add_router("", facts.router)
router.add_router("", own_copies.router)
router.add_router("", sharing.router)
router.add_router("", game_access.router)
router.add_router("", blueprints.router)
router.add_router("", versions.router)
router.add_router("", suspects.router)
router.add_router("", hosts.router)

__all__ = ["router"]
