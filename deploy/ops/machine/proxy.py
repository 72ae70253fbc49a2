"""Caddy in front of the web: one site of ours, in a file of its own beside what else the machine's Caddy serves."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from deploy.ops.layout import Layout
from left4me.core.files import atomic
from left4me.core.processes import commands

_IMPORT: Final = "import left4me.caddy"
_SECONDS: Final = 120


def site(layout: Layout) -> Path:
    return layout.caddyfile.with_name("left4me.caddy")


def text(tree: Path, *, domain: str, tls: str) -> str:
    """The site's file; `tls` is auto (a public certificate) or internal (one of Caddy's own authority)."""
    template = (tree / "deploy/caddy/left4me.caddy").read_text()
    line = "\ttls internal\n" if tls == "internal" else ""
    return template.replace("\t@TLS@\n", line).replace("@DOMAIN@", domain)


def is_set_up(layout: Layout, wanted: str) -> bool:
    try:
        return site(layout).read_text() == wanted and _IMPORT in layout.caddyfile.read_text().splitlines()
    except OSError:
        return False


def set_up(layout: Layout, wanted: str) -> None:
    """Write the site and have Caddy serve it. Raises CommandError when Caddy does not take it."""
    _write(site(layout), wanted)
    before = layout.caddyfile.read_text() if layout.caddyfile.exists() else ""
    if _IMPORT not in before.splitlines():
        # Debian's own file serves a welcome page on port 80, which would be in the way.
        _write(layout.caddyfile, f"{_IMPORT}\n" if _is_as_packaged(before) else f"{before.rstrip()}\n\n{_IMPORT}\n")
    commands.run(["caddy", "validate", "--adapter", "caddyfile", "--config", layout.caddyfile], timeout=_SECONDS)
    commands.run(["systemctl", "enable", "--now", "--quiet", "caddy.service"], timeout=_SECONDS)
    commands.run(["systemctl", "reload", "caddy.service"], timeout=_SECONDS)


def remove(layout: Layout) -> None:
    """Take our site away; a Caddy that serves nothing else then is stopped."""
    site(layout).unlink(missing_ok=True)
    if not layout.caddyfile.exists():
        return
    lines = layout.caddyfile.read_text().splitlines()
    if _IMPORT not in lines:
        return
    rest = "\n".join(line for line in lines if line != _IMPORT).strip()
    _write(layout.caddyfile, f"{rest}\n" if rest else "")
    verb = ["reload"] if rest else ["disable", "--now", "--quiet"]
    commands.run(["systemctl", *verb, "caddy.service"], timeout=_SECONDS, check=False)


def _is_as_packaged(text: str) -> bool:
    if not text.strip():
        return True
    argv = ["dpkg-query", "--show", "--showformat=${Conffiles}", "caddy"]
    packaged = commands.run(argv, timeout=_SECONDS, check=False).output
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() in packaged


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, text, mode=0o644, durable=True)
