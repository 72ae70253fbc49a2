"""Releases on this machine: source trees with a Python environment, and the link to the one that runs.

They are built from the commits of `source.git`, or from archives that were verified (`release_archive`). The same
commit is the same release, whichever way it came.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Final

from deploy.language import gettext as _
from deploy.ops import venvs
from deploy.ops.layout import Layout
from deploy.ops.release_archive import contents, intake
from deploy.ops.release_archive.contents import BadPackage
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
        raise ReleaseFault(
            _("%(current)s does not point to a release. Run deploy/install.") % {"current": layout.current}
        ) from None


def installed(layout: Layout) -> list[str]:
    """The completely built releases, oldest first."""
    trees = layout.releases.iterdir() if layout.releases.is_dir() else ()
    return sorted(tree.name for tree in trees if NAME.fullmatch(tree.name) and is_whole(tree))


def is_whole(tree: Path) -> bool:
    """Whether the release was built completely and its Python still exists (a new Debian replaces it)."""
    return (tree / "RELEASE").is_file() and (tree / ".venv/bin/python").exists()


def take_over(layout: Layout, checkout: Path) -> str:
    """Copy the commit of a checkout, and the URL of its origin, to `source.git`; returns the name of its release.

    Of an unpacked release archive, an archive is kept instead. Raises ReleaseFault.
    """
    if not (checkout / ".git").exists():
        release = _unpacked(checkout)
        intake.take_unpacked(layout, checkout, release)
        return release.name
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
        raise ReleaseFault(
            _("Could not copy %(checkout)s to %(source)s: %(error)s")
            % {"checkout": checkout, "source": layout.source, "error": error}
        ) from error
    finally:
        git_config.unlink(missing_ok=True)
    return resolve(layout, _INSTALLED)


def name_of(checkout: Path) -> str:
    """The name of the release that would be made from a checkout or an unpacked release archive; changes nothing.

    Raises ReleaseFault.
    """
    if not (checkout / ".git").exists():
        return _unpacked(checkout).name
    argv: list[str | Path] = ["git", "-c", f"safe.directory={checkout}", "-C", checkout, *_name_arguments("HEAD")]
    try:
        return commands.run(argv, timeout=_SECONDS).output.strip()
    except commands.CommandError as error:
        raise ReleaseFault(
            _("Could not read %(checkout)s as a git checkout: %(error)s") % {"checkout": checkout, "error": error}
        ) from error


def fetch(layout: Layout) -> None:
    """Update `source.git` from its origin. Raises ReleaseFault."""
    if not follows(layout):
        raise ReleaseFault(
            _(
                "left4me was installed from a release archive here, so there is no repository to ask for a newer "
                "one. Give the newer archive with `left4mectl upgrade --from FILE|URL`, or a repository to follow "
                "from now on with `left4mectl upgrade --repository URL`."
            )
        )
    try:
        _git(layout, "fetch", "--quiet", "--prune", "--tags", "--force", "origin", "+refs/heads/*:refs/heads/*")
    except commands.CommandError as error:
        origin = _git(layout, "config", "remote.origin.url")
        raise ReleaseFault(
            _(
                "%(origin)s cannot be reached: %(error)s. `git --git-dir=%(source)s config remote.origin.url "
                "URL` changes where releases come from."
            )
            % {"origin": origin, "error": error, "source": layout.source}
        ) from error


def resolve(layout: Layout, ref: str | None) -> str:
    """The release of a branch, tag or commit; without one, of the branch that upgrades follow. Raises ReleaseFault."""
    try:
        commit = _git(layout, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref or 'HEAD'}^{{commit}}")
    except commands.CommandError:
        raise ReleaseFault(
            _("There is no branch, tag or commit “%(ref)s” in %(source)s.")
            % {"ref": ref or "HEAD", "source": layout.source}
        ) from None
    return _git(layout, *_name_arguments(commit))


def follows(layout: Layout) -> str:
    """The branch and the repository that upgrades follow; empty when there is none to follow."""
    if not (layout.source / "HEAD").exists():
        return ""
    with contextlib.suppress(commands.CommandError):
        return f"{_git(layout, 'symbolic-ref', '--short', 'HEAD')} {_git(layout, 'config', 'remote.origin.url')}"
    return ""


def follow(layout: Layout, repository: str, branch: str | None) -> None:
    """Have upgrades follow a repository: its branch of that name, else its default one. Raises ReleaseFault."""
    git: list[str | Path] = ["git", f"--git-dir={layout.source}"]
    try:
        listed = commands.run(["git", "ls-remote", "--symref", repository, "HEAD", "refs/heads/*"], timeout=_SECONDS)
        default = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", listed.output, re.MULTILINE)
        branches = re.findall(r"\trefs/heads/(\S+)$", listed.output, re.MULTILINE)
        name = branch if branch in branches else default[1] if default else ""
        if not name:
            raise ReleaseFault(_("%(repository)s has no branch to follow.") % {"repository": repository})
        if not (layout.source / "HEAD").exists():
            layout.source.parent.mkdir(parents=True, exist_ok=True)
            commands.run(["git", "init", "--quiet", "--bare", layout.source], timeout=_SECONDS)
        commands.run([*git, "config", "remote.origin.url", repository], timeout=_SECONDS)
        commands.run([*git, "symbolic-ref", "HEAD", f"refs/heads/{name}"], timeout=_SECONDS)
    except commands.CommandError as error:
        reason = _("%(repository)s cannot be followed: %(error)s")
        raise ReleaseFault(reason % {"repository": repository, "error": error}) from error


def is_older(layout: Layout, release: str, *, than: str) -> bool:
    """Whether one release is older than another: by version and time of the commit, else by the days in the names."""
    one, other = (_described(layout, name) for name in (release, than))
    if one is None or other is None:
        return release.partition("-")[0] < than.partition("-")[0]
    return one.age < other.age


def version(layout: Layout, release: str) -> str:
    """The version of a release, as its changelog calls it; empty when it cannot be told."""
    described = _described(layout, release)
    return described.version if described is not None else ""


def news(layout: Layout, old: str, new: str) -> list[str]:
    """Lines of the changelog of `new` that `old` does not have."""
    known = set(_changelog(layout, old).splitlines())
    if not known:
        return []  # otherwise, everything would be new
    return [line for line in _changelog(layout, new).splitlines() if line.strip() and line not in known]


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
        _make_static(layout, tree)
        _compile(tree)
    except (venvs.NoNetwork, BadPackage) as error:
        _remove(tree)
        raise ReleaseFault(str(error)) from error
    except commands.CommandError as error:
        _remove(tree)
        raise ReleaseFault(
            _("Could not build release %(release)s: %(error)s") % {"release": release, "error": error}
        ) from error
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
    intake.prune(layout)
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


def _described(layout: Layout, release: str) -> contents.Release | None:
    """What its tree, its archive or git tells of a release that is here, whether it is built or not."""
    if built := contents.of_tree(layout.releases / release):
        return built
    with contextlib.suppress(commands.CommandError, BadPackage):
        if (archive := intake.kept(layout, release)).exists():
            return contents.of_archive(archive)
        commit = _git(layout, "log", "-1", f"--format={contents.COMMIT_FORMAT}", _commit(release))
        return contents.described(commit, _git(layout, "show", f"{_commit(release)}:{contents.VERSION_FILE}"))
    return None


def _changelog(layout: Layout, release: str) -> str:
    with contextlib.suppress(OSError):
        return (layout.releases / release / "CHANGELOG.md").read_text()
    with contextlib.suppress(commands.CommandError, BadPackage):
        if (archive := intake.kept(layout, release)).exists():
            return contents.changelog(archive)
        return _git(layout, "show", f"{_commit(release)}:CHANGELOG.md")
    return ""


def _unpacked(checkout: Path) -> contents.Release:
    """The release of an unpacked archive. Raises ReleaseFault for another folder."""
    release = contents.of_tree(checkout)
    if release is None:
        raise ReleaseFault(
            _(
                "%(folder)s is neither a git checkout nor an unpacked release archive. Use `git clone`, or unpack an "
                "archive, to get left4me, so that it can be upgraded."
            )
            % {"folder": checkout}
        )
    return release


def _export(layout: Layout, release: str, tree: Path) -> None:
    kept = intake.kept(layout, release)
    if kept.exists():
        contents.unpack(kept, tree)
        return
    archive = tree / ".tree.tar"
    _git(layout, "archive", f"--output={archive}", _commit(release))
    commands.run(["tar", "--no-same-owner", "-xf", archive, "-C", tree], timeout=_SECONDS)
    archive.unlink()


def _make_static(layout: Layout, tree: Path) -> None:
    """Give the release its own static files, so that a running web keeps its own beside those of a newer release.

    Most upgrades change none, so they are copied from a release that was made from the same sources.
    """
    sources = _static_sources(tree)
    for name in installed(layout):
        other = layout.releases / name
        with contextlib.suppress(OSError):
            if (other / _STATIC_SOURCES).read_text() == sources:
                shutil.copytree(other / "static", tree / "static")
                break
    else:
        _collect_static(tree)
    (tree / _STATIC_SOURCES).write_text(sources)


def _static_sources(tree: Path) -> str:
    """A digest of everything that static files are made from: those in the release, its settings and its packages."""
    code = [tree / "left4me/settings.py", tree / "left4me/site/bundles.py"]
    digest = hashlib.sha256((tree / ".venv").readlink().name.encode())
    for path in sorted([*code, *tree.rglob("static/**/*")]):
        if path.is_file():
            digest.update(f"\n{path.relative_to(tree)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


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
    """Compile the modules: the application cannot write here, and would compile them at every start.

    Tests and benchmarks, nearly half of all lines, are never imported here.
    """
    skipped = r"/(\.venv|tests|testing|bench)/"
    compiling: list[str | Path] = [tree / ".venv/bin/python", "-m", "compileall", "-q", "-x", skipped, tree]
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
