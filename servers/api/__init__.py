"""Servers, blueprints and hosts in the JSON API. Fixtures in tests/wire fix the wire format."""

from ninja import Router

from servers.api import (
    blueprints,
    copies,
    deletions,
    facts,
    game_access,
    hosts,
    identity,
    moves,
    own_copies,
    plugins,
    quotas,
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
router.add_router("", plugins.router)
router.add_router("", copies.router)
router.add_router("", moves.router)
router.add_router("", quotas.router)
router.add_router("", sharing.router)
router.add_router("", game_access.router)
router.add_router("", blueprints.router)
router.add_router("", identity.router)
router.add_router("", versions.router)
router.add_router("", suspects.router)
router.add_router("", hosts.router)

__all__ = ["router"]
