"""Which migrations a release knows, read from its files: a database with others comes from a newer one."""

from __future__ import annotations

from pathlib import Path


def migrations(release: Path) -> set[str]:
    """As `app.name`, those of our apps and of Django's."""
    packages = (release / ".venv/lib").glob("python3*/site-packages/django/contrib/*/migrations")
    folders = [*release.glob("*/migrations"), *release.glob("left4me/*/migrations"), *packages]
    return {
        f"{folder.parent.name}.{file.stem}"
        for folder in folders
        for file in folder.glob("*.py")
        if file.stem[:4].isdigit()
    }
