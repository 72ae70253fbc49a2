"""Preparing a start on the host that makes it, and keeping what was started with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from overlays import paths
from overlays.models import Overlay
from servers.gamehost.spec import InstanceSpec
from servers.lifecycle import spec
from servers.models import Server


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start, prepared: what the runtime runs, and what the row keeps of it."""

    spec: InstanceSpec
    applied: dict[str, Any]
    sealed_rcon_password: str


def compose(
    server: Server,
    *,
    layers: Sequence[Overlay],
    trees: Mapping[int, Path],
    game: Path,
    game_version: str,
    cache: Path,
) -> Start:
    """Read the rows and, from this host's disk, the exposed configurations of the overlays, which stand at `trees`.

    Raises SpecInvalid for what cannot be run, and secrets.Unreadable for a password sealed with another key.
    """
    exposed = {overlay.pk: paths.read_cfg(trees[overlay.pk]) for overlay in layers if overlay.expose_cfg}
    return Start(
        spec=spec.build(
            server=server,
            blueprint=server.blueprint,
            overlays=layers,
            overlay_cfgs={overlay: text for overlay, text in exposed.items() if text is not None},
            rcon_password=server.rcon_password,
            places=spec.Places(game=game, overlays=trees, cache=cache),
        ),
        applied=spec.applied(server=server, blueprint=server.blueprint, overlays=layers, game_version=game_version),
        sealed_rcon_password=server.sealed_rcon_password,
    )


def note(server: Server, start: Start, *, now: datetime) -> None:
    """Keep what the game was started with; what differs from it later is what a restart would apply."""
    server.started_at = now
    server.game_version = start.applied["game_version"]
    server.applied = start.applied
    server.applied_sealed_rcon_password = start.sealed_rcon_password
    server.save(update_fields=["started_at", "game_version", "applied", "applied_sealed_rcon_password"])
