"""The files in /etc/left4me, in the syntax of systemd's EnvironmentFile=."""

from __future__ import annotations

import grp
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.language import gettext as _
from deploy.ops.layout import USER, Layout
from left4me.core.files import atomic

_MODE: Final = 0o640
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NEEDS_QUOTES: Final = re.compile(r"[\s\"'\\$`#;]")
# Variables that make a program load or run something else: those of the dynamic linker, of libraries and interpreters.
_FORBIDDEN: Final = re.compile(
    r"(LD|GLIBC|MALLOC|NODE|BASH|OPENSSL)_\w+|(PYTHON|PERL|RUBY)\w+|PATH|ENV|IFS|SHELLOPTS|PS4|GCONV_PATH|LOCPATH|NLSPATH"
)


class BadSettings(Exception):
    """The settings hold a variable that is no setting of left4me; the message names it."""


def read(layout: Layout) -> dict[str, str]:
    """The settings in force. The secrets override the operator's file, as in the units. Raises BadSettings."""
    values: dict[str, str] = {}
    for path in (layout.settings_file, layout.secrets_file):
        if path.exists():
            text = path.read_text()
            refuse_forbidden(text, where=str(path))
            values |= parse(text)
    return values


def refuse_forbidden(text: str, *, where: str) -> None:
    """Raise BadSettings if `text` sets a variable that would change which code the programs of left4me run."""
    forbidden = sorted(name for name in parse(text) if _FORBIDDEN.fullmatch(name))
    if forbidden:
        raise BadSettings(
            _(
                "%(where)s sets %(names)s, which changes the code that programs run and is no setting of "
                "left4me. Remove the line; a drop-in of a unit (`systemctl edit`) can set variables of that "
                "unit."
            )
            % {"where": where, "names": ", ".join(forbidden)}
        )


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

    Each replaces the line that sets it, else its commented example, else is appended. Raises BadSettings for a value
    that is not one line: the rest of it would be read as other settings.
    """
    lines = text.splitlines()
    for name, value in values.items():
        if not _NAME.fullmatch(name) or value.splitlines() not in ([], [value]) or "\0" in value:
            raise BadSettings(_("The value for %(name)s is not one line of text.") % {"name": name})
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
