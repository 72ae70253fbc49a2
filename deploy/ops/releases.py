"""Releases on this machine: source trees with a Python environment, and the link to the one that runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Final

from deploy.ops import venvs
from deploy.ops.layout import Layout
from left4me.core.files import atomic
from left4me.core.processes import commands

NAME: Final = re.compile(r"\d{8}-[0-9a-f]{7,40}")
# How many stay on the disk: the one that runs, and the one before it, which `left4mectl rollback` returns to.
KEPT: Final = 2

_SECONDS: Final = 600
# In a release: a digest of the sources of its static files.
_STATIC_SOURCES: Final = "STATIC-SOURCES"
# This ref keeps the installed commit even when origin deletes or rewrites its branch.
_INSTALLED: Final = "refs/left4me/installed"


class ReleaseFault(Exception):
    """A release cannot be fetched, found or built; the message contains the reason and the cure."""


def running(layout: Layout) -> str:
    """The release that `current` points to. Raises ReleaseFault when none is installed."""
    try:
        return layout.current.readlink().name
    except OSError:
        raise ReleaseFault(f"{layout.current} does not point to a release. Run deploy/install.") from None


def installed(layout: Layout) -> list[str]:
    """The completely built releases, oldest first."""
    trees = layout.releases.iterdir() if layout.releases.is_dir() else ()
    return sorted(tree.name for tree in trees if NAME.fullmatch(tree.name) and is_whole(tree))


def is_whole(tree: Path) -> bool:
    """Whether the release was built completely and its Python still exists (a new Debian replaces it)."""
    return (tree / "RELEASE").is_file() and (tree / ".venv/bin/python").exists()


def take_over(layout: Layout, checkout: Path) -> str:
    """Copy the commit of a checkout, and the URL of its origin, to `source.git`; returns the name of its release.

    Raises ReleaseFault.
    """
    if not (checkout / ".git").exists():
        raise ReleaseFault(
            f"{checkout} is not a git checkout. Use `git clone` to get left4me, so that it can be upgraded."
        )
    # Git refuses checkouts of other users. Here root has just run a program of this one, so it is trusted.
    git_config = layout.program / ".gitconfig"
    layout.source.parent.mkdir(parents=True, exist_ok=True)
    try:
        git_config.write_text("[safe]\n\tdirectory = *\n")
        env = {**os.environ, "GIT_CONFIG_GLOBAL": str(git_config)}
        branch = _branch_of(checkout, env)
        if not (layout.source / "HEAD").exists():
            commands.run(["git", "init", "--quiet", "--bare", layout.source], timeout=_SECONDS, env=env)
        origin = _output_of(["git", "-C", checkout, "config", "remote.origin.url"], env) or str(checkout)
        _git(layout, "config", "remote.origin.url", origin)
        _git(layout, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
        refs = [f"+HEAD:{_INSTALLED}", f"+HEAD:refs/heads/{branch}"]
        git: list[str | Path] = ["git", f"--git-dir={layout.source}"]
        commands.run([*git, "fetch", "--quiet", "--update-shallow", checkout, *refs], timeout=_SECONDS, env=env)
    except commands.CommandError as error:
        raise ReleaseFault(f"Could not copy {checkout} to {layout.source}: {error}") from error
    finally:
        git_config.unlink(missing_ok=True)
    return resolve(layout, _INSTALLED)


def name_of(checkout: Path) -> str:
    """The name of the release that would be made from a checkout; changes nothing. Raises ReleaseFault."""
    argv: list[str | Path] = ["git", "-c", f"safe.directory={checkout}", "-C", checkout, *_name_arguments("HEAD")]
    try:
        return commands.run(argv, timeout=_SECONDS).output.strip()
    except commands.CommandError as error:
        raise ReleaseFault(f"Could not read {checkout} as a git checkout: {error}") from error


def fetch(layout: Layout) -> None:
    """Update `source.git` from its origin. Raises ReleaseFault."""
    try:
        _git(layout, "fetch", "--quiet", "--prune", "--tags", "--force", "origin", "+refs/heads/*:refs/heads/*")
    except commands.CommandError as error:
        origin = _git(layout, "config", "remote.origin.url")
        raise ReleaseFault(
            f"{origin} cannot be reached: {error}. `git --git-dir={layout.source} config remote.origin.url URL` "
            "changes where releases come from."
        ) from error


def resolve(layout: Layout, ref: str | None) -> str:
    """The release of a branch, tag or commit; without one, of the branch that upgrades follow. Raises ReleaseFault."""
    try:
        commit = _git(layout, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref or 'HEAD'}^{{commit}}")
    except commands.CommandError:
        raise ReleaseFault(f"There is no branch, tag or commit “{ref or 'HEAD'}” in {layout.source}.") from None
    return _git(layout, *_name_arguments(commit))


def news(layout: Layout, old: str, new: str) -> list[str]:
    """Changelog entries added between `old` and `new`."""
    with contextlib.suppress(commands.CommandError):
        lines = _git(layout, "diff", "--unified=0", _commit(old), _commit(new), "--", "CHANGELOG.md").splitlines()
        return [line[1:] for line in lines if line.startswith("+") and not line.startswith("+++") and line[1:].strip()]
    return []


def build(layout: Layout, release: str) -> Path:
    """Build a release with its packages and static files; returns its tree. A complete one is left unchanged.

    Raises ReleaseFault.
    """
    tree = layout.releases / release
    if is_whole(tree):
        return tree
    try:
        _remove(tree)  # the remains of an interrupted build
        tree.mkdir(parents=True)
        _export(layout, release, tree)
        venvs.provide(layout, tree)
        _make_static(layout, release, tree)
        _compile(tree)
    except venvs.NoNetwork as error:
        _remove(tree)
        raise ReleaseFault(str(error)) from error
    except commands.CommandError as error:
        _remove(tree)
        raise ReleaseFault(f"Could not build release {release}: {error}") from error
    # Last, because this file marks the release as complete.
    atomic.write(tree / "RELEASE", f"{release}\n", mode=0o644, durable=True)
    return tree


def switch(layout: Layout, release: str) -> None:
    """Make `current` point to `release`, in one step."""
    atomic.link(layout.current, f"releases/{release}", durable=True)


def prune(layout: Layout, *, previous: str) -> list[str]:
    """Remove releases until KEPT are left: the running one, `previous` and the newest others.

    Environments that no release uses any more are removed too. Returns the removed releases.
    """
    trees = [tree for tree in layout.releases.iterdir() if NAME.fullmatch(tree.name)]
    others = sorted(tree for tree in trees if tree.name not in (running(layout), previous))
    kept = len(trees) - len(others)
    surplus = others[: max(0, len(others) - (KEPT - kept))]
    for tree in surplus:
        _remove(tree)
    venvs.prune(layout)
    return [tree.name for tree in surplus]


def migrations(tree: Path) -> set[str]:
    """The migrations that a release knows, as `app.name`: those of its apps and of Django's.

    They are read from its files. A database with others belongs to a newer release.
    """
    packages = (tree / ".venv/lib").glob("python3*/site-packages/django/contrib/*/migrations")
    # An app may stand in the folder of another one.
    folders = [*tree.glob("*/migrations"), *tree.glob("*/*/migrations"), *packages]
    return {
        f"{folder.parent.name}.{file.stem}"
        for folder in folders
        for file in folder.glob("*.py")
        if file.stem[:4].isdigit()
    }


def _export(layout: Layout, release: str, tree: Path) -> None:
    archive = tree / ".tree.tar"
    _git(layout, "archive", f"--output={archive}", _commit(release))
    commands.run(["tar", "--no-same-owner", "-xf", archive, "-C", tree], timeout=_SECONDS)
    archive.unlink()


def _make_static(layout: Layout, release: str, tree: Path) -> None:
    """Give the release its own static files, so that a running web keeps its own beside those of a newer release.

    Most upgrades change none, so they are copied from a release that was made from the same sources.
    """
    sources = _static_sources(layout, release, tree)
    for name in installed(layout):
        other = layout.releases / name
        with contextlib.suppress(OSError):
            if (other / _STATIC_SOURCES).read_text() == sources:
                shutil.copytree(other / "static", tree / "static")
                break
    else:
        _collect_static(tree)
    (tree / _STATIC_SOURCES).write_text(sources)


def _static_sources(layout: Layout, release: str, tree: Path) -> str:
    """A digest of everything that static files are made from: those in the release, its settings and its packages."""
    files = _git(layout, "ls-tree", "-r", _commit(release)).splitlines()
    sources = [line for line in files if "/static/" in line or line.endswith("\tleft4me/settings.py")]
    return hashlib.sha256("\n".join([*sources, (tree / ".venv").readlink().name]).encode()).hexdigest()


def _collect_static(tree: Path) -> None:
    scratch = tree / ".scratch"
    # Without this machine's settings: the same commit gives the same release everywhere.
    env = {
        "PATH": os.environ["PATH"],
        "LEFT4ME_ROOT": str(scratch),
        "LEFT4ME_STATIC_ROOT": str(tree / "static"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    python = tree / ".venv/bin/python"
    commands.run([python, "manage.py", "collectstatic", "--noinput", "-v0"], timeout=_SECONDS, cwd=tree, env=env)
    _remove(scratch)


def _compile(tree: Path) -> None:
    """Compile the modules: the application cannot write here, and would compile them at every start."""
    compiling: list[str | Path] = [tree / ".venv/bin/python", "-m", "compileall", "-q", "-x", r"/\.venv/", tree]
    commands.run(compiling, timeout=_SECONDS, check=False)


def _branch_of(checkout: Path, env: dict[str, str]) -> str:
    """The branch that upgrades follow: the one checked out, else the default branch of origin."""
    git: list[str | Path] = ["git", "-C", checkout]
    if branch := _output_of([*git, "symbolic-ref", "--quiet", "--short", "HEAD"], env):
        return branch
    return _output_of([*git, "rev-parse", "--abbrev-ref", "origin/HEAD"], env).removeprefix("origin/") or "main"


def _output_of(argv: list[str | Path], env: dict[str, str]) -> str:
    finished = commands.run(argv, timeout=_SECONDS, env=env, check=False)
    return finished.output.strip() if finished.status == 0 else ""


def _name_arguments(commit: str) -> list[str]:
    return ["log", "-1", "--format=%cd-%h", "--date=format:%Y%m%d", "--abbrev=10", commit]


def _commit(release: str) -> str:
    return release.partition("-")[2]


def _remove(tree: Path) -> None:
    if tree.exists():
        shutil.rmtree(tree)


def _git(layout: Layout, *arguments: str | Path) -> str:
    argv = ["git", "-c", f"safe.directory={layout.source}", f"--git-dir={layout.source}", *arguments]
    return commands.run(argv, timeout=_SECONDS).output.strip()
