"""cp: a server's tree put together from its layers by links or copies, as other tools for game servers do."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

WAYS = {
    "symbolic links (cp -as)": ("-as",),
    "hard links (cp -al)": ("-al",),
    "copy (cp -a)": ("-a", "--reflink=never"),
}


def compose(root: Path, layers: list[Path], way: str) -> Callable[[], None]:
    """Return what puts all layers together in `root/farm`, the lowest first: upper files replace lower ones."""

    def run() -> None:
        target = root / "farm"
        target.mkdir()
        for layer in reversed(layers):
            subprocess.run(["cp", *WAYS[way], "--remove-destination", f"{layer}/.", target], check=True)

    return run
