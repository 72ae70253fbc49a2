"""The files in /etc/left4me, in the syntax of systemd's EnvironmentFile=."""

from __future__ import annotations

import grp
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.ops.layout import USER, Layout
from left4me.core.files import atomic

_MODE: Final = 0o640
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NEEDS_QUOTES: Final = re.compile(r"[\s\"'\\$`#;]")


def read(layout: Layout) -> dict[str, str]:
    """The settings in force. The secrets override the operator's file, as in the units."""
    values: dict[str, str] = {}
    for path in (layout.settings_file, layout.secrets_file):
        if path.exists():
            values |= parse(path.read_text())
    return values


def files(layout: Layout) -> list[Path]:
    """All files of the settings directory, including those that an operator added (keys, certificates)."""
    return [path for path in sorted(layout.settings.rglob("*")) if path.is_file() and not path.is_symlink()]


def parse(text: str) -> dict[str, str]:
    """Read NAME=value lines. Comments, empty lines and other lines are ignored."""
    values = {}
    for line in text.replace("\\\n", "").splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and _NAME.fullmatch(name.strip()):
            values[name.strip()] = _unquoted(value.strip())
    return values


def with_values(text: str, values: Mapping[str, str]) -> str:
    """Set `values` in the text of a file.

    Each replaces the line that sets it, else its commented example, else is appended.
    """
    lines = text.splitlines()
    for name, value in values.items():
        assignment = f"{name}={_quoted(value)}"
        assigned = [i for i, line in enumerate(lines) if re.match(rf"{re.escape(name)}\s*=", line)]
        examples = [i for i, line in enumerate(lines) if line.startswith(f"# {name}=")]
        position = next(iter(assigned or examples), None)
        if position is None:
            lines.append(assignment)
        else:
            lines[position] = assignment
    return "\n".join(lines) + "\n"


def write(path: Path, text: str, *, layout: Layout) -> None:
    """Replace a file as a whole. Only root and the application can read it, from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = (0, grp.getgrnam(USER).gr_gid) if layout.root == Path("/") else None
    atomic.write(path, text, mode=_MODE, durable=True, owner=owner)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r'\\(["\\$`])', r"\1", value[1:-1])
    return re.sub(r"\\(.)", r"\1", value)


def _quoted(value: str) -> str:
    if not _NEEDS_QUOTES.search(value):
        return value
    escaped = re.sub(r'(["\\$`])', r"\\\1", value)
    return f'"{escaped}"'
