"""left4me's rules in the distribution's own firewall, where earlier documents had them included.

Today `left4me-firewall.service` loads the rules. Debian's nftables.service begins with `flush ruleset`: enabling it
would remove the rules of every other firewall of the machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.ops.layout import Layout
from left4me.core.files import atomic

_COPY: Final = "/etc/nftables.d/left4me.nft"


def is_included(layout: Layout) -> bool:
    """Whether /etc/nftables.conf or its directory still holds left4me's rules."""
    return _copy(layout).exists() or _without_ours(layout) != _text(layout)


def exclude(layout: Layout) -> None:
    """Remove the copy of the rules and the line that includes it. Loaded rules stay until they are flushed."""
    text = _without_ours(layout)
    if text != _text(layout):
        configuration = _configuration(layout)
        atomic.write(configuration, text, mode=configuration.stat().st_mode & 0o777, durable=True)
    _copy(layout).unlink(missing_ok=True)


def _without_ours(layout: Layout) -> str:
    """The text of nftables.conf without the line for left4me."""
    lines = _text(layout).splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() not in (f'include "{_COPY}"', f"include '{_COPY}'"))


def _text(layout: Layout) -> str:
    return _configuration(layout).read_text() if _configuration(layout).exists() else ""


def _configuration(layout: Layout) -> Path:
    return layout.root / "etc/nftables.conf"


def _copy(layout: Layout) -> Path:
    return layout.root / _COPY.removeprefix("/")
