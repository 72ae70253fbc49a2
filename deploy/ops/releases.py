"""Releases on this machine: exported trees with a Python environment, and the link that says which one runs."""

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

_SECONDS: Final = 600
# In a release: what its static files were made of.
_STATIC_SOURCES: Final = "STATIC-SOURCES"
# What was installed from the checkout stays reachable, whatever becomes of the branches of origin.
_INSTALLED: Final = "refs/left4me/installed"


class ReleaseFault(Exception):
    """A release cannot be fetched, found or built; the message says why and what to do."""


def running(layout: Layout) -> str:
    """The release that `current` points to. Raises ReleaseFault before the first one."""
    try:
        return layout.current.readlink().name
    except OSError:
        raise ReleaseFault(f"{layout.current} points to no release. Run deploy/install.") from None


def installed(layout: Layout) -> list[str]:
    """The releases that are whole, oldest first."""
    trees = layout.releases.iterdir() if layout.releases.is_dir() else ()
    return sorted(tree.name for tree in trees if NAME.fullmatch(tree.name) and is_whole(tree))


def is_whole(tree: Path) -> bool:
    """Whether it was built to its end, and its Python still exists (a new Debian brings another)."""
    return (tree / "RELEASE").is_file() and (tree / ".venv/bin/python").exists()


def take_over(layout: Layout, checkout: Path) -> str:
    """Bring what a checkout has checked out into `source.git`, with where it came from; returns the release's name.

    Raises ReleaseFault.
    """
    if not (checkout / ".git").exists():
        raise ReleaseFault(f"{checkout} is no git checkout. Get left4me with `git clone`, so that it can be upgraded.")
    # The checkout may be somebody else's than root's, who has just been told to run a program from it.
    trusting = layout.program / ".gitconfig"
    layout.source.parent.mkdir(parents=True, exist_ok=True)
    try:
        trusting.write_text("[safe]\n\tdirectory = *\n")
        env = {**os.environ, "GIT_CONFIG_GLOBAL": str(trusting)}
        branch = _branch_of(checkout, env)
        if not (layout.source / "HEAD").exists():
            commands.run(["git", "init", "--quiet", "--bare", layout.source], timeout=_SECONDS, env=env)
        origin = _said(["git", "-C", checkout, "config", "remote.origin.url"], env) or str(checkout)
        _git(layout, "config", "remote.origin.url", origin)
        _git(layout, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
        refs = [f"+HEAD:{_INSTALLED}", f"+HEAD:refs/heads/{branch}"]
        git: list[str | Path] = ["git", f"--git-dir={layout.source}"]
        commands.run([*git, "fetch", "--quiet", "--update-shallow", checkout, *refs], timeout=_SECONDS, env=env)
    except commands.CommandError as error:
        raise ReleaseFault(f"{checkout} cannot be copied to {layout.source}: {error}") from error
    finally:
        trusting.unlink(missing_ok=True)
    return resolve(layout, _INSTALLED)


def name_of(checkout: Path) -> str:
    """The name of the release that a checkout would make; changes nothing. Raises ReleaseFault."""
    argv: list[str | Path] = ["git", "-c", f"safe.directory={checkout}", "-C", checkout, *_name_arguments("HEAD")]
    try:
        return commands.run(argv, timeout=_SECONDS).output.strip()
    except commands.CommandError as error:
        raise ReleaseFault(f"{checkout} is no git checkout that can be read: {error}") from error


def fetch(layout: Layout) -> None:
    """Bring `source.git` to where its origin is. Raises ReleaseFault."""
    try:
        _git(layout, "fetch", "--quiet", "--prune", "--tags", "--force", "origin", "+refs/heads/*:refs/heads/*")
    except commands.CommandError as error:
        origin = _git(layout, "config", "remote.origin.url")
        raise ReleaseFault(
            f"{origin} cannot be reached: {error}. `git --git-dir={layout.source} config remote.origin.url URL` "
            "changes where releases come from."
        ) from error


def resolve(layout: Layout, ref: str | None) -> str:
    """The name of the release of a branch, tag or commit; without one, of the branch that is followed."""
    try:
        commit = _git(layout, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref or 'HEAD'}^{{commit}}")
    except commands.CommandError:
        raise ReleaseFault(f"There is no branch, tag or commit “{ref or 'HEAD'}” in {layout.source}.") from None
    return _git(layout, *_name_arguments(commit))


def news(layout: Layout, old: str, new: str) -> list[str]:
    """The lines of the changelog that `new` has and `old` has not."""
    with contextlib.suppress(commands.CommandError):
        lines = _git(layout, "diff", "--unified=0", _commit(old), _commit(new), "--", "CHANGELOG.md").splitlines()
        return [line[1:] for line in lines if line.startswith("+") and not line.startswith("+++") and line[1:].strip()]
    return []


def build(layout: Layout, release: str, *, on_line: venvs.OnLine | None = None) -> Path:
    """The tree of a release with its packages and static files; one that is whole already stays as it is.

    Raises ReleaseFault.
    """
    tree = layout.releases / release
    if is_whole(tree):
        return tree
    try:
        _remove(tree)  # what an interrupted build left
        tree.mkdir(parents=True)
        _export(layout, release, tree)
        venvs.provide(layout, tree, on_line=on_line)
        _make_static(layout, release, tree)
        _compile(tree)
    except venvs.NoNetwork as error:
        _remove(tree)
        raise ReleaseFault(str(error)) from error
    except commands.CommandError as error:
        _remove(tree)
        raise ReleaseFault(f"The release {release} cannot be built: {error}") from error
    # Last: this file is what makes the release whole.
    atomic.write(tree / "RELEASE", f"{release}\n", mode=0o644, durable=True)
    return tree


def switch(layout: Layout, release: str) -> None:
    """Make `current` point to `release`; whoever looks sees the old or the new one."""
    atomic.link(layout.current, f"releases/{release}", durable=True)


def prune(layout: Layout, *, keep: set[str]) -> list[str]:
    """Remove all other releases, and the environments that only they used; returns which releases."""
    gone = []
    for tree in sorted(layout.releases.iterdir()):
        if NAME.fullmatch(tree.name) and tree.name not in keep | {running(layout)}:
            _remove(tree)
            gone.append(tree.name)
    venvs.prune(layout)
    return gone


def _export(layout: Layout, release: str, tree: Path) -> None:
    archive = tree / ".tree.tar"
    _git(layout, "archive", f"--output={archive}", _commit(release))
    commands.run(["tar", "--no-same-owner", "-xf", archive, "-C", tree], timeout=_SECONDS)
    archive.unlink()


def _make_static(layout: Layout, release: str, tree: Path) -> None:
    """Give the release static files of its own: a web that runs on keeps its own files beside a newer release's.

    Most upgrades change none, so they are copied from a release that made them of the same sources.
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
    """A digest of all that static files are made of: those in the release, its settings and its packages."""
    files = _git(layout, "ls-tree", "-r", _commit(release)).splitlines()
    sources = [line for line in files if "/static/" in line or line.endswith("\tleft4me/settings.py")]
    return hashlib.sha256("\n".join([*sources, (tree / ".venv").readlink().name]).encode()).hexdigest()


def _collect_static(tree: Path) -> None:
    scratch = tree / ".scratch"
    # Nothing of this machine's settings: the same commit makes the same release everywhere.
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
    """The application cannot write here, so what is not compiled now would be compiled at every start."""
    compiling: list[str | Path] = [tree / ".venv/bin/python", "-m", "compileall", "-q", "-x", r"/\.venv/", tree]
    commands.run(compiling, timeout=_SECONDS, check=False)


def _branch_of(checkout: Path, env: dict[str, str]) -> str:
    """The branch that upgrades follow: the one checked out, else the one that origin shows first."""
    git: list[str | Path] = ["git", "-C", checkout]
    if branch := _said([*git, "symbolic-ref", "--quiet", "--short", "HEAD"], env):
        return branch
    return _said([*git, "rev-parse", "--abbrev-ref", "origin/HEAD"], env).removeprefix("origin/") or "main"


def _said(argv: list[str | Path], env: dict[str, str]) -> str:
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
