"""SHA-256 checksums, and the file of them that `bin/release` writes beside an archive."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

FILE: Final = "SHA256SUMS"
SHA256: Final = re.compile(r"[0-9a-f]{64}")
# As sha256sum writes it; an asterisk means that the file was read as binary.
_LINE: Final = re.compile(r"([0-9a-f]{64})  ?\*?(.+)")


def listed(sums: str, name: str) -> str:
    """The checksum of the file `name` in the text of a checksums file; empty when it is not listed."""
    lines = (_LINE.fullmatch(line.strip()) for line in sums.splitlines())
    return next((line[1] for line in lines if line is not None and line[2] == name), "")


def of(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
