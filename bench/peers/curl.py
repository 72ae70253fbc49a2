"""curl: one process that fetches several files at once."""

from __future__ import annotations

import subprocess
from pathlib import Path


def fetch(url: str, files: int, target: Path, *, side_by_side: int) -> None:
    """Fetch `files` files into `target`; raise FileNotFoundError without curl, CalledProcessError if it fails."""
    argv = ["curl", "-s", "-Z", "--parallel-max", str(side_by_side), "--remote-name-all", f"{url}/ugc/[1-{files}]"]
    subprocess.run(argv, cwd=target, check=True, stderr=subprocess.DEVNULL)
