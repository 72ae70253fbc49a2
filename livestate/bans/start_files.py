"""The files with which a game starts: banned_user.cfg and banned_ip.cfg, executed by every server.cfg."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from django.utils import timezone

from left4me.core import texts
from left4me.core.files import walk
from livestate.bans import adoption, effective, game_list
from livestate.bans.models import AppliedBans
from servers.hosts import this_host
from servers.hosts.start_parts import StartPart
from servers.models import Server

CFG = PurePosixPath("left4dead2/cfg")
LONGEST_FILE = 4 * 1024 * 1024


def make(server: Server, layers: Sequence[Path]) -> StartPart:
    """The files of the server's next start; what the present ones contain besides is adopted first.

    `layers` are the directories of its overlays, the topmost first.
    """
    now = timezone.now()
    row, _created = AppliedBans.objects.get_or_create(server=server)
    wanted = dict(effective.of_server(server, now=now))
    found = _present(server, layers)
    foreign = {target: minutes for target, minutes in found.items() if target not in wanted | row.targets}
    if foreign:
        adoption.adopt(server, foreign, now=now)
        wanted = dict(effective.of_server(server, now=now))
    # Whatever is lifted from now on is removed from the game, which learns it from these files.
    row.targets = dict.fromkeys(wanted) | row.targets
    row.save(update_fields=["targets"])
    return StartPart(files={str(CFG / name): text for name, text in game_list.files(wanted).items()})


def _present(server: Server, layers: Sequence[Path]) -> dict[str, float]:
    """The bans in the files that the game would execute now: its own, else those of the topmost overlay with one."""
    found: dict[str, float] = {}
    for name in ("banned_user.cfg", "banned_ip.cfg"):
        for tree in (this_host.storage().of(server.pk).upper, *layers):
            try:
                # The content is untrusted: games and users write it.
                with walk.open_below(tree, (CFG / name).parts) as stream:
                    found |= dict(game_list.parse_file(texts.decode(stream.read(LONGEST_FILE)).text))
                break
            except OSError:
                continue
    return found
