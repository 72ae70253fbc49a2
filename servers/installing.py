"""Installing the game on a host: the operation `install`."""

from __future__ import annotations

from django.conf import settings

from left4me.jobs import registry
from servers import local
from servers.runtime.simulated import install as simulated


def install(run: registry.Run) -> None:
    """Install or update the game; servers pick the new version up when they start."""
    if settings.LEFT4ME_GAME == "simulated":
        _install_simulated(run)
        return
    raise registry.Failed("not yet")


def _install_simulated(run: registry.Run) -> None:
    run.progress(phase="writing", done=0, total=1)
    target = local.root() / "game" / "versions" / "simulated"
    target.mkdir(parents=True, exist_ok=True)
    simulated.install(target)
    link = local.root() / "game" / "current"
    if not link.is_symlink():
        link.symlink_to(target.relative_to(link.parent))
    run.progress(phase="ready", done=1, total=1)
    run.log("The simulated game is installed.")
