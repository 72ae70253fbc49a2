"""Caddy as reverse proxy. left4me adds one site in a file of its own and leaves other sites alone."""

from __future__ import annotations

import grp
import hashlib
import re
from pathlib import Path
from typing import Final

from deploy.ops.layout import Layout
from deploy.ops.machine import services
from left4me.core.files import atomic
from left4me.core.processes import commands

_IMPORT: Final = "import left4me.caddy"
_SECONDS: Final = 120
# Of Debian's package.
_GROUP: Final = "caddy"


def site(layout: Layout) -> Path:
    return layout.caddyfile.with_name("left4me.caddy")


def text(tree: Path, *, domain: str, tls: str, secret: str) -> str:
    """The content of the site's file. `tls` is "auto" (a public certificate) or "internal" (Caddy's own authority)."""
    template = (tree / "deploy/caddy/left4me.caddy").read_text()
    line = "\ttls internal\n" if tls == "internal" else ""
    return template.replace("\t@TLS@\n", line).replace("@DOMAIN@", domain).replace("@SECRET@", secret)


def is_set_up(layout: Layout, content: str) -> bool:
    try:
        return site(layout).read_text() == content and _IMPORT in layout.caddyfile.read_text().splitlines()
    except OSError:
        return False


def served_domain(layout: Layout) -> str | None:
    """The domain name that Caddy serves left4me under on this machine; None without such a site."""
    try:
        is_imported = _IMPORT in layout.caddyfile.read_text().splitlines()
        lines = site(layout).read_text().splitlines()
    except OSError:
        return None
    opening = next((line for line in lines if line.endswith(" {") and not line.startswith(("#", "\t"))), "")
    return opening.removesuffix(" {") or None if is_imported else None


def served_secret(layout: Layout) -> str:
    """What the site sends to prove to the web that it is its proxy; empty without a site, and in one of before."""
    try:
        found = re.search(r"^\s*header_up X-Left4me-Proxy-Secret (\S+)$", site(layout).read_text(), re.MULTILINE)
    except OSError:
        return ""
    return found[1] if found else ""


def set_up(layout: Layout, content: str) -> None:
    """Write the site and make Caddy serve it. Raises CommandError when Caddy rejects it."""
    # With a secret, which only root and Caddy may read.
    _write(site(layout), content, mode=0o640, group=_GROUP)
    before = layout.caddyfile.read_text() if layout.caddyfile.exists() else ""
    if _IMPORT not in before.splitlines():
        # Debian's own file serves a welcome page on port 80, so it is replaced; an operator's file is extended.
        _write(layout.caddyfile, f"{_IMPORT}\n" if _is_as_packaged(before) else f"{before.rstrip()}\n\n{_IMPORT}\n")
    commands.run(["caddy", "validate", "--adapter", "caddyfile", "--config", layout.caddyfile], timeout=_SECONDS)
    services.enable(["caddy.service"])
    services.systemctl("reload", "caddy.service")


def remove(layout: Layout) -> None:
    """Remove the site. Caddy is stopped when it has no other."""
    site(layout).unlink(missing_ok=True)
    if not layout.caddyfile.exists():
        return
    lines = layout.caddyfile.read_text().splitlines()
    if _IMPORT not in lines:
        return
    others = "\n".join(line for line in lines if line != _IMPORT).strip()
    _write(layout.caddyfile, f"{others}\n" if others else "")
    action = ["reload"] if others else ["disable", "--now", "--quiet"]
    services.systemctl(*action, "caddy.service", check=False)


def _is_as_packaged(text: str) -> bool:
    if not text.strip():
        return True
    argv = ["dpkg-query", "--show", "--showformat=${Conffiles}", "caddy"]
    packaged = commands.run(argv, timeout=_SECONDS, check=False).output
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() in packaged


def _write(path: Path, text: str, *, mode: int = 0o644, group: str = "root") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, text, mode=mode, durable=True, owner=(0, grp.getgrnam(group).gr_gid))
