"""Which release this is; hosts tell it, so that an older one among them is seen."""

from pathlib import Path

PROJECT_VERSION = "0.1.0"


def release_of(tree: Path) -> str:
    """What an installed tree says of itself in its file RELEASE; a checkout is of the project's version."""
    try:
        return (tree / "RELEASE").read_text().strip() or PROJECT_VERSION
    except OSError:
        return PROJECT_VERSION


VERSION = release_of(Path(__file__).resolve().parents[2])
